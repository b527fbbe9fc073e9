"""The `{interactive}` directive: a script of `book/_extra/interactive/` in a figure, over a still picture."""

import functools
import gzip
from html import escape
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective
from sphinx.util.osutil import relative_uri

FOLDER = "interactive"  # in the site's root, whither html_extra_path copies book/_extra
STYLE = "interactive.css"
# What a script needs to be loaded before it. NAME.js itself is loaded for {interactive} NAME.
SCRIPTS = {
    "gan-game": ("parts.js", "densities.js"),
    "vae-explorer": ("parts.js", "explorer.js"),
    "dcgan-explorer": ("parts.js", "explorer.js"),
    "cyclegan-explorer": ("parts.js", "explorer.js"),
}
# What a script fetches when the reader presses its button, from the site's root, besides RUNTIME. A * stands for all
# files that match, in the order of their names.
FILES = {
    "vae-explorer": ("models/vae-digits.onnx", "models/vae-digits.json"),
    "dcgan-explorer": ("models/dcgan-emoji.onnx", f"{FOLDER}/dcgan-explorer.json"),
    "cyclegan-explorer": (
        "models/cyclegan-emoji-G.onnx",
        "models/cyclegan-emoji-F.onnx",
        "models/models.json",
        "models/emoji/*.png",
    ),
}
# Its script, its module and its program; see the Makefile.
RUNTIME = ("ort/ort.wasm.min.js", "ort/ort-wasm-simd-threaded.mjs", "ort/ort-wasm-simd-threaded.wasm")


class app(nodes.General, nodes.Element):
    """Where the script builds its part of the page: `name`, and `scripts` that this page has not loaded yet."""


class Interactive(SphinxDirective):
    """A figure that a script of the site brings to life; its content is the caption.

    `:still:` is the path of the picture that is shown without scripts and in print, `:alt:` its text. The script finds
    `div.interactive-app[data-interactive=NAME]`, whose `data-root` leads to the root of the site, fills it, takes its
    `hidden` away, and marks the figure with `data-ready`, which hides the still on screens. A script with FILES also
    finds `data-files`, `data-runtime` and the bytes of both; of the runtime also as a host sends it that compresses.
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
        needs = self.published((*FILES[name], *RUNTIME)) if name in FILES else {}
        if lost := [pattern for pattern, found in needs.items() if not found]:
            return [error(f"interactive {name!r}: {lost[0]} is missing; run `make install`", line=self.lineno)]
        loaded = self.env.temp_data.setdefault("interactive_scripts", [])
        scripts = [script for script in (*SCRIPTS[name], f"{name}.js") if script not in loaded]
        figure = nodes.figure(classes=["interactive"])
        self.set_source_info(figure)
        figure += app(name=name, scripts=scripts, first=not loaded, data=loads(name, needs) if needs else {})
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

    def published(self, patterns):
        """By pattern: the files that match in the site's root, as `{name there: path here}`, sorted."""
        folders = [Path(self.env.app.confdir, folder) for folder in self.config.html_extra_path]
        return {
            pattern: {
                path.relative_to(folder).as_posix(): path for folder in folders for path in sorted(folder.glob(pattern))
            }
            for pattern in patterns
        }


@functools.cache
def compressed_size(path):
    return len(gzip.compress(path.read_bytes(), compresslevel=6))


def loads(name, needs):
    """What the script's place says of the files that it will fetch."""

    def joined(patterns):
        return {file: path for pattern in patterns for file, path in needs[pattern].items()}

    files, runtime = joined(FILES[name]), joined(RUNTIME)
    return {
        "files": " ".join(files),
        "file-bytes": sum(path.stat().st_size for path in files.values()),
        "runtime": " ".join(runtime),
        "runtime-bytes": sum(path.stat().st_size for path in runtime.values()),
        "runtime-compressed": sum(compressed_size(path) for path in runtime.values()),
    }


def visit_app(translator, node):
    builder = translator.builder
    page = builder.get_target_uri(builder.current_docname)

    def quoted(value):
        return f'"{escape(str(value), quote=True)}"'

    folder = relative_uri(page, f"{FOLDER}/")
    head = [f'<link rel="stylesheet" href={quoted(folder + STYLE)}>'] if node["first"] else []
    head += [f"<script defer src={quoted(folder + script)}></script>" for script in node["scripts"]]
    data = {"interactive": node["name"], "root": folder.removesuffix(f"{FOLDER}/"), **node["data"]}
    attributes = " ".join(f"data-{key}={quoted(value)}" for key, value in data.items())
    translator.body.append(
        "".join(head) + f'<div class="interactive-app" {attributes} hidden></div>\n'
        "<noscript><p>With JavaScript you could change what this picture shows.</p></noscript>\n"
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
