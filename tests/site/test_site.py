"""The built website, in a real browser that can reach nothing but the site."""

from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import pytest
import stamp
from check_site import lay_out

pytestmark = [pytest.mark.browser, pytest.mark.needs("chromium")]

UNTYPESET = """() => [...document.querySelectorAll('.math')]
    .filter(node => !node.querySelector('mjx-container') || node.querySelector('mjx-merror, [data-mjx-error]'))
    .map(node => node.textContent.trim().slice(0, 80))"""
BAD_IMAGES = """async () => {
    const images = [...document.images];
    images.forEach(image => image.loading = 'eager');
    await Promise.all(images.map(image => image.decode().catch(() => 0)));
    return images
        .filter(image => image.naturalWidth === 0 || image.alt.trim().length < 8 || image.alt.includes('/'))
        .map(image => `${image.src} alt="${image.alt}"`);
}"""
# The theme lets the whole article scroll sideways; what counts as a scroller of its own lies inside it.
TOO_WIDE = """() => {
    const width = document.documentElement.clientWidth;
    const pieces = [document.documentElement, document.querySelector('.bd-article-container')].filter(Boolean);
    if (pieces.every(node => node.scrollWidth <= node.clientWidth)) return [];
    const scrolls = node => node && !pieces.includes(node)
        && (getComputedStyle(node).overflowX !== 'visible' || scrolls(node.parentElement));
    return [...document.querySelectorAll('body *')]
        .filter(node => node.getBoundingClientRect().right > width + 1 && !scrolls(node.parentElement))
        .map(node => `${node.tagName}.${node.className} ${node.textContent.trim().slice(0, 60)}`)
        .slice(0, 5).concat(pieces.map(node => `${node.scrollWidth} of ${node.clientWidth} px`));
}"""
CUT_OFF = """() => {
    const cuts = node => {
        const overflow = node ? getComputedStyle(node).overflowX : 'auto';
        return overflow === 'hidden' ? node : overflow === 'visible' ? cuts(node.parentElement) : null;
    };
    return [...document.querySelectorAll('mjx-container > mjx-math, article img, article table')]
        .filter(node => node.getBoundingClientRect().right > (cuts(node.parentElement)?.getBoundingClientRect().right ?? Infinity) + 1)
        .map(node => node.parentElement.textContent.trim().slice(0, 60) || node.tagName);
}"""
# WCAG 2 contrast of every visible piece of text in the article against what is painted behind it.
LOW_CONTRAST = """() => {
    const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    const known = {};
    const painted = colour => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
        return [r, g, b, a / 255];
    };
    const rgba = colour => [...(known[colour] ??= painted(colour))];
    const over = (top, under) => top.slice(0, 3).map((c, i) => c * top[3] + under[i] * (1 - top[3]));
    const background = node => {
        const layers = [];
        for (; node; node = node.parentElement) layers.push(rgba(getComputedStyle(node).backgroundColor));
        return layers.reverse().reduce((under, layer) => over(layer, under), [255, 255, 255]);
    };
    const opacity = node => node ? getComputedStyle(node).opacity * opacity(node.parentElement) : 1;
    const luminance = colour => colour
        .map(c => c / 255)
        .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const found = new Set();
    const walker = document.createTreeWalker(document.querySelector('article, main, body'), NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const node = walker.currentNode.parentElement;
        if (!walker.currentNode.textContent.trim() || node.closest('script, style, mjx-assistive-mml, .headerlink')) continue;
        if (!node.checkVisibility({visibilityProperty: true, opacityProperty: true})) continue;
        const style = getComputedStyle(node);
        const under = background(node);
        const colour = rgba(style.color);
        colour[3] *= opacity(node);
        const [low, high] = [luminance(over(colour, under)), luminance(under)].sort((a, b) => a - b);
        const ratio = (high + 0.05) / (low + 0.05);
        const size = parseFloat(style.fontSize);
        const large = size >= 24 || (size >= 18.66 && parseInt(style.fontWeight) >= 700);
        if (ratio < (large ? 3 : 4.5))
            found.add(`${ratio.toFixed(2)}:1 ${node.tagName}.${node.className}: ${walker.currentNode.textContent.trim().slice(0, 30)}`);
    }
    return [...found];
}"""


