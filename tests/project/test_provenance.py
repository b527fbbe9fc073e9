"""book/_ext/provenance.py, on a book of two pages."""

import json

import provenance
import pytest
from bs4 import BeautifulSoup

RUN = {
    "command": "python book/results/demo.py",
    "device": "A processor",
    "threads": 2,
    "date": "2026-01-02",
    "commit": "abc1234",
    "uncommitted_changes": False,
    "versions": {"python": "3.11.7", "torch": "2.15.0"},
    "data": {"mnist": "MNIST, from its archive"},
}
RECORD = {
    "chapter": "demo",
    "runs": [RUN, RUN | {"commit": "def5678", "uncommitted_changes": True, "data": {}, "note": "A busy machine."}],
    "rows": [
        *(
            {"case": "beta-1", "seed": seed, "run": 0, "metrics": {"elbo": -100.0 - seed, "kl": 25.0, "hidden": 1.0}}
            for seed in (0, 1, 2)
        ),
        {"case": "beta-4", "round": 0, "run": 1, "metrics": {"elbo": -120.0, "kl": 5.0}},
    ],
}
TABLE = "```{results-table} demo\n:cases: beta-1\n:metrics: elbo, kl\n:head: Case\n:name: tab-demo\n```\n"
FIGURE = "```{figure} _static/figures/demo-curve.png\n:name: fig-demo\n:alt: A curve that falls\n\nIt falls.\n```\n"
CHAPTER = f"# Chapter\n\n## Costs\n\nValue {{result}}`demo/beta-1/elbo|.1f`.\n\n{TABLE}\n## Looks\n\n{FIGURE}\n"
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360f8cf50000003820180a3d4a5330000000049454e44ae426082"
)


@pytest.fixture
def build(tmp_path, sphinx_build):
    """Build the chapter beside the page of origins; returns that page, parsed, and the warnings."""

    def build(chapter=CHAPTER, records=("demo",), url="https://example.org/book"):
        source = tmp_path / "source"
        (source / "results").mkdir(parents=True)
        (source / "tests").mkdir()
        (source / "_static" / "figures").mkdir(parents=True)
        (source / "_static" / "figures" / "demo-curve.png").write_bytes(PNG)
        for name in records:
            (source / "results" / f"{name}.json").write_text(json.dumps(RECORD | {"chapter": name}))
        (source / "index.md").write_text("# Start\n\n```{toctree}\nchapter\norigins\n```\n")
        (source / "chapter.md").write_text(chapter)
        (source / "origins.md").write_text("# Origins\n\n```{provenance}\n```\n")
        config = {
            "extensions": ["myst_parser", "sphinx_proof", "provenance"],
            "coursekit_results": "results",
            "coursekit_tests": "tests",
            "html_theme": "alabaster",
            "html_theme_options.repository_url": url,
        }
        html = tmp_path / "html"
        warnings = sphinx_build(source, html, config)
        said = [line for line in warnings.splitlines() if "theme option 'repository_url'" not in line]
        return BeautifulSoup((html / "origins.html").read_text(), "html.parser"), html, "\n".join(said)

    return build


def items(page, kind):
    return [" ".join(item.get_text().split()) for item in page.select(f"ul.{kind} > li")]


def test_a_record_names_every_place_that_shows_it(build):
    page, html, _ = build()
    assert items(page, "feeds") == ["Chapter; 1 number: Costs; 1 table: Costs; 1 figure: Looks"]
    links = [link["href"] for link in page.select("ul.feeds a")]
    assert links == ["chapter.html", "chapter.html#costs", "chapter.html#tab-demo", "chapter.html#fig-demo"]
    chapter = BeautifulSoup((html / "chapter.html").read_text(), "html.parser")
    assert all(chapter.find(id=link.split("#")[1]) for link in links[1:])


def test_a_run_says_all_that_is_needed_to_repeat_it(build):
    page, _, _ = build()
    first, second = (page.select("ul.run")[index] for index in (0, 1))
    assert [" ".join(item.get_text().split()) for item in first.select("li")] == [
        "Command: python book/results/demo.py",
        "Seeds 0, 1, 2",
        "Machine: A processor, 2 threads",
        "Made: 2026-01-02, commit abc1234, no uncommitted changes",
        "Data: MNIST, from its archive",
        "Versions: Python 3.11.7, torch 2.15.0",
    ]
    words = second.get_text()
    for part in ("1 round", "def5678, with uncommitted changes", "drawn by the script", "A busy machine."):
        assert part in words


def test_commits_are_linked_where_the_repository_is_known(build):
    page, _, _ = build()
    assert "https://example.org/book/commit/abc1234" in [link["href"] for link in page.select("ul.run a")]


def test_numbers_are_counted_and_those_on_no_page_are_named(build):
    page, _, _ = build()
    assert "1 file holds 5 numbers, each over its seeds. 2 of them stand on 1 page." in page.get_text()
    assert page.select_one("p.unshown").get_text() == "Measured too, and on no page: hidden, beta-4."


def test_the_file_itself_can_be_downloaded(build):
    page, html, warnings = build()
    (link,) = page.select("a.download")
    assert json.loads((html / link["href"]).read_text())["rows"] == RECORD["rows"]
    assert warnings == ""


def test_a_record_that_feeds_no_page_is_a_warning(build):
    _, _, warnings = build(records=("demo", "forgotten"))
    assert "forgotten.json: no page shows" in warnings and "demo.json" not in warnings


def test_a_record_names_only_the_places_that_show_it(build):
    chapter = "# Chapter\n\n## One\n\n{result}`demo/beta-1/kl`\n\n## Other\n\n{result}`second/beta-4/kl`\n"
    page, _, _ = build(chapter, records=("demo", "second"))
    assert items(page, "feeds") == ["Chapter; 1 number: One", "Chapter; 1 number: Other"]


def test_a_figure_of_no_record_is_a_warning_at_its_page(build):
    _, _, warnings = build(chapter=f"# Chapter\n\n{FIGURE}", records=())
    assert "chapter.md" in warnings and "what demo.json should tell" in warnings


def test_an_animation_counts_as_shown(build, tmp_path):
    folder = tmp_path / "source" / "_static" / "animations"
    folder.mkdir(parents=True)
    (folder / "demo-play.html").write_text("<p>Play</p>")
    page, _, warnings = build(chapter="# Chapter\n\n```{raw} html\n:file: _static/animations/demo-play.html\n```\n")
    assert items(page, "feeds") == ["Chapter; 1 animation: Chapter"]
    assert warnings == ""


def test_pages_come_in_the_order_of_the_book():
    class Env:
        class config:
            root_doc = "start"

        toctree_includes = {"start": ["b", "c"], "b": ["d"]}
        found_docs = {"start", "a", "b", "c", "d"}

    assert provenance._in_order(Env) == ["start", "b", "d", "c", "a"]
