"""What the world outside sees of a page: description, preview, sitemap, the page for lost readers, how to cite.

Absolute addresses need `html_baseurl`, which the environment variable `COURSEKIT_BASEURL` sets
when the site is published. Without it addresses are relative and no sitemap is written.
"""

import html
import os
import re
from pathlib import Path
from string import Template

import yaml
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

CARD = "_static/card.png"
CARD_ALT = (
    "The words Generative models, checked, beside a grid of handwritten digits "
    "that a VAE decoded, each changing smoothly into the next."
)
SHORTEST, LONGEST = 50, 200
# As notebooks begin what they say of their time (execute.py), and of where to run them (make_exercises.py).
OF_RUNNING = ("Takes about ", "No GPU is needed")
GENERATED = {
    "genindex": "Every public name of coursekit in alphabetical order, with links to its documentation.",
    "search": "Search the whole course: chapters, lessons, exercises and the documentation of coursekit.",
}
# From disk a browser lets no script read another page, so results come without their excerpts.
FROM_DISK = 'if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;'
LOST = Path(__file__).with_name("404.html")


def take_address(app, config):
    """`COURSEKIT_BASEURL` stands in for `html_baseurl`, and either ends in a slash."""
    address = os.environ.get("COURSEKIT_BASEURL") or config.html_baseurl
    config.html_baseurl = f"{address.rstrip('/')}/" if address else ""


# -- description and preview -----------------------------------------------------------------------


def describe(app, pagename, templatename, context, doctree):
    """Append description, Open Graph and Twitter tags to the page's head."""
    if pagename == "search":
        app.add_js_file(None, body=FROM_DISK)
    given = _given_description(doctree)
    text = given or _description(pagename, context, doctree)
    title = app.env.titles[pagename].astext() if pagename in app.env.titles else _plain(context.get("title", ""))
    card = context["pathto"](CARD, 1)
    tags = preview(app, app.builder.get_target_uri(pagename), title, text, card)
    if text and not given:
        tags = f"{_meta('name', 'description', text)}\n{tags}"
    context["metatags"] = f"{context.get('metatags', '')}\n{tags}\n"


def preview(app, target, title, text, card):
    """Open Graph and Twitter tags of the page at `target`; `card` is the picture's address from there."""
    base, start = app.config.html_baseurl, app.builder.get_target_uri(app.config.root_doc)
    tags = [
        ("property", "og:title", title or app.config.html_title),
        ("property", "og:type", "website" if target == start else "article"),
        ("property", "og:site_name", app.config.html_title),
        ("property", "og:description", text),
        ("property", "og:url", f"{base}{target}" if base else ""),
        ("property", "og:image", f"{base}{CARD}" if base else card),
        ("property", "og:image:width", "1200"),
        ("property", "og:image:height", "630"),
        ("property", "og:image:alt", CARD_ALT),
        ("name", "twitter:card", "summary_large_image"),
    ]
    return "\n".join(_meta(kind, name, value) for kind, name, value in tags if value)


def _meta(kind, name, value):
    return f'<meta {kind}="{name}" content="{html.escape(value)}" />'


def _given_description(doctree):
    if doctree is None:
        return ""
    metas = (node for node in doctree.findall(nodes.meta) if node.get("name") == "description")
    return next((node["content"] for node in metas), "")


def _description(pagename, context, doctree):
    """What stands for a page that has none of its own: its first words, or what kind of page it is."""
    if pagename in GENERATED:
        return GENERATED[pagename]
    if pagename.startswith("checks/"):
        return f"The source of {_plain(context['title'])}: tests that check theorems of this course."
    if doctree is None:
        return ""
    paragraphs = (_words(node) for node in doctree.findall(nodes.paragraph))
    telling = (text for text in paragraphs if len(text) >= SHORTEST and not text.startswith(OF_RUNNING))
    return next(map(shortened, telling), "")


def shortened(text):
    """As many whole sentences as fit into 200 characters; failing that, as many words.

    >>> shortened("You train one. It fails.")
    'You train one. It fails.'
    """
    sentences = re.split(r"(?<=[.!?])\s+", text)
    while len(sentences) > 1 and len(" ".join(sentences)) > LONGEST:
        sentences.pop()
    if SHORTEST <= len(" ".join(sentences)) <= LONGEST or len(text) <= LONGEST:
        return " ".join(sentences)
    return f"{text[: LONGEST - 1].rsplit(' ', 1)[0].rstrip(',;:')}…"


