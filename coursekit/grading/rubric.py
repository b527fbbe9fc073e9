"""Answers in words: a sheet to fill in, and its points brought back into the marks."""

import csv
import hashlib
import io
from dataclasses import dataclass, replace

from coursekit.errors import CoursekitError
from coursekit.grading.classroom import write_whole
from coursekit.grading.reports import FORMULA, csv_text, escape, page

__all__ = ["Award", "merge_rubric", "read_rubric", "write_rubric"]

COLUMNS = ("student", "task", "answer_id", "criterion", "points", "awarded", "comment", "answer")


@dataclass(frozen=True)
class Award:
    """Points given for one criterion; None where the cell is still empty."""

    points: float | None
    comment: str
    answer_id: str


def answer_id(text):
    """Short name of a text, by which a changed answer is noticed."""
    return f"id-{hashlib.sha256(text.encode()).hexdigest()[:10]}"  # a spreadsheet would round 12e3456789


def write_rubric(marked, assignment, out, awards=None):
    """Write ``rubric.csv``, to be filled in, and ``rubric.html``, to read from.

    Parameters
    ----------
    marked : list of Marked
        As marked by the grader, before `merge_rubric`.
    assignment : Assignment
    out : Path
    awards : dict, optional
        From `read_rubric`: what has been filled in so far stays filled in.

    Returns
    -------
    int
        Answers on the sheet; without any, nothing is written.
    """
    awards, rows, sections, answers = awards or {}, [list(COLUMNS)], [], 0
    for name, task in assignment.tasks.items():
        criteria = "".join(
            f"<li>{escape(criterion)} ({points:g})</li>" for criterion, points in getattr(task, "rubric", ())
        )
        written = ""
        for one in marked:
            if name not in one.texts:
                continue
            text, known = one.texts[name], answer_id(one.texts[name])
            answers += 1
            written += f"<h3>{escape(one.student)}</h3><pre>{escape(text)}</pre>"
            for number, (criterion, points) in enumerate(task.rubric):
                award = awards.get((one.student, name, criterion))
                awarded, comment = "", ""
                if award and award.answer_id == known:
                    awarded, comment = "" if award.points is None else award.points, award.comment
                elif award and award.points is not None:
                    comment = f"the answer has changed; it was {award.points:g}. {award.comment}".strip()
                rows.append([one.student, name, known, criterion, points, awarded, comment, "" if number else text])
        if written:
            sections.append(f"<h2>{escape(task.title)}</h2><ul>{criteria}</ul>{written}")
    if answers:
        write_whole(out / "rubric.csv", csv_text(rows))
        write_whole(out / "rubric.html", page(f"{assignment.title}: answers in words", "".join(sections)))
    return answers


def read_rubric(path, assignment):
    """Read a sheet that was filled in, perhaps by a spreadsheet program.

    Returns
    -------
    dict of (student, task, criterion) to Award

    Raises
    ------
    CoursekitError
        It cannot be read, or holds points that are no number from 0 to the criterion's points.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise CoursekitError(f"the rubric {path} cannot be read: {error.strerror}") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", "replace")  # as Excel saves it in western countries
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    awards = {}
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    if missing := set(COLUMNS[:6]) - set(rows.fieldnames or ()):
        raise CoursekitError(f"the rubric {path} lacks the columns {', '.join(sorted(missing))}")
    try:
        for row in rows:
            student, task, criterion = (_plain(row[column] or "") for column in ("student", "task", "criterion"))
            points = dict(getattr(assignment.tasks.get(task), "rubric", ())).get(criterion)
            if points is None:
                raise CoursekitError(
                    f"the rubric {path}, line {rows.line_num}: {task} has no criterion {criterion[:60]!r}"
                )
            awarded = _number(row["awarded"], points, path, rows.line_num)
            comment = _plain(row.get("comment") or "")
            awards[student, task, criterion] = Award(awarded, comment, _plain(row["answer_id"] or ""))
    except csv.Error as error:
        raise CoursekitError(f"the rubric {path}, line {rows.line_num}: {error}") from None
    return awards


def _plain(cell):
    """Undo `csv_cell`."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(FORMULA) else cell


def _number(text, points, path, line):
    text = (text or "").strip().replace(",", ".")
    if not text:
        return None
    try:
        awarded = float(text)
    except ValueError:
        awarded = -1.0
    if not 0 <= awarded <= points:
        raise CoursekitError(
            f"the rubric {path}, line {line}: awarded is a number from 0 to {points:g}, not {text[:40]!r}"
        )
    return awarded


def merge_rubric(marked, assignment, awards):
    """Bring the points of a sheet into the marks.

    A task counts as read when all its criteria have points and the answer is still the one that was read.

    Returns
    -------
    list of Marked
    """
    return [
        replace(one, tasks={name: _merged(one, name, task, awards) for name, task in _tasks(one, assignment)})
        for one in marked
    ]


def _tasks(one, assignment):
    return [(name, assignment.tasks[name]) for name in one.tasks]


def _merged(one, name, task, awards):
    mark = one.tasks[name]
    if mark.status != "pending":
        return mark
    given = [awards.get((one.student, name, criterion)) for criterion, _ in task.rubric]
    if not all(award and award.points is not None for award in given):
        return mark
    if any(award.answer_id != answer_id(one.texts[name]) for award in given):
        return replace(mark, flags=(*mark.flags, "rubric-outdated"))
    said = [
        f"{criterion}: {award.points:g} of {points:g}{'. ' + award.comment if award.comment else ''}"
        for award, (criterion, points) in zip(given, task.rubric)
    ]
    return replace(
        mark, points=round(sum(award.points for award in given), 2), status="marked", detail="; ".join(said) + "."
    )
