"""What surrounds the text of every page: description, preview, buttons, origins, the way back when lost."""

import functools
import json
import re
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin

import check_site
import pytest
import stamp
from _serving import QuietHandler, serve
from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parents[2]
FIRST_PAGE = "book/index.html"
MOST_BYTES = 1_500_000


def content(soup, name):
    node = soup.find("meta", attrs={"name": name}) or soup.find("meta", attrs={"property": name})
    return node["content"] if node else ""


# -- description and preview -----------------------------------------------------------------------


def test_every_page_describes_itself_in_50_to_200_characters_unlike_any_other(soups):
    descriptions = {}
    for page, soup in soups.items():
        nodes = soup.find_all("meta", attrs={"name": "description"})
        assert len(nodes) == 1, page
        descriptions.setdefault(nodes[0]["content"], []).append(page)
    assert {text: pages for text, pages in descriptions.items() if not 50 <= len(text) <= 200} == {}
    assert {text: pages for text, pages in descriptions.items() if len(pages) > 1} == {}


def test_every_page_has_a_preview_with_a_card_that_exists(soups, html):
    wrong = []
    for page, soup in soups.items():
        if page == "404.html":
            continue
        card = content(soup, "og:image")
        there = card.startswith("https://") or (html / urljoin(page, card)).is_file()
        title = (soup.select_one("article h1") or soup.find("h1")).get_text().strip().removesuffix("#").strip()
        alike = re.sub(r"\W+", "", content(soup, "og:title")) == re.sub(r"\W+", "", title)
        if not (there and (alike or page in ("genindex.html", "search.html"))):
            wrong.append((page, card, content(soup, "og:title")))
        assert content(soup, "og:description") == content(soup, "description")
        assert content(soup, "twitter:card") == "summary_large_image" and len(content(soup, "og:image:alt")) > 30
    assert wrong == []


def test_every_page_shows_the_icon(soups, html):
    for page, soup in soups.items():
        assert (html / urljoin(page, soup.find("link", rel="icon")["href"])).is_file(), page


def test_without_an_address_there_is_no_sitemap_and_no_page_claims_one(soups, html):
    known = bool(soups[FIRST_PAGE].find("link", rel="canonical"))
    assert (html / "sitemap.xml").exists() == known and (html / "robots.txt").exists() == known
    for page, soup in soups.items():
        assert content(soup, "og:image").startswith("https://") == (known and page != "404.html"), page


# -- buttons ---------------------------------------------------------------------------------------


def test_every_page_with_a_source_can_be_edited_and_complained_about(soups):
    url, _, branch = stamp.repository()
    for page, soup in soups.items():
        sources = [ROOT / page.replace(".html", suffix) for suffix in (".md", ".ipynb")]
        source = next((path for path in sources if path.exists()), None)
        if source is None:
            continue
        links = [link["href"] for link in soup.select(".bd-header-article a[href]")]
        assert f"{url}/edit/{branch}/{source.relative_to(ROOT).as_posix()}" in links, page
        assert any(link.startswith(f"{url}/issues/new") for link in links), page
        assert url in links, page


def test_a_link_to_a_pdf_stands_only_where_there_is_one(soups, html):
    for page, soup in soups.items():
        for link in soup.select("a[href$='.pdf']"):
            if not link["href"].startswith("https://"):
                assert (html / urljoin(page, link["href"])).is_file(), page


# -- where the numbers come from -------------------------------------------------------------------


def test_every_record_is_on_the_page_of_origins_with_what_it_feeds(soups, html):
    page = soups["book/provenance.html"]
    records = sorted((ROOT / "book" / "results").glob("*.json"))
    for path in records:
        section = page.find(id=f"record-{path.stem.replace('_', '-')}")
        assert section is not None, path.name
        feeds = section.select("ul.feeds a")
        assert feeds, path.name
        for link in feeds:
            target, fragment = urldefrag(urljoin("book/provenance.html", link["href"]))
            assert target in soups, link["href"]
            assert not fragment or soups[target].find(id=unquote(fragment)), link["href"]
        record = json.loads(path.read_text(encoding="utf-8"))
        text = section.get_text()
        assert all(run["command"] in text and run["commit"] in text and run["date"] in text for run in record["runs"])
        download = html / urljoin("book/provenance.html", section.select_one("a.download")["href"])
        assert json.loads(download.read_text(encoding="utf-8")) == record
    assert len(page.select("section[id^=record-]")) == len(records)


def test_a_table_s_line_of_origin_agrees_with_the_page_of_origins(soups):
    text = " ".join(soups["book/provenance.html"].get_text().split())
    lines = [line.get_text() for soup in soups.values() for line in soup.select("p.provenance")]
    commits = {commit for line in lines for commit in re.findall(r"\b[0-9a-f]{12}\b", line)}
    assert commits and not [commit for commit in commits if commit not in text]


# -- how to cite -----------------------------------------------------------------------------------


def test_the_keyboard_goes_through_a_page_in_the_order_of_its_text(soups):
    for page, soup in soups.items():
        assert {int(node["tabindex"]) for node in soup.select("[tabindex]")} <= {0, -1}, page


def test_every_page_leads_to_the_page_on_citing(soups):
    framed = {page: soup for page, soup in soups.items() if soup.select_one(".bd-footer-content")}
    assert set(soups) - set(framed) <= {"404.html"}
    for page, soup in framed.items():
        (link,) = soup.select(".extra_footer a")
        assert urljoin(page, link["href"]) == "book/cite.html", page


