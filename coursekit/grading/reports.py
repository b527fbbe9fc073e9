"""What a graded class leaves: tables to import, a page for each student, a summary with a plot.

Everything here is made from `Marked` alone. Names and texts of students are escaped in HTML, and in CSV no cell can
be taken for a formula.
"""

import csv
import html
import io
import json
import re

from coursekit.grading.classroom import safe_name, write_whole

__all__ = ["FLAGS", "csv_cell", "csv_text", "results_json", "student_page", "summary_figure", "write_reports"]

STATUS = {
    "passed": "All hidden cases pass.",
    "partial": "Some of the hidden cases pass.",
    "failed": "The hidden cases expect other values.",
    "error": "It raised {detail} on a hidden case.",
    "timeout": "It took too long on a hidden case and was stopped.",
    "killed": "It ended the process that it ran in, or used more memory than there is.",
    "refused": "What it gave is not of the kind that the task asks for.",
    "blank": "Not answered.",
    "not-defined": "After the notebook has run, there is nothing of this name.",
    "missing": "Not handed in.",
    "calls-reference": "It calls coursekit's own implementation of what was asked, so it earns nothing.",
    "pending": "To be read by a person.",
    "marked": "Read by a person.",
    "grader-error": "The grader failed here. This is not your fault, and not your mark yet.",
}
STATUS_OF_KIND = {
    ("artefact", "passed"): "It reaches the full score on hidden data.",
    ("artefact", "partial"): "It reaches a part of the score on hidden data.",
    ("artefact", "failed"): "Its score on hidden data is too low.",
    ("artefact", "refused"): "The file does not hold the weights of the network that was asked for ({detail}).",
    ("value", "passed"): "The number is right.",
    ("value", "failed"): "The number is not right.",
}
FLAGS = {
    "byte-order-mark": "The notebook begins with a byte order mark; it was read all the same.",
    "calls-reference": "An answer calls coursekit's own implementation of what was asked.",
    "cell-failed": "A cell raised an error; the cells after it were run all the same.",
    "cell-killed": "A cell ended the process that it ran in; the other cells were run again without it.",
    "cell-skipped": "A cell was not run.",
    "cell-timeout": "A cell took too long and was stopped.",
    "damaged-parts": "A part of the file cannot be read; the rest was graded.",
    "duplicate": "There is more than one submission; all were graded and the best counts.",
    "empty": "The notebook is empty.",
    "from-answers-file": "The number was taken from answers.json.",
    "grader-error": "The grader failed on this submission; grade it again.",
    "html": "This is a web page, not a notebook.",
    "id-differs": "The id in the notebook is not the one that the submission is filed under; the latter counts.",
    "link": "There is a link in the submission; it was not followed.",
    "no-notebook": "There is no notebook in the submission.",
    "not-utf-8": "The notebook is not UTF-8; it was read as Latin-1.",
    "oversized": "Something is larger than any answer can be, and was not read.",
    "reference-allowed": "The instructor has allowed a call of coursekit's own implementation.",
    "rubric-outdated": "The text has changed since it was read.",
    "several-notebooks": "There are several notebooks; the one that fits the assignment best was graded.",
    "truncated": "The notebook breaks off; its whole cells were graded.",
    "unreadable": "It, or a part of it, cannot be read.",
    "unsafe": "The code ran without a sandbox: these marks can be forged.",
    "unsafe-path": "A file in the archive points outside of it, and was not read.",
    "weaker-sandbox": "The code ran under another user with limits, not in a full sandbox.",
    "wrong-assignment": "This looks like another assignment.",
}

