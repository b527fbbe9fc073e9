"""The built folder, copied somewhere and opened from disk: nothing but files is asked for."""

import shutil

import pytest
import test_site as faults
from check_site import lay_out

pytestmark = [pytest.mark.browser, pytest.mark.needs("chromium")]

PAGES = ["book/index.html", "book/vae.html", "book/gan_theory.html", "book/provenance.html", "notebooks/vae.html"]
FONTS = "[...document.fonts].filter(font => font.family.startsWith('MJXTEX') && font.status === 'loaded').length"
EMPTY_IMAGES = """async () => {
    const images = [...document.images];
    images.forEach(image => image.loading = 'eager');
    await Promise.all(images.map(image => image.decode().catch(() => 0)));
    return images.filter(image => image.naturalWidth === 0).map(image => image.src);
}"""


@pytest.fixture(scope="module")
def folder(html, tmp_path_factory):
    copy = tmp_path_factory.mktemp("disk") / "a course, unzipped"
    shutil.copytree(html, copy)
    return copy


@pytest.fixture
def reader(browser):
    """A page, the addresses that are no file, and what went wrong."""
    context = browser.new_context()
    context.set_default_timeout(120_000)
    page, elsewhere, errors = context.new_page(), [], []

    def route(route):
        if not route.request.url.startswith(("file:", "data:", "blob:")):
            elsewhere.append(route.request.url)
            return route.abort()
        route.continue_()

    context.route("**/*", route)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: message.type == "error" and errors.append(message.text))
    page.on("requestfailed", lambda request: errors.append(request.url))
    yield page, elsewhere, errors
    context.close()


@pytest.mark.parametrize("path", PAGES)
def test_a_page_reads_from_disk_with_formulas_and_figures(folder, reader, path):
    page, elsewhere, errors = reader
    page.goto((folder / path).as_uri(), wait_until="load")
    lay_out(page)
    assert page.evaluate(faults.UNTYPESET) == []
    if page.locator("mjx-container").count():
        page.wait_for_function(f"{FONTS} > 0")
    assert page.evaluate(EMPTY_IMAGES) == []
    assert elsewhere == [] and errors == []


def test_the_root_and_the_arrows_lead_on(folder, reader):
    page, elsewhere, errors = reader
    page.goto((folder / "index.html").as_uri())
    page.wait_for_url("**/book/index.html")
    lay_out(page)
    page.locator("a.right-next").click()
    page.wait_for_url("**/book/notation.html")
    assert page.locator("article h1").count() == 1
    assert elsewhere == [] and errors == []


def test_search_finds_a_chapter_and_its_results_open(folder, reader):
    page, elsewhere, errors = reader
    page.goto((folder / "search.html").as_uri() + "?q=importance-weighted")
    results = page.locator("#search-results ul.search li a")
    results.first.wait_for()
    chapter = results.and_(page.locator("[href*='book/vae.html']")).first
    chapter.click()
    page.wait_for_url("**/book/vae.html*")
    assert page.locator("article h1").count() == 1
    assert elsewhere == [] and errors == []
