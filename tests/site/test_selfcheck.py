"""Self-check questions and the glossary, in a real browser."""

import importlib.util
from pathlib import Path

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.needs("chromium")]

CHAPTERS = [
    "discriminative_generative", "autoencoders", "vae", "gan_theory", "gan_practice", "evaluation", "dcgan",
    "cyclegan", "scaling",
]  # fmt: skip
PAGE = "book/gan_theory.html"
OPEN_ALL = "document.querySelectorAll('.selfcheck details').forEach(node => node.open = true)"
SHOWN = """() => [...document.querySelectorAll('.selfcheck-answer')].map(node =>
    node.checkVisibility({contentVisibilityAuto: true, visibilityProperty: true, opacityProperty: true})
    && node.getBoundingClientRect().height > 15)"""


@pytest.fixture(scope="module")
def faults():
    """The scripts of `test_site.py` that look for faults on a page."""
    spec = importlib.util.spec_from_file_location("faults", Path(__file__).with_name("test_site.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_an_option_opens_and_closes_by_keyboard(open_page):
    page = open_page(PAGE).page
    question = page.locator("section.selfcheck").first
    options = question.locator("details")
    options.nth(0).locator("summary").focus()
    page.keyboard.press("Tab")
    second = options.nth(1)
    assert second.locator("summary").evaluate("node => node === document.activeElement")
    outline = second.locator("summary").evaluate("node => getComputedStyle(node).outlineStyle")
    assert outline != "none"
    answer = second.locator(".selfcheck-answer")
    assert not answer.is_visible()
    page.keyboard.press("Enter")
    assert answer.is_visible()
    assert answer.inner_text().startswith(("Right.", "Not quite."))
    assert not options.nth(0).locator(".selfcheck-answer").is_visible()
    page.keyboard.press("Space")
    assert not answer.is_visible()


def test_an_option_opens_without_javascript(browser, address):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/{PAGE}")
    option = page.locator("section.selfcheck details").first
    option.locator("summary").click()
    assert option.locator(".selfcheck-answer").is_visible()
    context.close()


def test_print_shows_every_answer(open_page):
    page = open_page(PAGE).page
    shown = page.evaluate(SHOWN)
    assert shown and not any(shown)
    page.emulate_media(media="print")
    page.wait_for_function(f"({SHOWN})().every(Boolean)")


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_open_answers_fit_and_can_be_read(open_page, faults, chapter):
    page = open_page(f"book/{chapter}.html").page
    page.evaluate(OPEN_ALL)
    page.wait_for_function(f"({SHOWN})().every(Boolean)")
    assert page.evaluate(faults.UNTYPESET) == []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_function(f"document.documentElement.dataset.theme === '{scheme}'")
        assert page.evaluate(faults.LOW_CONTRAST) == []
    page.set_viewport_size({"width": 375, "height": 800})
    assert page.evaluate(faults.TOO_WIDE) == []
    assert page.evaluate(faults.CUT_OFF) == []
    page.close()


def test_math_in_an_answer_is_as_large_as_elsewhere(open_page):
    page = open_page(PAGE).page
    page.evaluate(OPEN_ALL)
    sizes = page.evaluate("""() => [...document.querySelectorAll('article p mjx-container')].map(node =>
        [node.closest('.selfcheck-answer') !== null, parseFloat(getComputedStyle(node).fontSize)])""")
    inside, elsewhere = ({size for closed, size in sizes if closed == wanted} for wanted in (True, False))
    assert len(inside) == 1
    assert inside <= elsewhere


def test_terms_in_a_chapter_lead_to_the_glossary(open_page):
    page = open_page(PAGE).page
    page.locator("article a:has(.std-term)", has_text="discriminator").first.click()
    page.wait_for_url("**/book/glossary.html#term-*")
    name = page.evaluate("decodeURIComponent(location.hash.slice(1))")
    assert page.locator(f"dt#{name}").is_visible()


def test_the_korean_term_stands_beside_the_english_one(open_page):
    page = open_page("book/glossary.html").page
    pairs = page.evaluate("""() => [...document.querySelectorAll('dl.glossary > dd')].map(node => {
        const korean = node.previousElementSibling, english = korean.previousElementSibling;
        return [english.lang || 'en', korean.querySelector('[lang=ko]')?.textContent ?? '',
                Math.abs(korean.getBoundingClientRect().bottom - english.getBoundingClientRect().bottom)];
    })""")
    assert len(pairs) >= 70
    assert [korean for _, korean, apart in pairs if not korean or apart > 8] == []
