"""What the theme and Sphinx leave undone for readers who hear a page: names of arrows, roles of entries."""

import re

ARROW = re.compile(
    r'(<a class="[^"]*\breference internal"[^>]*>(?P<page>(?:(?!</a>).)*)</a>\s*<details[^>]*>\s*)<summary>', re.S
)


def name_arrows(app, pagename, templatename, context, doctree):
    """Give each arrow the page it unfolds, for readers who hear it."""
    make = context.get("generate_toctree_html")
    if make is None:
        return

    def named(*arguments, **options):
        return with_names(str(make(*arguments, **options)))

    context["generate_toctree_html"] = named


def with_names(markup):
    """The table of contents, its arrows named.

    >>> with_names('<a class="reference internal" href="a.html">A</a><details><summary>')
    '<a class="reference internal" href="a.html">A</a><details><summary aria-label="Pages under A">'
    """

    def label(match):
        page = " ".join(re.sub(r"<[^>]+>", "", match["page"]).split()).replace('"', "&quot;")
        return f'{match[1]}<summary aria-label="Pages under {page}">'

    return ARROW.sub(label, markup)


def modernise_roles(app, pagename, templatename, context, doctree):
    """An entry of the bibliography is an item of its list; the role that Sphinx gives it is deprecated."""
    if context.get("body"):
        context["body"] = context["body"].replace('role="doc-biblioentry"', 'role="listitem"')


def setup(app):
    app.connect("html-page-context", name_arrows, priority=900)
    app.connect("html-page-context", modernise_roles)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
