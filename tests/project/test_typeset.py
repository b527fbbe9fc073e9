"""Formulas are typeset while the book is built, and one that cannot be stops it."""

import re

import pytest
import typeset
from bs4 import BeautifulSoup
from sphinx.errors import ExtensionError

CONFIG = {"extensions": ["myst_parser", "typeset"], "html_math_renderer": "typeset"}
CHAPTER = r"""# Chapter about $D^*$

The value $V(D, G) < 0$, and

```{math}
:label: eq-demo
\begin{aligned} a &= b \\ &< c \end{aligned}
```

then {eq}`eq-demo`, and again $V(D, G) < 0$:

$$ p = \frac{1}{2} $$
"""


@pytest.fixture
def build(sphinx_build, tmp_path):
    """`build(chapter)` gives the page and the warnings."""

    def build(chapter, other="# No formulas\n"):
        source, out = tmp_path / "source", tmp_path / "html"
        source.mkdir()
        (source / "index.md").write_text("# Book\n\n```{toctree}\nchapter\nother\n```\n")
        (source / "chapter.md").write_text(chapter)
        (source / "other.md").write_text(other)
        (source / "conf.py").write_text("")
        warnings = sphinx_build(source, out, CONFIG | {"root_doc": "index"})
        return BeautifulSoup((out / "chapter.html").read_text(), "html.parser"), warnings, out

    return build


def test_every_formula_is_markup_with_mathml_for_screen_readers(build):
    page, warnings, _ = build(CHAPTER)
    formulas = page.select(".body .math")
    assert [formula.name for formula in formulas] == ["span", "span", "div", "span", "div"]
    for formula in formulas:
        (painted,), (heard,) = formula.select("mjx-math"), formula.select("mjx-assistive-mml > math")
        assert painted["aria-hidden"] == "true" and heard.get_text()
        assert not re.search(r"\\[(\[a-z]", formula.get_text())
    assert formulas[1].select_one("math").get_text() == "V(D,G)<0"
    assert warnings == ""


def test_a_number_and_the_reference_to_it_stay(build):
    page, _, _ = build(CHAPTER)
    formula = page.select_one("#equation-eq-demo")
    assert formula.select_one(".eqno").get_text().startswith("(1)")
    assert len(formula.select("mjx-mtable mjx-mtable mjx-mtr")) == 2
    assert page.select_one("a[href='#equation-eq-demo'].reference").get_text() == "(1)"


def test_only_pages_with_formulas_load_their_style(build):
    page, _, out = build(CHAPTER)
    style = (out / "_static" / typeset.STYLE).read_text()
    for font in set(re.findall(r"url\(\"?([^\")]+)", style)):
        assert font.startswith(typeset.FONTS)
    assert [link for link in page.select("link") if typeset.STYLE in link["href"]]
    assert typeset.STYLE not in (out / "other.html").read_text()


@pytest.mark.parametrize(
    ("tex", "why"),
    [(r"\KL(p)", "Undefined control sequence"), (r"\frac{1}{2", "Missing close brace"), (r"a^b^c", "Double exponent")],
)
def test_a_formula_that_mathjax_refuses_is_a_warning_at_its_place(build, tex, why):
    page, warnings, _ = build(f"# Chapter\n\nA first paragraph.\n\nThen ${tex}$ and $x$.\n")
    (warning,) = warnings.splitlines()
    assert "chapter.md:5" in warning and tex in warning and why in warning
    assert tex in page.get_text()  # left as it was written
    assert len(page.select(".body mjx-container")) == 1


def test_one_formula_does_not_change_the_next(build):
    page, warnings, _ = build("# Chapter\n\n$$a \\tag{7}$$\n\n$$b \\tag{7}$$\n\n$\\newcommand{\\KL}{K}$ $\\KL$\n")
    assert len(page.select(".body mjx-container")) == 2
    assert warnings.count("Undefined control sequence") == 2


def test_without_node_one_line_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(typeset.sys, "executable", str(tmp_path / "python"))
    with pytest.raises(ExtensionError, match="make install"):
        typeset.Typesetter()


def test_a_typesetter_that_ends_says_at_which_formula():
    typesetter = typeset.Typesetter()
    typesetter._process.kill()
    with pytest.raises(ExtensionError, match="x_1"):
        typesetter.markup("x_1", False)
    typesetter.close()
