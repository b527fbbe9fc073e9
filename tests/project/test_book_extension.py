"""book/_ext/coursekit_book.py, on a book of one page."""

import json
from pathlib import Path

import coursekit_book
import pytest

RECORD = {
    "chapter": "demo",
    "runs": [
        {
            "command": "python book/results/demo.py",
            "device": "A processor",
            "threads": 2,
            "date": "2026-01-02",
            "commit": "abc123",
            "data": {"mnist": "MNIST"},
        }
    ],
    "rows": [
        {"case": "beta-1", "seed": seed, "run": 0, "seconds": 1.0, "metrics": {"elbo": -100.0 - seed, "kl": 25.0}}
        for seed in (0, 1, 2)
    ],
}
TEST_FILE = """import pytest


class TestGap:
    @pytest.mark.theorem("thm-gap")
    def test_gap_is_kl(self):
        assert 1 < 2
"""
PAGE = """# Page

```{prf:theorem} The gap
:label: thm-gap
It is a divergence.
```

"""


@pytest.fixture
def build(tmp_path, sphinx_build):
    """Build one page of Markdown; returns its HTML, the site's folder and the warnings."""

    def build(text):
        source = tmp_path / "source"
        (source / "results").mkdir(parents=True)
        (source / "tests").mkdir()
        (source / "results" / "demo.json").write_text(json.dumps(RECORD))
        (source / "tests" / "test_demo.py").write_text(TEST_FILE)
        (source / "index.md").write_text(text)
        config = {
            "extensions": ["myst_parser", "sphinx_proof", "coursekit_book"],
            "coursekit_results": "results",
            "coursekit_tests": "tests",
            "exclude_patterns": ["tests"],
        }
        html = tmp_path / "html"
        warnings = sphinx_build(source, html, config)
        return (html / "index.html").read_text(), html, warnings

    return build


def test_values_print_as_mean_and_range_over_seeds():
    assert coursekit_book.format_values([1.0, 2.0, 4.5], ".1f") == "2.5 (1.0 to 4.5)"
    assert coursekit_book.format_values([-1.04, -1.01], ".1f") == "−1.0"
    assert coursekit_book.format_values([0.5, 0.75], ".0%") == "62% (50% to 75%)"


def test_result_role_prints_the_measured_number(build):
    html, _, warnings = build("# Page\n\nValue {result}`demo/beta-1/elbo|.1f` nats\n")
    assert "−101.0 (−102.0 to −100.0)" in html
    assert warnings == ""


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nothing/beta-1/elbo", "run book/results/nothing.py"),
        ("demo/beta-9/elbo", "no case 'beta-9'"),
        ("demo/beta-1/fid", "no metric 'fid'"),
        ("demo/elbo", "chapter/case/metric"),
        ("demo/beta-1/elbo|.1q", "format code"),
    ],
)
def test_a_number_that_was_not_measured_is_a_warning(build, target, message):
    _, _, warnings = build(f"# Page\n\n{{result}}`{target}`\n")
    assert message in warnings


def test_results_table_has_labels_numbers_and_provenance(build):
    html, _, warnings = build(
        "# Page\n\n```{results-table} demo\n:cases: beta-1\n:case-labels: $\\beta = 1$\n"
        ":metrics: elbo, kl\n:metric-labels: ELBO (nats); KL (nats)\n:format: .1f; .0f\n:head: Weight\n```\n"
    )
    assert warnings == ""
    assert ">Weight<" in html and "ELBO (nats)" in html and r"\beta = 1" in html
    assert "−101.0 (−102.0 to −100.0)" in html and ">25<" in html
    assert "over seeds 0, 1, 2" in html
    for part in ("python book/results/demo.py", "A processor, 2 threads", "2026-01-02", "commit abc123", "MNIST"):
        assert part in html


def test_rounds_are_called_rounds_and_words_stand_where_nothing_was_measured():
    rows = [{"case": "step", "round": n, "run": 0, "metrics": {"ratio": 1.5 + n, "bf16": "no"}} for n in range(3)]
    record = RECORD | {"rows": rows}
    assert coursekit_book.describe_runs(record, ["step"]).startswith(
        "Mean (smallest to largest) over 3 rounds. Made by"
    )
    assert coursekit_book.describe_runs(record | {"rows": rows[:1]}, ["step"]).startswith("One round, so no range.")
    assert coursekit_book.format_values(coursekit_book.values_of(record, "step", "bf16"), ".2f") == "no"


def test_results_table_rejects_labels_that_do_not_match(build):
    _, _, warnings = build(
        "# Page\n\n```{results-table} demo\n:cases: beta-1\n:metrics: elbo\n:metric-labels: ELBO; KL\n:head: x\n```\n"
    )
    assert ":metric-labels: has 2 entries for 1" in warnings


def test_a_table_without_a_heading_over_its_cases_is_refused(build):
    _, _, warnings = build("# Page\n\n```{results-table} demo\n:cases: beta-1\n:metrics: elbo\n```\n")
    assert "say in :head: what the cases are" in warnings


def test_a_theorem_links_the_line_of_the_test_that_checks_it(build):
    html, site, warnings = build(PAGE)
    assert warnings == ""
    assert 'href="checks/test_demo.html#L6"' in html
    assert "TestGap::test_gap_is_kl" in html
    assert 'id="L6"' in (site / "checks" / "test_demo.html").read_text()


def test_theorem_marks_are_found_without_importing(tmp_path):
    (tmp_path / "test_demo.py").write_text("import not_there\n" + TEST_FILE)
    assert coursekit_book.theorem_tests(tmp_path) == {
        "thm-gap": [(Path(tmp_path / "test_demo.py"), "TestGap::test_gap_is_kl", 7)]
    }


def test_the_script_that_asks_another_host_is_dropped():
    class Script:
        def __init__(self, filename=None, **attributes):
            self.filename, self.attributes = filename, attributes

    kept = Script("_static/doctools.js")
    context = {"script_files": [kept, Script("_static/sphinx-thebe.js"), Script(body="const THEBE_JS_URL = 1")]}
    coursekit_book.drop_thebe(None, "index", "page.html", context, None)
    assert context["script_files"] == [kept]


def test_the_script_of_icons_that_a_font_draws_already_is_dropped(tmp_path):
    class App:
        outdir = tmp_path

        class builder:
            format = "html"

    (tmp_path / "book").mkdir()
    kept = '<head>\n  <script src="../_static/doctools.js"></script></head>'
    script = '<script defer src="../_static/scripts/fontawesome.js?digest=55c2"></script>'
    (tmp_path / "book" / "page.html").write_text(kept.replace("<head>", f"<head>\n  {script}"))
    coursekit_book.drop_icon_script(App, None)
    assert (tmp_path / "book" / "page.html").read_text() == kept


def test_a_docstring_links_labels_of_the_book_and_keeps_its_stars():
    lines = ["Noise (n, *shape), see eq-vae-elbo and `thm-gap`.", "`**options` are *all* passed on"]
    coursekit_book.adapt_docstring(None, "function", "f", None, None, lines)
    assert lines[0] == r"Noise (n, \*shape), see :eq:`eq-vae-elbo` and :prf:ref:`thm-gap`."
    assert lines[1].startswith("`**options`")
