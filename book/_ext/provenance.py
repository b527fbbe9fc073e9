"""`{provenance}`: every file of measured numbers, how it was made, and the pages it feeds.

The list is made from the JSON under `book/results/` and from what the pages show of it, so it
cannot fall behind either. A file that feeds no page, and a figure whose numbers lie in no file,
are warnings.
"""

from pathlib import Path

from coursekit_book import load_record, machine
from docutils import nodes
from sphinx import addnodes
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

logger = logging.getLogger(__name__)

LANGUAGES = {"python": "Python"}
KINDS = ("number", "table", "figure", "animation")


class summary(nodes.General, nodes.Element):
    """Stands for the counts, which are known when all pages are read."""


class feeds(nodes.General, nodes.Element):
    """Stands for the pages that one record feeds."""


# -- what the pages show ---------------------------------------------------------------------------


def collect_uses(app, doctree):
    """Note every number, table, figure and animation of this page that comes from a record."""
    uses = []
    for node in doctree.findall(nodes.Element):
        if node.get("measured"):
            kind = "table" if isinstance(node, nodes.table) else "number"
            uses.append(_use(kind, node["measured"][0][0], node, node["measured"]))
        elif isinstance(node, nodes.image) and "_static/figures/" in node.get("uri", ""):
            place = node.parent if isinstance(node.parent, nodes.figure) else node
            uses.append(_use("figure", Path(node["uri"]).stem.partition("-")[0], place))
        elif isinstance(node, nodes.raw) and "_static/animations/" in Path(node.get("source") or "").as_posix():
            uses.append(_use("animation", Path(node["source"]).stem.partition("-")[0], node))
    if uses:
        _all_uses(app.env)[app.env.docname] = uses


def _use(kind, record, node, measured=()):
    section = node
    while section is not None and not isinstance(section, nodes.section):
        section = section.parent
    # A page's own title names no place on it.
    inner = section is not None and isinstance(section.parent, nodes.section)
    return {
        "kind": kind,
        "record": record,
        "measured": [tuple(target) for target in measured],
        "section": section.next_node(nodes.title).astext() if inner else "",
        "anchor": next(iter([*node.get("ids", ()), *(section["ids"] if inner else ())]), ""),
    }


def _all_uses(env):
    if not hasattr(env, "coursekit_uses"):
        env.coursekit_uses = {}
    return env.coursekit_uses


def forget_page(app, env, docname):
    _all_uses(env).pop(docname, None)


def merge_pages(app, env, docnames, other):
    _all_uses(env).update({name: uses for name, uses in _all_uses(other).items() if name in docnames})


def warn_of_loose_ends(app, env):
    """A record that no page shows anything of, and a figure that belongs to no record."""
    records = {path.stem for path in _record_files(env)}
    shown = {use["record"] for uses in _all_uses(env).values() for use in uses}
    for name in sorted(records - shown):
        logger.warning(f"{name}.json: no page shows a number or a figure of it", type="provenance")
    for docname, uses in sorted(_all_uses(env).items()):
        for name in sorted({use["record"] for use in uses} - records):
            logger.warning(f"shows what {name}.json should tell the origin of", location=docname, type="provenance")


def _record_files(env):
    return sorted((Path(env.srcdir) / env.config.coursekit_results).glob("*.json"))


# -- the page --------------------------------------------------------------------------------------


class Provenance(SphinxDirective):
    """One section per record: its runs, and the pages it feeds."""

    def run(self):
        found = [summary()]
        for path in _record_files(self.env):
            self.env.note_dependency(str(path))
            found.append(self._section(path, load_record(path.parent, path.stem)))
        return found

    def _section(self, path, record):
        section = nodes.section(ids=[f"record-{path.stem.replace('_', '-')}"], names=[])
        section += nodes.title(path.stem, path.stem)
        section += feeds(record=path.stem, numbers=_numbers(record))
        for index, run in enumerate(record["runs"]):
            section += self._run(run, [row for row in record["rows"] if row["run"] == index])
        target = "/" + path.relative_to(self.env.srcdir).as_posix()
        download = addnodes.download_reference("", "", reftarget=target, refdoc=self.env.docname)
        download += nodes.literal(path.name, path.name, classes=["xref", "download"])
        section += nodes.paragraph("", "All its numbers: ", download)
        return section

    def _run(self, run, rows):
        repository = str(self.config.html_theme_options.get("repository_url", "")).rstrip("/")
        commit = nodes.literal(run["commit"], run["commit"])
        if repository:
            commit = nodes.reference("", "", commit, refuri=f"{repository}/commit/{run['commit']}")
        changes = "with uncommitted changes" if run["uncommitted_changes"] else "no uncommitted changes"
        versions = ", ".join(f"{LANGUAGES.get(name, name)} {version}" for name, version in run["versions"].items())
        facts = [
            ("Command", [nodes.literal(run["command"], run["command"])]),
            (_repeats(rows), []),
            ("Machine", [nodes.Text(machine(run))]),
            ("Made", [nodes.Text(f"{run['date']}, commit "), commit, nodes.Text(f", {changes}")]),
            ("Data", [nodes.Text(", ".join(run["data"].values()) or "drawn by the script")]),
            ("Versions", [nodes.Text(versions)]),
        ]
        if run.get("note"):
            facts.append(("Note", [nodes.Text(run["note"])]))
        items = nodes.bullet_list(classes=["run"])
        for name, content in facts:
            words = [nodes.strong(name, name), *([nodes.Text(": "), *content] if content else [])]
            items += nodes.list_item("", nodes.paragraph("", "", *words))
        return items


