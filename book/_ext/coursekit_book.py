"""What this book adds to Jupyter Book.

- `{result}` and `{results-table}` put measured numbers from `book/results/*.json` on a page.
- Every theorem links the tests that check it, shown on pages made from the test files.
- sphinx-thebe's script, which asks another host, is dropped, and so is the theme's heavy script of icons.
"""

import ast
import functools
import json
import re
from pathlib import Path
from urllib.parse import quote

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

logger = logging.getLogger(__name__)


# -- measured numbers --------------------------------------------------------------------------


class ResultError(ValueError):
    """A page names a number that was not measured."""


def load_record(folder, chapter):
    path = Path(folder) / f"{chapter}.json"
    if not path.exists():
        raise ResultError(f"there is no {path.name}; run book/results/{chapter}.py")
    return json.loads(path.read_text(encoding="utf-8"))


def values_of(record, case, metric):
    """The metric of this case, one value per seed or round."""
    rows = [row for row in record["rows"] if row["case"] == case]
    if not rows:
        known = sorted({row["case"] for row in record["rows"]})
        raise ResultError(f"{record['chapter']}.json has no case {case!r}; it has {', '.join(known)}")
    if any(metric not in row["metrics"] for row in rows):
        raise ResultError(f"{record['chapter']}.json, case {case!r}: no metric {metric!r}")
    return [row["metrics"][metric] for row in rows]


def format_values(values, spec):
    """`mean (smallest to largest)`, the number alone if all seeds print alike, or the words that stand for it.

    >>> format_values([1.0, 2.0, 4.5], ".1f")
    '2.5 (1.0 to 4.5)'
    """
    if words := [value for value in values if isinstance(value, str)]:
        return words[0]
    mean, low, high = (
        format(value, spec).replace("-", "\N{MINUS SIGN}")
        for value in (sum(values) / len(values), min(values), max(values))
    )
    return mean if low == high else f"{mean} ({low} to {high})"


def machine(run):
    """Device and threads of a run."""
    return f"{run['device']}, {run['threads']} thread{'s' * (run['threads'] > 1)}"


def describe_runs(record, cases):
    """One sentence on where the numbers of these cases come from."""
    rows = [row for row in record["rows"] if row["case"] in cases]
    runs = [record["runs"][index] for index in sorted({row["run"] for row in rows})]
    seeds = sorted({row["seed"] for row in rows if "seed" in row})
    rounds = {row["round"] for row in rows if "round" in row}
    machines = _unique(map(machine, runs))
    dates = _unique(run["date"] for run in runs)
    commits = _unique(run["commit"] for run in runs)
    data = _unique(source for run in runs for source in run["data"].values())
    if rounds:
        over = (
            f"Mean (smallest to largest) over {len(rounds)} rounds." if len(rounds) > 1 else "One round, so no range."
        )
    elif len(seeds) > 1:
        over = f"Mean (smallest to largest) over seeds {', '.join(map(str, seeds))}."
    else:
        over = f"One seed, {seeds[0]}, so no range."
    sentence = f"{over} " + (
        f"Made by {_unique(run['command'] for run in runs)} on {machines}; {dates}; commit {commits}"
    )
    return sentence + (f"; data: {data}." if data else ".")


def _unique(texts):
    return ", ".join(dict.fromkeys(texts))


class ResultRole(SphinxRole):
    """`{result}`chapter/case/metric|.1f``."""

    def run(self):
        target, _, spec = self.text.partition("|")
        try:
            chapter, case, metric = _split_target(target.strip())
            self.env.note_dependency(str(_results_folder(self.env) / f"{chapter}.json"))
            values = values_of(load_record(_results_folder(self.env), chapter), case, metric)
            text = format_values(values, spec.strip() or ".3g")
        except ValueError as error:
            message = self.inliner.reporter.error(f"result {self.text!r}: {error}", line=self.lineno)
            return [self.inliner.problematic(self.rawtext, self.rawtext, message)], [message]
        return [nodes.inline(text, text, classes=["result"], measured=[(chapter, case, metric)])], []


