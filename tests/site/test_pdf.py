"""Chapters as PDF: `make pdf`."""

import re
import shutil
from pathlib import Path

import print_pages
import pytest
import yaml
from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parents[2]
PAGE = "book/notation"
BUTTON = """<li>
<button onclick="window.print()"
  class="btn btn-sm btn-download-pdf-button dropdown-item"
  title="Print to PDF"
>
<span class="btn__text-container">.pdf</span>
</button>
</li>
"""


def test_the_button_that_prints_becomes_a_link_to_the_file():
    text = print_pages.with_link(BUTTON, "../pdf/vae.pdf")
    soup = BeautifulSoup(text, "html.parser")
    assert soup.find("button") is None
    assert soup.a["href"] == "../pdf/vae.pdf" and soup.a.has_attr("download") and soup.a["title"] == "Download PDF"
    assert "btn-download-pdf-button" in soup.a["class"] and soup.a.get_text(strip=True) == ".pdf"
    assert print_pages.with_link(text, "elsewhere.pdf") == text


def test_every_chapter_is_printed_and_nothing_else():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    (part,) = [part for part in toc["parts"] if part["caption"] == "Chapters"]
    assert print_pages.chapters() == [chapter["file"] for chapter in part["chapters"]]
    assert "book/vae" in print_pages.chapters()


@pytest.fixture(scope="module")
def copy(html, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site") / "html"
    shutil.copytree(html, folder, ignore=shutil.ignore_patterns("*.ipynb", "searchindex.js", "pdf"))
    text = (folder / f"{PAGE}.html").read_text(encoding="utf-8")
    added = (
        '<details><summary>More</summary><a href="https://example.org/opened">opened</a></details>'
        '<a href="vae.html">beside</a>'
    )
    (folder / f"{PAGE}.html").write_text(text.replace("</article>", f"{added}</article>"), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def printed(browser, copy):
    return print_pages.print_page(browser, copy, PAGE).read_bytes()


@pytest.mark.browser
@pytest.mark.needs("chromium")
class TestPrinting:
    def test_a_page_becomes_a_pdf_with_its_formulas(self, printed):
        assert printed.startswith(b"%PDF-") and len(re.findall(rb"/Type /Page\b", printed)) >= 2
        assert b"MathJax" in printed

    def test_links_lead_where_they_did_and_never_into_this_machine(self, printed):
        addresses = re.findall(rb"/URI \(([^)]*)\)", printed)
        assert addresses and not [address for address in addresses if not address.startswith(b"https://")]

    def test_what_is_folded_is_printed_open(self, printed):
        assert b"https://example.org/opened" in printed

    def test_the_page_links_its_pdf_and_the_others_do_not(self, printed, copy):
        links = {}
        for name in (PAGE, "book/vae"):
            soup = BeautifulSoup((copy / f"{name}.html").read_text(encoding="utf-8"), "html.parser")
            links[name] = [link["href"] for link in soup.select("a.btn-download-pdf-button")]
        assert links == {PAGE: ["../pdf/notation.pdf"], "book/vae": []}
        assert (copy / "pdf" / "notation.pdf").exists()

    def test_a_page_that_is_not_built_is_named(self, browser, copy):
        with pytest.raises(FileNotFoundError, match="make book"):
            print_pages.print_page(browser, copy, "book/nothing")
