"""The `{interactive}` directive: a script of `book/_extra/interactive/` in a figure, over a still picture."""

from html import escape

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective
from sphinx.util.osutil import relative_uri

FOLDER = "interactive"  # in the site's root, whither html_extra_path copies book/_extra
STYLE = "interactive.css"
# What a script needs to be loaded before it. NAME.js itself is loaded for {interactive} NAME.
SCRIPTS = {
    "gan-game": ("densities.js",),
}


class app(nodes.General, nodes.Element):
    """Where the script builds its part of the page: `name`, and `scripts` that this page has not loaded yet."""


class Interactive(SphinxDirective):
    """A figure that a script of the site brings to life; its content is the caption.

    `:still:` is the path of the picture that is shown without scripts and in print, `:alt:` its text. The script finds
    `div.interactive-app[data-interactive=NAME]`, whose `data-root` leads to the root of the site, fills it, takes its
    `hidden` away, and marks the figure with `data-ready`, which hides the still on screens.
    """

    required_arguments = 1
    has_content = True
    option_spec = {
        "still": directives.unchanged_required,
        "alt": directives.unchanged_required,
        "name": directives.unchanged,
    }

    def run(self):
        name = self.arguments[0].strip()
        error = self.state.document.reporter.error
        if name not in SCRIPTS:
            return [error(f"interactive {name!r}: there are {', '.join(sorted(SCRIPTS))}", line=self.lineno)]
        if missing := [option for option in ("still", "alt") if not self.options.get(option)]:
            return [error(f"interactive {name!r}: :{missing[0]}: is missing", line=self.lineno)]
        if not self.content:
            return [error(f"interactive {name!r}: write a caption", line=self.lineno)]
        loaded = self.env.temp_data.setdefault("interactive_scripts", [])
        scripts = [script for script in (*SCRIPTS[name], f"{name}.js") if script not in loaded]
        figure = nodes.figure(classes=["interactive"])
        self.set_source_info(figure)
        figure += app(name=name, scripts=scripts, first=not loaded)
        figure += nodes.image(uri=self.options["still"], alt=self.options["alt"], classes=["interactive-still"])
        loaded += scripts
        first, *others = self.parse_content_to_nodes(allow_section_headings=False)
        caption = nodes.caption(first.rawsource, "", *first.children)
        caption.source, caption.line = first.source, first.line
        figure += caption
        if others:
            figure += nodes.legend("", *others)
        self.add_name(figure)
        return [figure]


def visit_app(translator, node):
    builder = translator.builder
    page = builder.get_target_uri(builder.current_docname)

    def address(file):
        return escape(relative_uri(page, f"{FOLDER}/{file}"), quote=True)

    head = [f'<link rel="stylesheet" href="{address(STYLE)}">'] if node["first"] else []
    head += [f'<script defer src="{address(script)}"></script>' for script in node["scripts"]]
    root = address("")[: -len(f"{FOLDER}/")]
    translator.body.append(
        "".join(head)
        + f'<div class="interactive-app" data-interactive="{escape(node["name"], quote=True)}" data-root="{root}" hidden>'
        "</div>\n<noscript><p>With JavaScript you could change what this picture shows.</p></noscript>\n"
    )
    raise nodes.SkipNode


def skip_app(translator, node):
    raise nodes.SkipNode


def setup(sphinx):
    sphinx.add_directive("interactive", Interactive)
    sphinx.add_node(
        app,
        html=(visit_app, None),
        **{builder: (skip_app, None) for builder in ("latex", "text", "man", "texinfo")},
    )
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