OPEN = ("pending", "grader-error")  # no mark yet
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # how one may begin

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --good: #1a7f37; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --good: #57d364; --bad: #ff8a80; } }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .4rem .7rem; border-bottom: 1px solid var(--line); }
td.n, th.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.passed { color: var(--good); } .lost { color: var(--bad); }
pre { white-space: pre-wrap; overflow-wrap: anywhere; border: 1px solid var(--line); padding: .7rem; font-size: .9rem; }
img { max-width: 100%; height: auto; background: white; }
td { overflow-wrap: anywhere; }
"""


def write_reports(marked, assignment, out):
    """Write all reports.

    Parameters
    ----------
    marked : list of Marked
    assignment : Assignment
    out : Path
        An existing folder. Gets ``grades.csv``, ``canvas.csv``, ``summary.html``, ``summary.png`` and, for each
        student, ``students/<name>/report.html`` and ``results.json``.
    """
    write_whole(out / "grades.csv", _grades(marked, assignment))
    write_whole(out / "canvas.csv", _canvas(marked, assignment))
    for one in marked:
        folder = out / "students" / safe_name(one.student)
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / "report.html", student_page(one, assignment))
        write_whole(folder / "results.json", json.dumps(results_json(one, assignment), indent=1))
    png = io.BytesIO()
    figure, alt = summary_figure(marked, assignment)
    figure.savefig(png, format="png", facecolor="white", metadata={"Software": None})
    write_whole(out / "summary.png", png.getvalue())
    write_whole(out / "summary.html", _summary_page(marked, assignment, alt))


# -- tables ----------------------------------------------------------------------------------------


def csv_cell(value):
    """A cell that no spreadsheet takes for a formula."""
    if isinstance(value, (int, float)):
        return f"{value:g}" if abs(value) < 1e5 else str(value)
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA) else text


def csv_text(rows):
    """CSV with these rows; cells are made harmless."""
    file = io.StringIO()
    csv.writer(file).writerows([csv_cell(value) for value in row] for row in rows)
    return file.getvalue()


def _grades(marked, assignment):
    rows = [["student", *assignment.tasks, "total"]]
    for one in marked:
        points = ["" if mark.status in OPEN else mark.points for mark in one.tasks.values()]
        rows.append([one.student, *points, _total(one)])
    return csv_text(rows)


def _canvas(marked, assignment):
    """As Canvas's gradebook imports it: found by Canvas's number, SIS id, login, or name."""
    rows = [["Student", "ID", "SIS User ID", "SIS Login ID", "Section", assignment.title]]
    rows.append(["Points Possible", "", "", "", "", sum(task.points for task in assignment.tasks.values())])
    for one in marked:
        number = re.fullmatch(r"[^_]+_(\d+)", one.student)
        ids = ["", ""] if number else [one.student, one.student]
        rows.append([one.student, number[1] if number else "", *ids, "", _total(one)])
    return csv_text(rows)


def _total(one):
    return "" if "grader-error" in one.flags else one.total


# -- a student's -----------------------------------------------------------------------------------


def explain(task, mark):
    """One or two sentences on a mark: pass or fail, and at most an exception's type."""
    said = STATUS_OF_KIND.get((task.kind, mark.status), STATUS.get(mark.status, mark.status))
    said = said.format(detail=mark.detail)
    if mark.status == "marked" and mark.detail:
        said += f" {mark.detail}"
    named = {name: passed for name, passed in mark.parts.items() if name}
    if len(named) > 1 and mark.status != "passed":
        passed, lost = ([name for name, state in named.items() if state is wanted] for wanted in (True, False))
        said += f" Passed: {', '.join(passed) or 'none'}. Not passed: {', '.join(lost) or 'none'}."
    return " ".join([said, *(FLAGS[flag] for flag in mark.flags if flag in FLAGS and flag != mark.status)])


def results_json(one, assignment):
    """What Gradescope reads from ``results.json``."""
    tests = []
    for name, mark in one.tasks.items():
        task = assignment.tasks[name]
        test = {
            "name": f"{name}: {task.title}",
            "score": mark.points,
            "max_score": mark.out_of,
            "output": explain(task, mark),
            "output_format": "text",
            "visibility": "visible",
        }
        if mark.status != "pending":
            test["status"] = "passed" if mark.points == mark.out_of else "failed"
        tests.append(test)
    return {
        "score": one.total,
        "execution_time": round(one.seconds),
        "output": "\n".join(_remarks(one)),
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": tests,
        "extra_data": {"assignment": one.assignment, "flags": one.all_flags, "sandbox": one.sandbox},
    }


def _remarks(one):
    return [FLAGS.get(flag, flag) for flag in one.flags]


def student_page(one, assignment):
    """The HTML report of one student."""
    rows = "".join(
        f"<tr><td>{escape(assignment.tasks[name].title)} (<code>{escape(name)}</code>)</td>"
        f"<td class=n>{'' if mark.status == 'pending' else f'{mark.points:g}'} of {mark.out_of:g}</td>"
        f"<td class={_class(mark)}>{escape(explain(assignment.tasks[name], mark))}</td></tr>"
        for name, mark in one.tasks.items()
    )
    remarks = "".join(f"<li>{escape(remark)}</li>" for remark in _remarks(one))
    more = f", and {', '.join(map(escape, one.pending))} to be read" if one.pending else ""
    return page(
        f"{assignment.title}: {one.student}",
        f"<p>{escape(one.name)}: <strong>{one.total:g} of {one.out_of:g} points</strong>{more}.</p>"
        + (f"<ul>{remarks}</ul>" if remarks else "")
        + "<div class=wide><table><thead><tr><th scope=col>Task<th scope=col class=n>Points<th scope=col>What was "
        f"found</tr></thead><tbody>{rows}</tbody></table></div>"
        "<p>Marks come from hidden cases, drawn for your class; the report says no more of them than this.</p>",
    )