def test_the_page_on_citing_shows_the_entry(soups):
    entry = soups["book/cite.html"].select_one("div.highlight pre").get_text()
    assert entry.startswith("@misc{coursekit,") and stamp.repository()[0] in entry


# -- weight ----------------------------------------------------------------------------------------


def test_what_is_served_compressed_is_what_lies_on_disk(tmp_path):
    import gzip
    import urllib.request

    (tmp_path / "page.html").write_text("word " * 1000)
    sent = []
    with check_site.served(tmp_path, sent) as address:
        request = urllib.request.Request(f"{address}/page.html", headers={"Accept-Encoding": "gzip"})
        with urllib.request.urlopen(request) as answer:
            assert gzip.decompress(answer.read()) == b"word " * 1000
        with urllib.request.urlopen(f"{address}/page.html") as answer:
            assert answer.read() == b"word " * 1000
    assert [path for path, _ in sent] == ["/page.html"] * 2
    assert sent[0][1] < 100 and sent[1][1] == 5000


def test_no_page_loads_the_theme_s_script_of_icons(soups):
    assert not [page for page, soup in soups.items() if "fontawesome.js" in str(soup.head)]


@pytest.mark.browser
@pytest.mark.needs("chromium")
def test_the_first_page_weighs_less_than_one_and_a_half_megabytes(html, browser):
    sent = []
    with check_site.served(html, sent) as address:
        context = browser.new_context()
        context.set_default_timeout(120_000)
        page = context.new_page()
        page.goto(f"{address}/{FIRST_PAGE}", wait_until="networkidle")
        context.close()
    assert f"/{FIRST_PAGE}" in [path for path, _ in sent] and len(sent) > 10
    assert sum(size for _, size in sent) < MOST_BYTES, sorted(sent, key=lambda item: -item[1])[:5]


# -- lost readers ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def host(html, tmp_path_factory):
    """Address of a host that serves the site in a sub-folder, and 404.html for whatever is not there."""
    root = tmp_path_factory.mktemp("host")
    (root / "course").symlink_to(html, target_is_directory=True)

    class Handler(QuietHandler):
        def send_error(self, code, *arguments):
            body = (html / "404.html").read_bytes()
            self.send_response(code)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

    with serve(functools.partial(Handler, directory=str(root))) as address:
        yield address


@pytest.mark.browser
@pytest.mark.needs("chromium")
@pytest.mark.parametrize("lost", ["course/nothing.html", "course/book/deep/er/nothing.html"])
def test_a_lost_reader_gets_home_and_to_the_search_from_any_depth(html, host, browser, lost):
    if BeautifulSoup((html / "404.html").read_text(encoding="utf-8"), "html.parser").find("base"):
        pytest.skip("built for one address only, to which its links lead")
    context = browser.new_context()
    context.set_default_timeout(120_000)
    page = context.new_page()
    assert page.goto(f"{host}/{lost}").status == 404
    page.wait_for_selector("base", state="attached")
    page.locator("main a").click()
    page.wait_for_url(f"{host}/course/{FIRST_PAGE}")
    page.goto(f"{host}/{lost}")
    page.wait_for_selector("base", state="attached")
    page.get_by_role("searchbox").fill("ELBO")
    page.get_by_role("button", name="Search").click()
    page.wait_for_url(f"{host}/course/search.html?q=ELBO")
    context.close()


@pytest.mark.browser
@pytest.mark.needs("chromium")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_for_lost_readers_follows_the_scheme(host, browser, scheme):
    context = browser.new_context(color_scheme=scheme, viewport={"width": 375, "height": 700})
    page = context.new_page()
    page.goto(f"{host}/course/404.html")
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    context.close()


# -- what judges the site --------------------------------------------------------------------------


def test_every_known_finding_has_a_rule_a_selector_and_a_reason():
    for rule, selector, reason in check_site.KNOWN:
        assert re.fullmatch(r"[a-z-]+", rule) and selector and len(reason) > 30


def test_the_tools_that_judge_are_never_served(html):
    assert not [path for path in html.rglob("*") if path.name.startswith(("axe.", "lighthouse"))]


def report(**scores):
    audits = {"good": {"title": "Good", "score": 1}, "bad": {"title": "Bad", "score": 0.5, "displayValue": "9 s"}}
    audits["free"] = {"title": "Free", "score": 0}
    references = [{"id": "good", "weight": 1}, {"id": "bad", "weight": 2}, {"id": "free", "weight": 0}]
    names = {name: scores.get(name.replace("-", "_"), 1) for name in check_site.GOALS}
    categories = {name: {"score": score, "auditRefs": references} for name, score in names.items()}
    return {"audits": audits, "categories": categories}


def test_a_report_is_read_as_points_and_what_cost_them():
    scores, costly = check_site.read_report(report(performance=0.895))
    assert scores == {"performance": 90, "accessibility": 100, "best-practices": 100, "seo": 100}
    assert "performance: Bad (9 s)" in costly and not [line for line in costly if "Good" in line or "Free" in line]


def test_a_page_under_a_goal_is_a_fault(monkeypatch, capsys):
    points = check_site.GOALS | {"performance": 89}
    monkeypatch.setattr(check_site, "score", lambda program, address: (points, []))
    assert check_site.run_lighthouse("chromium", "http://127.0.0.1:1", ["a.html"]) == 1
    assert "performance has 89, must have 90" in capsys.readouterr().out


def test_a_report_of_a_page_that_did_not_load_is_an_error():
    with pytest.raises(RuntimeError, match="no page"):
        check_site.read_report(report() | {"runtimeError": {"message": "no page"}})