@pytest.fixture(scope="module")
def findings(pages, open_page):
    """What is wrong with each page, by kind of fault: one visit a page, looked at in every way."""
    found = {}
    for path in pages:
        visit = open_page(path)
        page = visit.page
        lay_out(page)
        found[path] = {
            "formulas": page.locator("mjx-container").count(),
            "math": page.evaluate(UNTYPESET),
            "images": page.evaluate(BAD_IMAGES),
            "light": page.evaluate(LOW_CONTRAST),
            "wide at 1280": page.evaluate(TOO_WIDE),
        }
        page.emulate_media(color_scheme="dark")
        page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
        found[path]["dark"] = page.evaluate(LOW_CONTRAST)
        page.set_viewport_size({"width": 375, "height": 800})
        found[path]["wide at 375"] = page.evaluate(TOO_WIDE)
        found[path]["cut off"] = page.evaluate(CUT_OFF)
        found[path] |= {"console": visit.console_errors, "failed": visit.failed, "elsewhere": visit.left_the_site}
        page.close()
    return found


def faults(findings, kind):
    return {page: found[kind] for page, found in findings.items() if found[kind]}


@pytest.mark.parametrize("kind", ["console", "failed", "elsewhere"])
def test_every_page_loads_without_an_error_and_asks_no_other_host(findings, kind):
    assert faults(findings, kind) == {}


def test_math_is_rendered_on_every_page(findings):
    assert faults(findings, "math") == {}
    assert sum(found["formulas"] for found in findings.values()) > 0


def test_every_image_loads_and_has_alt_text(findings):
    assert faults(findings, "images") == {}


def test_the_pictures_that_waited_are_there_for_paper_though_nobody_came_near(open_page):
    page = open_page("book/dcgan.html").page
    assert page.evaluate("scrollY") == 0 and page.locator("img").count() > 5
    page.wait_for_function("[...document.images].every(image => image.naturalWidth > 0)")


@pytest.mark.parametrize("width", [1280, 375])
def test_no_page_is_wider_than_the_window(findings, width):
    assert faults(findings, f"wide at {width}") == {}


def test_nothing_is_cut_off_on_a_narrow_screen(findings):
    assert faults(findings, "cut off") == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast(findings, scheme):
    assert faults(findings, scheme) == {}


def test_every_internal_link_resolves(html, soups):
    ids = {page: {node["id"] for node in soup.find_all(id=True)} for page, soup in soups.items()}
    wrong = []
    for page, soup in soups.items():
        for link in soup.find_all("a", href=True):
            target, fragment = urldefrag(link["href"])
            if urlsplit(target).scheme:
                continue
            goal = unquote(urljoin(page, target)) if target else page
            if goal in ids:
                if fragment and unquote(fragment) not in ids[goal] and fragment != "top":
                    wrong.append((page, link["href"]))
            elif not (html / goal).is_file():
                wrong.append((page, link["href"]))
    assert wrong == []


def test_search_finds_elbo(open_page):
    visit = open_page("search.html?q=ELBO")
    results = visit.page.locator("#search-results ul.search li a")
    results.first.wait_for()
    assert any("vae" in result.get_attribute("href") for result in results.all())
    assert visit.left_the_site == []


def test_the_front_page_leads_to_the_book(open_page):
    visit = open_page("index.html")
    visit.page.wait_for_url("**/book/index.html")
    assert visit.page.locator("article h1").count() == 1


def test_every_notebook_can_be_downloaded_from_its_page(html, soups):
    for page, soup in soups.items():
        if page.startswith("notebooks/"):
            (link,) = soup.select("a.btn-download-source-button")
            kept = (html / urljoin(page, link["href"])).read_bytes()
            assert kept == (stamp.ROOT / page.replace(".html", ".ipynb")).read_bytes(), page


def test_launch_buttons_open_the_right_notebook_on_colab(soups):
    lessons = {page: soup for page, soup in soups.items() if page.startswith("notebooks/")}
    for page, soup in lessons.items():
        expected = stamp.colab_link(page.replace(".html", ".ipynb"))
        buttons = [
            link["href"] for link in soup.select(".header-article a, .bd-header-article a") if "colab" in link["href"]
        ]
        assert buttons == [expected], page
    assert lessons
