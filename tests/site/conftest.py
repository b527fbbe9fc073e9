"""The built website on localhost, and a real browser that can reach nothing else."""

import functools
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from _serving import QuietHandler, serve
from bs4 import BeautifulSoup
from check_site import AT_REST

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("_config.yml", "_toc.yml", "book", "notebooks", "coursekit", "tests")


def newest(paths):
    files = (file for path in paths for file in ([path] if path.is_file() else path.rglob("*")))
    return max(file.stat().st_mtime for file in files if file.is_file() and "__pycache__" not in file.parts)


@pytest.fixture(scope="session")
def html(tmp_path_factory):
    """Folder of the built site: `_build/html` if it is newer than its sources, else built afresh."""
    built = ROOT / "_build" / "html"
    if (built / "index.html").exists() and (built / "index.html").stat().st_mtime > newest(
        [ROOT / name for name in SOURCES]
    ):
        return built
    folder = tmp_path_factory.mktemp("book")
    program = "from jupyter_book.cli.main import main; main()"
    command = [sys.executable, "-c", program, "build", ".", "-W", "-n", "--keep-going", "-q", "--path-output", folder]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"})
    assert result.returncode == 0, f"the book does not build:\n{result.stdout}\n{result.stderr}"
    return folder / "_build" / "html"


@pytest.fixture(scope="session")
def pages(html):
    """Addresses of all pages, relative to the site."""
    found = sorted(path.relative_to(html).as_posix() for path in html.rglob("*.html"))
    return [page for page in found if not page.startswith("_static/") and page != "index.html"]


@pytest.fixture(scope="session")
def soups(html, pages):
    """Every page, parsed, without what is painted of its formulas: more than all else together."""
    painted = re.compile(r"<mjx-math.*?</mjx-math>", re.S)
    texts = {page: painted.sub("", (html / page).read_text(encoding="utf-8")) for page in pages}
    return {page: BeautifulSoup(text, "html.parser") for page, text in texts.items()}


@pytest.fixture(scope="session")
def address(html):
    """Address of the served site."""
    with serve(functools.partial(QuietHandler, directory=str(html))) as address:
        yield address


@pytest.fixture(scope="session")
def open_page(browser, address):
    """`open_page(path)` gives a `Visit`; its fonts are there when it returns, unless it shall not wait."""
    host = urlsplit(address).netloc
    contexts = []

    def open_page(path, wait=True):
        context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="light")
        contexts.append(context)
        visit = Visit(context.new_page())

        def route(route):
            if urlsplit(route.request.url).netloc in (host, ""):
                route.continue_()
            else:
                visit.left_the_site.append(route.request.url)
                route.abort()

        context.route("**/*", route)
        visit.page.on("console", lambda message: message.type == "error" and visit.console_errors.append(message.text))
        visit.page.on("pageerror", lambda error: visit.console_errors.append(str(error)))
        visit.page.on("requestfailed", lambda request: visit.failed.append(request.url))
        visit.page.on("response", lambda response: response.status >= 400 and visit.failed.append(response.url))
        visit.page.goto(f"{address}/{path}", wait_until="networkidle" if wait else "domcontentloaded")
        visit.page.add_style_tag(content=AT_REST)
        if wait:
            visit.page.evaluate("document.fonts.ready.then(() => 0)")
        return visit

    yield open_page
    for context in contexts:
        context.close()


@dataclass
class Visit:
    """A loaded page and what went wrong while it loaded."""

    page: object
    console_errors: list = field(default_factory=list)
    failed: list = field(default_factory=list)
    left_the_site: list = field(default_factory=list)