def _split_target(target):
    parts = target.split("/")
    if len(parts) < 3:
        raise ResultError("write chapter/case/metric|format")
    return parts[0], "/".join(parts[1:-1]), parts[-1]


class ResultsTable(SphinxDirective):
    """Cases down, metrics across, and a caption that says how the numbers were made."""

    required_arguments = 1
    option_spec = {
        name: directives.unchanged
        for name in ("cases", "case-labels", "metrics", "metric-labels", "format", "head", "name")
    }

    def run(self):
        chapter = self.arguments[0].strip()
        folder = _results_folder(self.env)
        self.env.note_dependency(str(folder / f"{chapter}.json"))
        try:
            record = load_record(folder, chapter)
            cases = self._list("cases", ",")
            metrics = self._list("metrics", ",")
            if not cases or not metrics:
                raise ResultError("name the :cases: and the :metrics:")
            if not self.options.get("head"):
                raise ResultError("say in :head: what the cases are; a heading without words is read out as nothing")
            formats = self._list("format", ";") or [".3g"]
            formats = formats * len(metrics) if len(formats) == 1 else formats
            case_labels = self._list("case-labels", ";") or cases
            metric_labels = self._list("metric-labels", ";") or metrics
            for name, labels, items in (
                ("case-labels", case_labels, cases),
                ("metric-labels", metric_labels, metrics),
                ("format", formats, metrics),
            ):
                if len(labels) != len(items):
                    raise ResultError(f":{name}: has {len(labels)} entries for {len(items)}")
            cells = [
                [format_values(values_of(record, case, metric), spec) for metric, spec in zip(metrics, formats)]
                for case in cases
            ]
        except ValueError as error:
            return [self.state.document.reporter.error(f"results-table {chapter}: {error}", line=self.lineno)]
        table = self._table([self.options["head"], *metric_labels], case_labels, cells)
        table["measured"] = [(chapter, case, metric) for case in cases for metric in metrics]
        caption = describe_runs(record, cases)
        return [table, nodes.paragraph(caption, caption, classes=["provenance"])]

    def _list(self, option, separator):
        return [part.strip() for part in self.options.get(option, "").split(separator) if part.strip()]

    def _table(self, head, labels, cells):
        group = nodes.tgroup(cols=len(head))
        group.extend(nodes.colspec(colwidth=1) for _ in head)
        header = nodes.thead()
        header += self._row([self._inline(text) for text in head])
        body = nodes.tbody()
        for label, values in zip(labels, cells):
            body += self._row([self._inline(label), *([nodes.Text(value)] for value in values)])
        group += [header, body]
        table = nodes.table(classes=["results"])
        self.set_source_info(table)
        self.add_name(table)
        table += group
        return table

    def _row(self, contents):
        row = nodes.row()
        for content in contents:
            row += nodes.entry("", nodes.paragraph("", "", *content))
        return row

    def _inline(self, text):
        return self.parse_inline(text, lineno=self.lineno)[0]


def _results_folder(env):
    return Path(env.srcdir) / env.config.coursekit_results


# -- theorems and their tests --------------------------------------------------------------------


def theorem_tests(folder):
    """Tests marked `@pytest.mark.theorem("thm-…")`, found without importing them.

    Returns `{label: [(path, "test_x" or "TestY::test_x", line)]}`; a test's line is its `def`.
    """
    found = {}
    for path in sorted(Path(folder).rglob("test_*.py")):
        for label, name, line in _marks(path, path.stat().st_mtime_ns):
            found.setdefault(label, []).append((path, name, line))
    return found


