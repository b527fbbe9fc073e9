"""book/_ext/sharing.py, on a book of two pages, and how to cite the course."""

import importlib
import struct
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import execute
import make_exercises
import pytest
import sharing
import stamp
import yaml
from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parents[2]
DESCRIBED = (
    "---\nmyst:\n  html_meta:\n    description: \"What this page is about, & more, in 'one' good sentence.\"\n---\n\n"
)
LESSON = (
    "# Lesson\n\n[Open in Colab](https://example.org)\n\n"
    f"{execute.time_said({'cores': 2, 'seconds': [12.0], 'solved_seconds': 80.0})}\n\n"
    f"{make_exercises.KEEP.strip().format(how='https://example.org')}\n\n"
    "You train $P(Y \\mid X)$ on digits, and you compare it with what it should be. You then ask what it has learned. "
    "A third sentence goes on for so long that all three together are well over what a search engine shows of a page.\n"
)
ADDRESS = "https://example.org/course"


@pytest.fixture
def build(tmp_path, monkeypatch, sphinx_build):
    """Build the two pages; returns a function that parses one of the site's files, and its folder."""

    def build(address="", base=""):
        source = tmp_path / "source"
        (source / "pages").mkdir(parents=True)
        (source / "pages" / "start.md").write_text(f"{DESCRIBED}# Start\n\n```{{toctree}}\nlesson\n```\n")
        (source / "pages" / "lesson.md").write_text(LESSON)
        (source / "CITATION.cff").write_text((ROOT / "CITATION.cff").read_text(encoding="utf-8"), encoding="utf-8")
        monkeypatch.setenv("COURSEKIT_BASEURL", address)
        html = tmp_path / "html"
        config = {
            "extensions": ["myst_parser", "sharing"],
            "root_doc": "pages/start",
            "html_title": "The course",
            "html_baseurl": base,
            "copyright": "2026",
        }
        assert sphinx_build(source, html, config) == ""
        return lambda page: BeautifulSoup((html / page).read_text(encoding="utf-8"), "html.parser"), html

    return build


def meta(soup):
    return {node.get("property") or node.get("name"): node["content"] for node in soup.find_all("meta", content=True)}


def test_a_page_is_previewed_by_its_own_words_and_the_card(build):
    parse, _ = build(ADDRESS)
    tags = meta(parse("pages/start.html"))
    assert len(parse("pages/start.html").find_all("meta", attrs={"name": "description"})) == 1
    assert tags["description"] == tags["og:description"] == "What this page is about, & more, in 'one' good sentence."
    assert tags["og:title"] == "Start" and tags["og:type"] == "website" and tags["og:site_name"] == "The course"
    assert tags["og:url"] == f"{ADDRESS}/pages/start.html"
    assert tags["og:image"] == f"{ADDRESS}/_static/card.png"
    assert len(tags["og:image:alt"]) > 30 and tags["twitter:card"] == "summary_large_image"
    assert meta(parse("pages/lesson.html"))["og:type"] == "article"
    assert parse("pages/lesson.html").find("link", rel="canonical")["href"] == f"{ADDRESS}/pages/lesson.html"


def test_a_page_without_a_description_is_described_by_its_first_sentences(build):
    parse, _ = build()
    assert len(parse("pages/lesson.html").find_all("meta", attrs={"name": "description"})) == 1
    assert meta(parse("pages/lesson.html"))["description"] == (
        "You train P(Y | X) on digits, and you compare it with what it should be. You then ask what it has learned."
    )


def test_a_long_sentence_is_cut_between_words():
    text = sharing.shortened("word, " * 60)
    assert len(text) <= 200 and text.endswith("word…")


def test_without_an_address_nothing_claims_one(build):
    parse, html = build()
    tags = meta(parse("pages/lesson.html"))
    assert tags["og:image"] == "../_static/card.png" and "og:url" not in tags
    assert parse("pages/lesson.html").find("link", rel="canonical") is None
    assert not (html / "sitemap.xml").exists() and not (html / "robots.txt").exists()
    assert parse("404.html").find("base") is None


@pytest.mark.parametrize(("address", "base"), [(ADDRESS, ""), ("", f"{ADDRESS}/"), (ADDRESS, "https://old.example")])
def test_with_an_address_there_is_a_sitemap_of_every_page(build, address, base):
    parse, html = build(address, base)
    places = [place.text for place in ElementTree.parse(html / "sitemap.xml").iter() if place.tag.endswith("}loc")]
    assert places == [f"{ADDRESS}/pages/lesson.html", f"{ADDRESS}/pages/start.html"]
    assert f"Sitemap: {ADDRESS}/sitemap.xml" in (html / "robots.txt").read_text()
    assert parse("404.html").find("base")["href"] == f"{ADDRESS}/"


def test_the_root_sends_on_to_the_start_page_and_shares_like_it(build):
    parse, _ = build(ADDRESS)
    door = parse("index.html")
    assert door.find("meta", attrs={"http-equiv": "refresh"})["content"] == "0; url=pages/start.html"
    assert door.find("a")["href"] == "pages/start.html"
    assert meta(door)["og:image"] == f"{ADDRESS}/_static/card.png" and "one" in meta(door)["description"]


def test_the_page_for_lost_readers_leads_home_and_to_the_search(build):
    parse, _ = build()
    page = parse("404.html")
    assert "pages/start.html" in [link["href"] for link in page.select("main a")]
    assert page.select_one("form")["action"] == "search.html" and page.select_one("form input[name=q]")
    assert "$" not in page.get_text()


def test_the_card_and_the_icon_are_what_their_script_makes():
    share = ROOT / "book" / "_static" / "share"
    card = (share / "card.png").read_bytes()
    assert struct.unpack(">II", card[16:24]) == (1200, 630) and len(card) < 300_000
    spec = importlib.util.spec_from_file_location("make_share", ROOT / "book" / "make_share.py")
    make_share = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_share)
    assert (share / "favicon.svg").read_text(encoding="utf-8") == make_share.favicon()


# -- how to cite -----------------------------------------------------------------------------------

CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def test_the_citation_has_the_version_of_the_package_and_the_address_of_the_config():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    settings = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    assert CITATION["version"] == project["version"]
    assert CITATION["license"] == project["license"]
    assert CITATION["repository-code"] == stamp.repository()[0]
    assert CITATION["title"] == settings["title"]
    assert [author["name"] for author in CITATION["authors"]] == [settings["author"]]


def test_the_citation_has_what_its_format_requires():
    assert {"cff-version", "message", "title", "authors"} <= set(CITATION)


def test_bibtex_names_title_version_and_address():
    entry = sharing.bibtex(CITATION, "2026")
    assert entry.startswith("@misc{coursekit,\n") and entry.endswith("\n}")
    assert "author = {{The coursekit authors}}" in entry and "title  = {{Generative models, checked}}" in entry
    assert f"note   = {{Version {CITATION['version']}}}" in entry and CITATION["repository-code"] in entry
    assert entry.count("{") == entry.count("}")
