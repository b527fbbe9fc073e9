"""Judge the built website as a browser's own tools do (`make check-site`).

    python tests/site/check_site.py                  axe on every page, Lighthouse on one of each kind
    python tests/site/check_site.py book/vae.html    both, on these pages

axe looks at each page wide and at 375 px, in light and in dark, with all answers open and all models
loaded. What the theme itself causes is listed in KNOWN with its reason; anything else fails, and so
does an entry that is no longer found. Lighthouse looks at the page as a desktop browser gets it,
served compressed. No page reaches another host.
"""

import argparse
import collections
import functools
import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from _serving import QuietHandler, serve

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "book"))
from print_pages import BROWSERS, UNFOLD, find_browser  # noqa: E402

TOOLS = ROOT / ".tools" / "node_modules"
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update"]
# No page reaches another host.
ALONE = "--host-resolver-rules={quote}MAP * ~NOTFOUND , EXCLUDE 127.0.0.1{quote}"

KNOWN = [
    ("label-content-name-mismatch", ".search-button-field", "its name is Search; the shortcut beside it is no part"),
    ("region", ".bd-sidebar-primary *", "the theme puts logo and search of the sidebar into no landmark"),
]
# What can differ between light and dark; everything else is judged once a width.
COLOURS = ["color-contrast", "link-in-text-block"]
GOALS = {"performance": 90, "accessibility": 95, "best-practices": 95, "seo": 95}
KINDS = [
    "book/index.html",
    "book/vae.html",
    "book/gan_theory.html",
    "book/dcgan.html",
    "book/cyclegan.html",
    "book/provenance.html",
    "book/api.html",
    "notebooks/vae.html",
    "notebooks/exercises/vae.html",
    "search.html",
]
READY = """async () => {
    await document.fonts.ready;
    // What scrolls is made reachable by keyboard a moment after the page has come to rest.
    const scrolls = node => node.scrollWidth > node.clientWidth || node.scrollHeight > node.clientHeight;
    const late = () => [...document.querySelectorAll('pre, .pst-scrollable-table-container, span.math, mjx-container[display]')]
        .some(node => scrolls(node) && node.tabIndex < 0);
    for (let n = 0; n < 40 && late(); n++) await new Promise(done => setTimeout(done, 100));
}"""
LOAD_MODELS = "document.querySelectorAll('.explorer-offer button').forEach(button => button.click())"
ALL_LOADED = "!document.querySelector('.explorer-offer')"
AT_REST = "* { transition: none !important; animation: none !important; }"
# Formulas as they are painted are hidden from assistive technology, and full of nodes; their MathML is judged.
AXE = """async ([known, rules]) => {
    const options = {resultTypes: ['violations'], elementRef: true, preload: false};
    if (rules) options.runOnly = {type: 'rule', values: rules};
    const result = await axe.run({exclude: ['mjx-math']}, options);
    return result.violations.flatMap(violation => violation.nodes.map(node => ({
        rule: violation.id,
        help: violation.help,
        selector: node.target.join(' '),
        known: known.findIndex(([rule, selector]) => rule === violation.id && node.element?.matches(selector)),
    })));
}"""


# -- serving ---------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=512)
def compressed(path, changed):
    return gzip.compress(Path(path).read_bytes(), compresslevel=6, mtime=0)


class CompressingHandler(QuietHandler):
    """Serves text compressed, as hosts of static sites do, and counts what it sends."""

    protocol_version = "HTTP/1.1"
    TEXT = (".html", ".css", ".js", ".mjs", ".json", ".svg", ".xml", ".txt", ".wasm")

    def __init__(self, *arguments, sent=None, **options):
        self.sent = sent
        super().__init__(*arguments, **options)

    def do_GET(self):
        path = Path(self.translate_path(self.path))
        if path.is_dir():
            path = path / "index.html"
        if not path.is_file():
            body = b"not found"
            self.send_response(404)
        elif path.suffix in self.TEXT and "gzip" in self.headers.get("Accept-Encoding", ""):
            body = compressed(str(path), path.stat().st_mtime_ns)
            self.send_response(200)
            self.send_header("Content-Encoding", "gzip")
        else:
            body = path.read_bytes()
            self.send_response(200)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "max-age=600")
        self.end_headers()
        self.wfile.write(body)
        if self.sent is not None:
            self.sent.append((self.path, len(body)))


def served(html, sent=None):
    """Address of the site while it is served; `sent` collects `(path, bytes)` of each answer."""
    return serve(functools.partial(CompressingHandler, directory=str(html), sent=sent))


def pages_of(html):
    """All pages, the small ones first: they take seconds, the largest minutes."""
    paths = sorted(Path(html).rglob("*.html"), key=lambda path: path.stat().st_size)
    found = (path.relative_to(html).as_posix() for path in paths)
    return [page for page in found if not page.startswith("_static/") and page != "index.html"]


# -- axe -------------------------------------------------------------------------------------------


def lay_out(page):
    """Have the whole page laid out, not only what is near the window, as whatever a reader does first has."""
    page.keyboard.press("Shift")


