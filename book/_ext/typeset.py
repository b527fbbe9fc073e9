"""Formulas are typeset while the book is built, by MathJax in Node: a reader's browser has nothing left to do.

Pages read the same without JavaScript, and a formula that MathJax refuses stops the build with its page and line.
"""

import html
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

from docutils import nodes
from sphinx.errors import ExtensionError
from sphinx.ext import mathjax
from sphinx.util import logging

PROGRAM = Path(__file__).with_name("typeset.cjs")
FONTS = "../mathjax/woff-v2"  # as seen from _static
STYLE, SCRIPTS = "formulas.css", ("formulas.js", "sections.js")
# Whoever is led into the middle of a page, or back to where they were, needs its true height from the start.
HURRY = """(entry => {
    if (entry?.type === "navigate" && !entry.name.includes("#")) document.documentElement.classList.add("hurried");
})(performance.getEntriesByType("navigation")[0]);"""
DELIMITED = re.compile(r"\\\((?P<inline>.*)\\\)|\\\[(?P<display>.*)\\\]", re.S)
logger = logging.getLogger(__name__)


class Refused(Exception):
    """MathJax does not understand a formula; the message says why."""


class Typesetter:
    """A Node process that answers line by line. The same formula is typeset once."""

    def __init__(self):
        node = shutil.which(
            "node", path=os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.executable).parent)])
        )
        if node is None or not (PROGRAM.parents[2] / "node_modules/mathjax").is_dir():
            raise ExtensionError(
                "formulas are typeset by MathJax in Node, and one of them is missing: run `make install`"
            )
        self._process = subprocess.Popen(
            [node, PROGRAM, FONTS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.markup = cache(self._markup)

    def style(self):
        """The style sheet of every formula, shared by all pages."""
        return self._ask("style")["style"]

    def _markup(self, tex, display):
        answer = self._ask({"tex": tex, "display": display})
        if "refused" in answer:
            raise Refused(answer["refused"])
        return answer["markup"]

    def _ask(self, request):
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise ExtensionError(f"MathJax stopped (status {self._process.wait()}) at {request!r}")
        return json.loads(answer)

    def close(self):
        self._process.communicate()


def _typeset(write):
    """What Sphinx writes for a formula (its number, its alignment), with the formula in place of its TeX."""

    def write_typeset(writer, node):
        before, writer.body = writer.body, []
        try:
            write(writer, node)
        finally:
            written, writer.body = "".join(writer.body), before
            writer.body.append(_with_markup(written, writer, node))

    return write_typeset


def _with_markup(written, writer, node):
    found = DELIMITED.search(written)
    tex = html.unescape(found["inline"] or found["display"]) if found else node.astext()
    try:
        markup = writer.builder.typesetter.markup(tex.strip(), isinstance(node, nodes.math_block))
    except Refused as error:
        logger.warning("MathJax refuses %s: %s", tex.strip(), error, location=node)
        return written
    return written.replace(found[0] if found else writer.encode(tex), markup)


def start(app):
    """Start MathJax, and write the style sheet where pages find it."""
    if app.builder.format != "html":
        return
    app.builder.typesetter = Typesetter()
    static = Path(app.outdir, "_static")
    static.mkdir(parents=True, exist_ok=True)
    (static / STYLE).write_text(app.builder.typesetter.style())


def dress(app, pagename, templatename, context, doctree):
    """Give a page with formulas what they need."""
    if "<mjx-container" in context.get("body", ""):
        app.add_css_file(STYLE)
        app.add_js_file(None, body=HURRY)
        for script in SCRIPTS:
            app.add_js_file(script, loading_method="defer")


def stop(app, exception):
    if hasattr(app.builder, "typesetter"):
        app.builder.typesetter.close()


def setup(app):
    app.add_html_math_renderer(
        "typeset",
        (_typeset(mathjax.html_visit_math), None),
        (_typeset(mathjax.html_visit_displaymath), None),
    )
    app.connect("builder-inited", start)
    app.connect("html-page-context", dress)
    app.connect("build-finished", stop)
    # One process answers one writer.
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": False}