def _repeats(rows):
    """`Seeds 0, 1, 2`, or how many rounds; several kinds of rows name both."""
    seeds = sorted({row["seed"] for row in rows if "seed" in row})
    rounds = {row["round"] for row in rows if "round" in row}
    words = [f"Seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"] if seeds else []
    words += [_count(len(rounds), "round")] if rounds else []
    return " and ".join(words)


def _count(number, word):
    return f"{number} {word}{'s' * (number != 1)}"


def _numbers(record):
    return sorted({(row["case"], metric) for row in record["rows"] for metric in row["metrics"]})


def fill_in(app, doctree, docname):
    """Replace what had to wait until all pages were read."""
    env = app.env
    for node in list(doctree.findall(summary)):
        records = [dict(feed.attributes) for feed in doctree.findall(feeds)]
        measured = sum(len(record["numbers"]) for record in records)
        shown = len({target for uses in _all_uses(env).values() for use in uses for target in use["measured"]})
        hold = f"{_count(len(records), 'file')} {'holds' if len(records) == 1 else 'hold'}"
        text = f"{hold} {measured} numbers, each over its seeds. {shown} of them stand on {_count(len(_all_uses(env)), 'page')}."
        node.replace_self(nodes.paragraph(text, text))
    for node in list(doctree.findall(feeds)):
        node.replace_self(_feeds(app, docname, node["record"], node["numbers"]))


def _feeds(app, docname, record, numbers):
    items, seen = nodes.bullet_list(classes=["feeds"]), set()
    for page in _in_order(app.env):
        uses = [use for use in _all_uses(app.env).get(page, ()) if use["record"] == record]
        if not uses:
            continue
        seen |= {target[1:] for use in uses for target in use["measured"]}
        title = app.env.titles[page].astext()
        paragraph = nodes.paragraph("", "", _link(app, docname, page, "", title))
        for kind in KINDS:
            places = {}
            for use in uses:
                if use["kind"] == kind:
                    places.setdefault((use["section"], use["anchor"]), []).append(use)
            if not places:
                continue
            count = sum(map(len, places.values()))
            paragraph += nodes.Text(f"; {_count(count, kind)}: ")
            for index, (section, anchor) in enumerate(places):
                paragraph += nodes.Text(", " if index else "")
                paragraph += _link(app, docname, page, anchor, section or title)
        items += nodes.list_item("", paragraph)
    found = [items]
    if rest := _names_of_the_rest([tuple(number) for number in numbers], seen):
        found.append(
            nodes.paragraph(
                "", "Measured too, and on no page: ", *_literals(rest), nodes.Text("."), classes=["unshown"]
            )
        )
    return found


def _names_of_the_rest(numbers, seen):
    """Metrics that are shown for no case, then cases of which nothing is shown."""
    metrics = {metric for _, metric in numbers} - {metric for _, metric in seen}
    cases = {case for case, _ in numbers} - {case for case, _ in seen}
    return [*sorted(metrics), *sorted(cases)]


def _literals(words):
    for index, word in enumerate(words):
        if index:
            yield nodes.Text(", ")
        yield nodes.literal(word, word)


def _link(app, docname, page, anchor, text):
    uri = app.builder.get_relative_uri(docname, page)
    return nodes.reference(text, text, internal=True, refuri=f"{uri}#{anchor}" if anchor else uri)


def _in_order(env):
    """Pages as the table of contents has them, then the others."""
    order, todo = [], [env.config.root_doc]
    while todo:
        page = todo.pop(0)
        if page not in order:
            order.append(page)
            todo = env.toctree_includes.get(page, []) + todo
    return order + sorted(env.found_docs - set(order))


def setup(app):
    app.setup_extension("coursekit_book")
    app.add_node(summary)
    app.add_node(feeds)
    app.add_directive("provenance", Provenance)
    app.connect("doctree-read", collect_uses)
    app.connect("env-purge-doc", forget_page)
    app.connect("env-merge-info", merge_pages)
    app.connect("env-check-consistency", warn_of_loose_ends)
    app.connect("doctree-resolved", fill_in)
    return {"version": "1", "env_version": 1, "parallel_read_safe": True, "parallel_write_safe": True}
