"""Print chapters of the built website as PDF, and link each from its page (`make pdf`).

    python book/print_pages.py             every chapter
    python book/print_pages.py book/vae    these

A page gets its link only after its PDF was written, and `make book` starts from nothing, so no
link leads nowhere.
"""

import re
import shutil
import sys
from pathlib import Path
from urllib.parse import quote

import yaml

ROOT = Path(__file__).resolve().parents[1]
HTML = ROOT / "_build" / "html"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BUTTON = re.compile(
    r'<button onclick="window\.print\(\)"\s+class="([^"]*btn-download-pdf-button[^"]*)"(.*?)</button>', re.S
)
FOOTER = (
    '<div style="width: 100%; text-align: center; font-size: 8px; font-family: sans-serif">'
    '<span class="title"></span>, page <span class="pageNumber"></span></div>'
)
# What a reader would have to click.
UNFOLD = """() => {
    document.querySelectorAll('details').forEach(node => node.open = true);
    document.querySelectorAll('.toggle-hidden').forEach(node => node.classList.remove('toggle-hidden'));
}"""
# A link to another page is absolute or none, for the PDF lies elsewhere.
PREPARE = """async () => {
    document.querySelectorAll('img').forEach(image => image.loading = 'eager');
    await Promise.all([...document.images].map(image => image.decode().catch(() => 0)));
    const canonical = document.querySelector('link[rel=canonical]')?.href;
    for (const link of document.querySelectorAll('a[href]')) {
        const href = link.getAttribute('href');
        if (href.startsWith('#') || /^(https?|mailto):/.test(href)) continue;
        if (canonical) link.href = new URL(href, canonical).href;
        else link.removeAttribute('href');
    }
    await document.fonts.ready;
}"""


def chapters(root=ROOT):
    """Names of the chapters' pages, as `_toc.yml` has them."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    return [page["file"] for part in toc["parts"] if part["caption"] == "Chapters" for page in part["chapters"]]


def find_browser():
    """Path of the system's Chromium, or None."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def print_page(browser, html, name):
    """Write `pdf/<last part of name>.pdf`, then link it from the page; returns the file.

    Parameters
    ----------
    browser : playwright.sync_api.Browser
    html : path
        Folder of the built site.
    name : str
        A page without its suffix, such as `book/vae`.
    """
    source, target = Path(html) / f"{name}.html", Path(html) / "pdf" / f"{Path(name).name}.pdf"
    if not source.exists():
        raise FileNotFoundError(f"{source} is not built; run `make book` first")
    target.parent.mkdir(exist_ok=True)
    context = browser.new_context(color_scheme="light")
    context.set_default_timeout(120_000)
    try:
        page = context.new_page()
        page.goto(source.resolve().as_uri(), wait_until="load")
        page.evaluate(UNFOLD)
        page.evaluate(PREPARE)
        page.pdf(
            path=target,
            format="A4",
            scale=0.85,
            margin={"top": "16mm", "bottom": "18mm", "left": "14mm", "right": "14mm"},
            print_background=True,
            display_header_footer=True,
            header_template="<span></span>",
            footer_template=FOOTER,
            outline=True,
            tagged=True,
        )
    finally:
        context.close()
    depth = "../" * name.count("/")
    text = source.read_text(encoding="utf-8")
    source.write_text(with_link(text, f"{depth}pdf/{quote(target.name)}"), encoding="utf-8")
    return target


def with_link(text, address):
    """The page's source with a link to its PDF in place of the button that prints."""

    def link(match):
        rest = match[2].replace("Print to PDF", "Download PDF")
        return f'<a href="{address}" download\n  class="{match[1]}"{rest}</a>'

    return BUTTON.sub(link, text)


def main(names, html=HTML):
    program = find_browser()
    if program is None:
        return f"Printing needs Chromium; found none of {', '.join(BROWSERS)}"
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        for name in names or chapters():
            file = print_page(browser, html, name)
            print(f"{file.relative_to(html)}: {file.stat().st_size / 1e6:.1f} MB", flush=True)
        browser.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