def _words(node):
    """Text of a paragraph, its formulas without their backslashes."""
    text = "".join(
        piece.astext().replace(r"\mid", "|").replace(r"\,", " ").replace("\\", "")
        if isinstance(piece, nodes.math)
        else piece.astext()
        for piece in node.children
    )
    return " ".join(text.split())


def _plain(markup):
    return html.unescape(re.sub(r"<[^>]+>", "", str(markup)))


# -- files beside the pages ------------------------------------------------------------------------


def write_beside(app, exception):
    """404.html and a door at the root; where the address is known, sitemap.xml and robots.txt."""
    if exception or app.builder.format != "html":
        return
    folder, base = Path(app.outdir), app.config.html_baseurl
    start = app.builder.get_target_uri(app.config.root_doc)
    page = Template(LOST.read_text(encoding="utf-8")).substitute(
        language=app.config.language or "en",
        title=html.escape(app.config.html_title),
        start=start,
        base=f'<base href="{html.escape(base)}" />' if base else "",
        favicon=f"_static/{Path(app.config.html_favicon).name}" if app.config.html_favicon else "data:,",
    )
    (folder / "404.html").write_text(page, encoding="utf-8")
    if start != "index.html":
        (folder / "index.html").write_text(_door(app, start), encoding="utf-8")
    if base:
        pages = sorted(app.builder.get_target_uri(name) for name in app.env.found_docs)
        places = "".join(f"<url><loc>{html.escape(base + page)}</loc></url>\n" for page in pages)
        (folder / "sitemap.xml").write_text(
            '<?xml version="1.0" encoding="utf-8"?>\n'
            f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{places}</urlset>\n',
            encoding="utf-8",
        )
        (folder / "robots.txt").write_text(f"User-agent: *\nAllow: /\nSitemap: {base}sitemap.xml\n", encoding="utf-8")


def _door(app, start):
    """What lies at the root of the site sends on to the start page, and shares like it."""
    title = html.escape(app.config.html_title)
    text = _given_description(app.env.get_doctree(app.config.root_doc))
    base = html.escape(app.config.html_baseurl)
    canonical = f'<link rel="canonical" href="{base}{start}" />' if base else ""
    return f"""<!DOCTYPE html>
<html lang="{app.config.language or "en"}">
<head>
<meta charset="utf-8" />
<meta name="viewport" content="width=device-width, initial-scale=1" />
<meta http-equiv="refresh" content="0; url={start}" />
<title>{title}</title>
{_meta("name", "description", text)}
{preview(app, start, app.config.html_title, text, CARD)}
{canonical}
</head>
<body><main><h1>{title}</h1><p><a href="{start}">Go to the start of the course</a></p></main></body>
</html>
"""


# -- how to cite -----------------------------------------------------------------------------------


class CiteBook(SphinxDirective):
    """BibTeX of this course, from `CITATION.cff`."""

    def run(self):
        path = Path(self.env.srcdir) / "CITATION.cff"
        self.env.note_dependency(str(path))
        text = bibtex(yaml.safe_load(path.read_text(encoding="utf-8")), self.config.copyright)
        return [nodes.literal_block(text, text, language="bibtex")]


def bibtex(citation, year):
    """The entry for a reference list.

    Parameters
    ----------
    citation : dict
        What `CITATION.cff` holds.
    year : str
    """
    authors = " and ".join(f"{{{author['name']}}}" for author in citation["authors"])
    fields = {
        "author": authors,
        "title": f"{{{citation['title']}}}",
        "year": year,
        "note": f"Version {citation['version']}",
        "url": citation["repository-code"],
    }
    lines = ",\n".join(f"  {name:<6} = {{{value}}}" for name, value in fields.items())
    return f"@misc{{coursekit,\n{lines}\n}}"


def setup(app):
    app.add_directive("cite-book", CiteBook)
    app.add_css_file("print.css", media="print", priority=900)
    app.connect("config-inited", take_address)
    app.connect("html-page-context", describe)
    app.connect("build-finished", write_beside)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
