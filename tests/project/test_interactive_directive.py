"""book/_ext/interactive.py, on a book of two pages."""

import re
from pathlib import Path

import interactive
import pytest

EXTRA = Path(__file__).resolve().parents[2] / "book" / "_extra"
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b550000000a49444154789c636000000002000148afa471"
    "0000000049454e44ae426082"
)
FIGURE = """```{interactive} gan-game
:name: fig-game
:still: still.png
:alt: Two densities over a line.

Drag $p_g$ with **care**.

It moves.
```
"""


@pytest.fixture
def build(tmp_path, sphinx_build):
    """Build the text as the page `deep/page.md`; returns its HTML, that of the other page, and the warnings.

    `published` maps files of the site's root to what they hold.
    """

    def build(text, builder="html", published=None):
        source = tmp_path / "source"
        for file, content in (published or {}).items():
            (tmp_path / "root" / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "root" / file).write_bytes(content)
        (source / "deep").mkdir(parents=True)
        (source / "index.md").write_text("# Home\n\n```{toctree}\ndeep/page\n```\n")
        (source / "deep" / "still.png").write_bytes(PNG)
        (source / "deep" / "page.md").write_text(f"# Page\n\n{text}")
        out = tmp_path / builder
        config = {"extensions": ["myst_parser", "interactive"], "html_extra_path": ["../root"] if published else []}
        warnings = sphinx_build(source, out, config, builder)
        pages = [page for name in ("deep/page", "index") for page in out.glob(f"{name}.*")]
        return *(page.read_text() for page in pages), warnings

    return build


def test_a_page_gets_the_scripts_the_still_and_the_caption(build):
    page, other, warnings = build(FIGURE)
    assert warnings == ""
    figure = re.search(r'<figure class="[^"]*\binteractive\b[^"]*" id="fig-game">.*?</figure>', page, re.S)[0]
    assert re.findall(r'<script defer src="([^"]+)"></script>', figure) == [
        "../interactive/parts.js",
        "../interactive/densities.js",
        "../interactive/gan-game.js",
    ]
    assert '<link rel="stylesheet" href="../interactive/interactive.css">' in figure
    assert '<div class="interactive-app" data-interactive="gan-game" data-root="../" hidden></div>' in figure
    assert re.search(
        r'<img alt="Two densities over a line\." class="interactive-still" src="../_images/still\.png"', figure
    )
    assert "<noscript>" in figure
    assert "<strong>care</strong>" in figure and "It moves." in figure
    assert "interactive" not in other


def test_a_second_one_on_the_page_loads_nothing_again(build):
    page, _, warnings = build(f"{FIGURE}\n{FIGURE.replace('fig-game', 'fig-again')}")
    assert warnings == ""
    assert page.count('data-interactive="gan-game"') == 2
    assert page.count("densities.js") == page.count("gan-game.js") == page.count("interactive.css") == 1


def test_other_builders_show_the_picture_alone(build):
    page, _, warnings = build(FIGURE, builder="text")
    assert warnings == ""
    assert "[image: Two densities over a line.]" in page and "with *care*" in page.replace("**", "*")
    assert "script" not in page


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("gan-game", "no-game"), "there are"),
        ((":still: still.png\n", ""), ":still: is missing"),
        ((":alt: Two densities over a line.\n", ""), ":alt: is missing"),
        (("\nDrag $p_g$ with **care**.\n\nIt moves.\n", ""), "write a caption"),
    ],
)
def test_what_is_missing_is_a_warning(build, change, complaint):
    assert complaint in build(FIGURE.replace(*change))[-1]


EXPLORER = FIGURE.replace("gan-game", "dcgan-explorer")
RUNTIME = {file: 1000 * b"a" for file in interactive.RUNTIME}
FETCHED = {file: 100 * b"b" for file in interactive.FILES["dcgan-explorer"]}


def test_an_explorer_says_what_it_will_fetch_and_how_much(build):
    page, _, warnings = build(EXPLORER, published=RUNTIME | FETCHED)
    assert warnings == ""
    data = dict(re.findall(r'data-([a-z-]+)="([^"]*)"', re.search(r'<div class="interactive-app".*?>', page)[0]))
    assert data.pop("root") == "../" and data.pop("interactive") == "dcgan-explorer"
    assert data.pop("files").split() == list(FETCHED) and data.pop("file-bytes") == "200"
    assert data.pop("runtime").split() == list(RUNTIME) and data.pop("runtime-bytes") == "3000"
    assert data.keys() == {"runtime-compressed"} and 0 < int(data["runtime-compressed"]) < 300


def test_a_pattern_stands_for_all_files_that_match(build):
    published = {file: b"a" for file in interactive.RUNTIME}
    published |= {file: b"b" for file in interactive.FILES["cyclegan-explorer"] if "*" not in file}
    published |= {f"models/emoji/{name}.png": b"cc" for name in ("Y-1", "X-2", "X-1")}
    page, _, warnings = build(FIGURE.replace("gan-game", "cyclegan-explorer"), published=published)
    assert warnings == ""
    files = re.search(r'data-files="([^"]*)"', page)[1].split()
    assert files[-3:] == [f"models/emoji/{name}.png" for name in ("X-1", "X-2", "Y-1")] and len(files) == 6
    assert 'data-file-bytes="9"' in page


@pytest.mark.parametrize("lost", [interactive.RUNTIME[2], interactive.FILES["dcgan-explorer"][0]])
def test_a_file_that_an_explorer_lacks_is_a_warning(build, lost):
    published = RUNTIME | FETCHED
    del published[lost]
    assert f"{lost} is missing; run `make install`" in build(EXPLORER, published=published)[-1]


def test_every_script_that_a_page_may_load_is_there():
    files = {
        interactive.STYLE,
        *(file for name, others in interactive.SCRIPTS.items() for file in (*others, f"{name}.js")),
    }
    assert files <= {path.name for path in (EXTRA / interactive.FOLDER).iterdir()}
    assert all(list(EXTRA.glob(pattern)) for patterns in interactive.FILES.values() for pattern in patterns)