def _class(mark):
    if mark.status in ("pending", "marked"):
        return "open"
    return "passed" if mark.points == mark.out_of else "lost"


def escape(text):
    """Text as HTML."""
    return html.escape(str(text))


def page(title, body):
    """A whole HTML page that loads nothing and runs no script."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
        "img-src 'self' data:\">"
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>\n"
    )


# -- the class's -----------------------------------------------------------------------------------


def _summary_page(marked, assignment, alt):
    tasks = ""
    for name, task in assignment.tasks.items():
        marks = _read(marked, name)
        mean = f"{sum(mark.points for mark in marks) / len(marks):.1f}" if marks else ""
        full = f"{sum(mark.points == mark.out_of for mark in marks)} of {len(marks)}"
        tasks += (
            f"<tr><td>{escape(task.title)} (<code>{escape(name)}</code>)</td><td class=n>{task.points:g}</td>"
            f"<td class=n>{mean}</td><td class=n>{full}</td><td class=n>{len(marked) - len(marks) or ''}</td></tr>"
        )
    students = "".join(
        f'<tr><td><a href="students/{escape(safe_name(one.student))}/report.html">{escape(one.student)}</a></td>'
        f"<td class=n>{one.total:g}</td><td>{escape(', '.join(one.all_flags))}</td></tr>"
        for one in marked
    )
    mean = f"{sum(one.total for one in marked) / len(marked):.1f}" if marked else "no"
    weak = sorted({one.sandbox for one in marked} - {"bwrap"})
    warning = f"<p class=lost>{escape(FLAGS['unsafe' if 'none' in weak else 'weaker-sandbox'])}</p>" if weak else ""
    out_of = sum(task.points for task in assignment.tasks.values())
    return page(
        f"{assignment.title}: the class",
        f"<p>{len(marked)} students, {mean} of {out_of:g} points on average.</p>{warning}"
        f'<p><img src="summary.png" alt="{escape(alt)}"></p>'
        "<h2>Tasks</h2><div class=wide><table><thead><tr><th scope=col>Task<th scope=col class=n>Points"
        "<th scope=col class=n>Mean<th scope=col class=n>Full marks<th scope=col class=n>To be read</tr></thead>"
        f"<tbody>{tasks}</tbody></table></div>"
        "<h2>Students</h2><div class=wide><table><thead><tr><th scope=col>Student<th scope=col class=n>Total"
        f"<th scope=col>Flags</tr></thead><tbody>{students}</tbody></table></div>",
    )


def _read(marked, name):
    """Marks of a task, without those that a person has yet to give."""
    return [one.tasks[name] for one in marked if one.tasks[name].status not in OPEN]


def summary_figure(marked, assignment):
    """How many students earned which share of each task's points.

    Returns
    -------
    figure : coursekit.plots.Figure
    alt : str
        The same in words.
    """
    from coursekit.plots import COLORS, Figure

    names = list(assignment.tasks)
    figure = Figure(figsize=(8, 0.6 + 1.05 * len(names)), dpi=100, layout="constrained")
    axes = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    alt = []
    for axis, name in zip(axes, names):
        marks = _read(marked, name)
        shares = [mark.points / mark.out_of for mark in marks if mark.out_of]
        axis.hist(shares, bins=[-0.05 + 0.1 * i for i in range(12)], color=COLORS[0], rwidth=0.85)
        said = f"mean {sum(shares) / len(shares):.0%}" if shares else "none read yet"
        axis.set_title(f"{name}: {said}, {len(shares)} students", loc="left", fontsize=9)
        axis.set_ylabel("students", fontsize=8)
        axis.yaxis.get_major_locator().set_params(integer=True, nbins=3)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
        alt.append(f"{name}, {said}, {sum(share == 1 for share in shares)} of {len(shares)} with all points")
    axes[-1].set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1], ["0%", "20%", "40%", "60%", "80%", "100%"])
    axes[-1].set_xlabel("share of the task's points", fontsize=9)
    return figure, "Histograms of the marks of each task: " + "; ".join(alt) + "."
