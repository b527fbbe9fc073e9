"""Formulas come typeset: they need no script, keep places where they are, and are reached by keyboard where they scroll."""

import pytest
import test_site as faults
from check_site import lay_out

pytestmark = [pytest.mark.browser, pytest.mark.needs("chromium")]

PAGE, SHORTER = "book/gan_theory.html", "book/dcgan.html"
ALL_LAID_OUT = """[...document.querySelectorAll('.bd-article > section section, .bd-article > section section > *')]
    .every(node => getComputedStyle(node).contentVisibility === 'visible')"""
PLACES = ["what-the-generator-is-graded-by", "gan-proposition-2", "equation-eq-dirac-gan"]
FOLLOW = """place => {
    const link = document.body.appendChild(document.createElement('a'));
    link.href = `#${place}`;
    link.click();
}"""
PATIENT = {"polling": 500, "timeout": 120_000}  # to look at all formulas is work that holds the page up
SCROLLERS = """() => [...document.querySelectorAll('span.math, mjx-container[display]')]
    .filter(node => node.checkVisibility() && node.scrollWidth > node.clientWidth)"""
WIDE_TABLES = """() => [...document.querySelectorAll('.pst-scrollable-table-container')]
    .filter(node => node.scrollWidth > node.clientWidth)"""
# How far the place that the address names is from where the reader finds it, under the bar at the top.
PLACE = """() => {
    const place = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    return place.getBoundingClientRect().top - parseFloat(getComputedStyle(document.documentElement).scrollPaddingTop);
}"""
SETTLED = """() => new Promise(done => {
    let last = -1, still = 0;
    const look = () => {
        still = scrollY === last ? still + 1 : 0;
        last = scrollY;
        still > 20 ? done() : requestAnimationFrame(look);
    };
    look();
})"""


def test_no_page_loads_mathjax(soups):
    for page, soup in soups.items():
        assert not [script for script in soup.select("script[src]") if "mathjax" in script["src"].lower()], page


def test_formulas_are_there_without_javascript(browser, address):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/{PAGE}", wait_until="networkidle")
    assert page.evaluate(faults.UNTYPESET) == []
    first = page.locator("article mjx-container").first
    assert first.bounding_box()["width"] > 5
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_formula_has_the_colour_and_the_height_of_the_text_around_it(open_page, scheme):
    page = open_page(SHORTER).page
    page.emulate_media(color_scheme=scheme)
    page.wait_for_function("theme => document.documentElement.dataset.theme === theme", arg=scheme)
    inside, around, ratio, ex = page.locator("article p mjx-container").first.evaluate("""node => {
        const paragraph = node.closest('p');
        const ruler = paragraph.appendChild(document.createElement('span'));
        ruler.style.cssText = 'display: inline-block; height: 1ex';
        return [
            getComputedStyle(node).color, getComputedStyle(paragraph).color,
            parseFloat(getComputedStyle(node).fontSize) * 0.442, ruler.getBoundingClientRect().height,
        ];
    }""")
    assert inside == around
    assert ratio == pytest.approx(ex, rel=0.02)


@pytest.mark.parametrize("way", ["address", "link", "early link"])
def test_a_link_into_the_middle_of_a_page_leads_there(open_page, way):
    """Before the whole page is laid out nobody knows where its middle is."""
    for place in PLACES:
        page = open_page(f"{PAGE}#{place}" if way == "address" else PAGE, wait=way != "early link").page
        if way != "address":
            page.evaluate(FOLLOW, place)
        page.evaluate(SETTLED)
        assert abs(page.evaluate(PLACE)) < 3, place
        page.close()


def test_a_reloaded_page_stays_where_it_was(open_page):
    page = open_page(PAGE).page
    page.wait_for_function(ALL_LAID_OUT, **PATIENT)
    page.evaluate("scrollTo({top: document.documentElement.scrollHeight / 2, behavior: 'instant'})")
    before = page.evaluate("scrollY")
    page.reload(wait_until="networkidle")
    assert abs(page.evaluate("scrollY") - before) < 3


def test_soon_the_whole_page_is_laid_out(open_page):
    page = open_page(PAGE).page
    page.wait_for_function(ALL_LAID_OUT, **PATIENT)


@pytest.mark.parametrize("deed", [None, lay_out])
def test_a_table_that_scrolls_is_reached_by_keyboard_though_it_was_laid_out_late(browser, address, deed):
    with browser.new_context(viewport={"width": 375, "height": 800}) as context:
        page = context.new_page()
        page.goto(f"{address}/{SHORTER}")
        if deed:
            deed(page)
        page.wait_for_function(ALL_LAID_OUT, **PATIENT)
        page.wait_for_function(f"({WIDE_TABLES})().every(table => table.tabIndex === 0)")
        assert page.evaluate(f"({WIDE_TABLES})().length") > 3


def test_what_scrolls_is_reached_by_keyboard_and_what_fits_is_no_stop(open_page):
    page = open_page(SHORTER).page
    lay_out(page)
    counts = {}
    for width in (1280, 375, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_function(f"({SCROLLERS})().every(node => node.tabIndex === 0)", **PATIENT)
        page.wait_for_function(
            f"document.querySelectorAll('.math[tabindex], mjx-container[tabindex]').length === ({SCROLLERS})().length",
            **PATIENT,
        )
        counts[width] = page.locator("article :is(.math, mjx-container)[tabindex]").count()
    assert counts[1280] < counts[375] < page.locator("article mjx-container").count() / 4