def findings(browser, address, script):
    """What axe finds at this address: one dict per element, with the width and scheme it was seen at."""
    found = []
    known = [(rule, selector) for rule, selector, _ in KNOWN]
    for width in (1280, 375):
        context = browser.new_context(viewport={"width": width, "height": 800}, reduced_motion="reduce")
        try:
            context.set_default_timeout(120_000)
            page = context.new_page()
            page.goto(address, wait_until="load")
            page.add_style_tag(content=AT_REST)
            lay_out(page)
            page.evaluate(UNFOLD)
            page.evaluate(LOAD_MODELS)
            page.wait_for_function(ALL_LOADED)
            page.evaluate(READY)
            page.evaluate(script)
            for scheme, rules in (("light", None), ("dark", COLOURS)):
                page.emulate_media(color_scheme=scheme)
                page.wait_for_function("theme => document.documentElement.dataset.theme === theme", arg=scheme)
                found += [{**one, "width": width, "scheme": scheme} for one in page.evaluate(AXE, [known, rules])]
        finally:
            context.close()
    return found


def run_axe(program, address, pages, complete):
    """Print what is wrong page by page; returns the number of faults."""
    from playwright.sync_api import sync_playwright

    script = (TOOLS / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
    faults, met = 0, collections.Counter()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=[*FLAGS, ALONE.format(quote="")])
        for page in pages:
            found = findings(browser, f"{address}/{page}", script)
            met.update(one["known"] for one in found if one["known"] >= 0)
            new = {}
            for one in found:
                if one["known"] < 0:
                    where = new.setdefault((one["rule"], one["help"]), {}).setdefault(one["selector"], [])
                    where.append(f"{one['width']} {one['scheme']}")
            count = sum(map(len, new.values()))
            faults += count
            print(f"axe {page}: {count or 'nothing'}", flush=True)
            for (rule, help), places in new.items():
                print(f"    {rule}: {help}; {len(places)} places, such as")
                for selector, where in list(places.items())[:5]:
                    print(f"        {selector} ({', '.join(where)})")
        browser.close()
    for index, (rule, selector, _) in enumerate(KNOWN):
        print(f"axe, known: {rule} at {selector}: {met[index]} times")
        if complete and not met[index]:
            print("    no longer found: take it off the list")
            faults += 1
    return faults


# -- Lighthouse ------------------------------------------------------------------------------------


def score(program, address):
    """`({category: 0 to 100}, [titles of audits that cost points])` of one page on a desktop."""
    node = shutil.which("node", path=os.pathsep.join([os.environ["PATH"], str(Path(sys.executable).parent)]))
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [node, str(TOOLS / "lighthouse" / "cli" / "index.js"), address, "--preset=desktop", "--quiet"]
        command += ["--output=json", f"--output-path={report}", f"--only-categories={','.join(GOALS)}"]
        flags = " ".join(["--headless=new", *FLAGS, ALONE.format(quote='"')])
        command += [f"--chrome-flags={flags}", "--no-enable-error-reporting"]
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=600, env={**os.environ, "CHROME_PATH": program}
        )
        if not report.exists():
            raise RuntimeError(f"Lighthouse gave no report of {address}:\n{result.stdout}{result.stderr}")
        return read_report(json.loads(report.read_text(encoding="utf-8")))


def read_report(report):
    if report.get("runtimeError"):
        raise RuntimeError(report["runtimeError"]["message"])
    scores = {name: round(100 * report["categories"][name]["score"]) for name in GOALS}
    costly = [
        f"{name}: {audit['title']} ({audit.get('displayValue') or audit['score']})"
        for name in GOALS
        for reference in report["categories"][name]["auditRefs"]
        if reference["weight"] and (audit := report["audits"][reference["id"]])["score"] not in (None, 1)
    ]
    return scores, costly


def run_lighthouse(program, address, pages):
    faults = 0
    for page in pages:
        scores, costly = score(program, f"{address}/{page}")
        low = [name for name, goal in GOALS.items() if scores[name] < goal]
        faults += len(low)
        print(f"lighthouse {page}: " + ", ".join(f"{name} {points}" for name, points in scores.items()), flush=True)
        for line in costly:
            print(f"    {line}")
        for name in low:
            print(f"    under its goal: {name} has {scores[name]}, must have {GOALS[name]}")
    return faults


# -- command line ----------------------------------------------------------------------------------


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Judge the built website with axe and Lighthouse")
    parser.add_argument("pages", nargs="*", help="such as book/vae.html; default: all for axe, some for Lighthouse")
    parser.add_argument("--html", type=Path, default=ROOT / "_build" / "html")
    parser.add_argument("--only", choices=["axe", "lighthouse"])
    options = parser.parse_args(arguments)
    program = find_browser()
    if program is None:
        return f"This needs Chromium; found none of {', '.join(BROWSERS)}"
    if not (options.html / "search.html").exists():
        return f"{options.html} holds no website; run `make book` first"
    faults = 0
    with served(options.html) as address:
        if options.only != "lighthouse":
            faults += run_axe(program, address, options.pages or pages_of(options.html), not options.pages)
        if options.only != "axe":
            faults += run_lighthouse(program, address, options.pages or KINDS)
    print(f"{faults} faults" if faults else "No fault")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