@functools.cache
def _marks(path, changed):
    """`[(label, name, line)]` of one file, parsed once and not for every page."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [
        (label, name, function.lineno) for name, function in _functions(tree) for label in _theorem_labels(function)
    ]


def _functions(tree, prefix=""):
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{prefix}{node.name}::")
        elif isinstance(node, ast.FunctionDef):
            yield f"{prefix}{node.name}", node


def _theorem_labels(function):
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.theorem":
            yield from (argument.value for argument in decorator.args if isinstance(argument, ast.Constant))


def _page_of(path, env):
    return f"checks/{path.relative_to(Path(env.srcdir) / env.config.coursekit_tests).with_suffix('').as_posix()}"


def link_checks(app, doctree):
    """Append "Checked by test_…" to every theorem that has a test."""
    root = Path(app.srcdir)
    tests = theorem_tests(root / app.config.coursekit_tests)
    for node in doctree.findall(
        lambda node: str(node.get("label", "")).startswith("thm-") if isinstance(node, nodes.Element) else False
    ):
        checks = tests.get(node["label"], [])
        if not checks:
            continue
        paragraph = nodes.paragraph("", "Checked by ", classes=["checked-by"])
        for index, (path, name, line) in enumerate(checks):
            app.env.note_dependency(str(path))
            if index:
                paragraph += nodes.Text(", ")
            uri = f"{app.builder.get_relative_uri(app.env.docname, _page_of(path, app.env))}#L{line}"
            reference = nodes.reference("", "", internal=True, refuri=quote(uri, safe="/#.%"))
            reference += nodes.literal(name, name)
            paragraph += reference
        paragraph += nodes.Text(".")
        node[-1] += paragraph


def check_pages(app):
    """One page per test file that checks a theorem: its source, with a target on every line."""
    if app.builder.format != "html":
        return
    root = Path(app.srcdir)
    paths = {path for tests in theorem_tests(root / app.config.coursekit_tests).values() for path, _, _ in tests}
    for path in sorted(paths):
        title = path.relative_to(root).as_posix()
        html = app.builder.highlighter.highlight_block(path.read_text(encoding="utf-8"), "python")
        start, code = html.split("<pre>", 1)
        code, end = code.rsplit("</pre>", 1)
        lines = code.splitlines()
        body = "\n".join(f'<span id="L{number}"></span>{line}' for number, line in enumerate(lines, 1))
        context = {"title": title, "parents": [], "body": f"<h1>{title}</h1>\n{start}<pre>{body}</pre>{end}"}
        yield _page_of(path, app.env), context, "page.html"


# -- docstrings --------------------------------------------------------------------------------------


def adapt_docstring(app, what, name, obj, options, lines):
    """Docstrings are written to be read in code: `*shape` is no emphasis, a label of the book is a link."""
    for index, line in enumerate(lines):
        line = re.sub(r"(?<![\w*`\\])\*(?=\w)", r"\\*", line)
        line = re.sub(r"`{0,2}\b(eq-[\w-]*\w)`{0,2}", r":eq:`\1`", line)
        lines[index] = re.sub(r"`{0,2}\b(thm-[\w-]*\w)`{0,2}", r":prf:ref:`\1`", line)


# -- one request fewer -----------------------------------------------------------------------------


def drop_thebe(app, pagename, templatename, context, doctree):
    """sphinx-thebe is always loaded by Jupyter Book; its script asks a CDN and logs an error."""
    context["script_files"] = [
        script
        for script in context.get("script_files", [])
        if "sphinx-thebe.js" not in str(getattr(script, "filename", script))
        and "THEBE_JS_URL" not in str(getattr(script, "attributes", {}).get("body", ""))
    ]


ICON_SCRIPT = re.compile(r'\s*<script defer src="[^"]*/scripts/fontawesome\.js[^"]*"></script>')


def drop_icon_script(app, exception):
    """The theme draws its icons with a font, and then again with a script of 1.5 MB."""
    if exception or app.builder.format != "html":
        return
    for path in Path(app.outdir).rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        if ICON_SCRIPT.search(text):
            path.write_text(ICON_SCRIPT.sub("", text), encoding="utf-8")


def setup(app):
    app.add_config_value("coursekit_results", "book/results", "env")
    app.add_config_value("coursekit_tests", "tests", "env")
    app.add_role("result", ResultRole())
    app.add_directive("results-table", ResultsTable)
    app.add_css_file("book.css", priority=900)
    app.connect("doctree-read", link_checks)
    if "sphinx.ext.autodoc" in app.extensions:
        app.connect("autodoc-process-docstring", adapt_docstring, priority=400)
    app.connect("html-collect-pages", check_pages)
    app.connect("html-page-context", drop_thebe, priority=900)
    app.connect("build-finished", drop_icon_script)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
