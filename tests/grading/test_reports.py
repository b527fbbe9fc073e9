"""Tables, pages and the rubric: right, complete, and harmless whatever students are called or write."""

import csv
import io
import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from coursekit.errors import CoursekitError
from coursekit.grading import reports
from coursekit.grading.marking import Marked, TaskMark
from coursekit.grading.reports import (
    FLAGS,
    STATUS,
    csv_cell,
    explain,
    results_json,
    student_page,
    summary_figure,
    write_reports,
)
from coursekit.grading.rubric import merge_rubric, read_rubric, write_rubric

EVIL = "<script>alert('x')</script>"
FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1+1")


@pytest.fixture
def assignment(toy):
    return toy.key().assignment


def marked(student="ada", double=40.0, text="Because.", **more):
    tasks = {
        "double": TaskMark(
            double, 40.0, "passed" if double == 40 else "partial", parts={"positive": True, "edges": False}
        ),
        "rate": TaskMark(0.0, 20.0, "failed"),
        "why": TaskMark(0.0, 20.0, "pending"),
        "line": TaskMark(10.0, 20.0, "partial"),
    }
    options = {"flags": (), "texts": {"why": text}, "seconds": 1.25} | more
    return Marked(student, f"{student}.zip", "0" * 64, "toy", tasks, **options)


def rows(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


class Page(HTMLParser):
    """Tags and text of a page; every tag that should be closed must be."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_data(self, data):
        self.text += data


# -- tables ----------------------------------------------------------------------------------------


def test_grades_have_a_row_for_each_student_and_a_column_for_each_task(assignment, tmp_path):
    write_reports([marked(), marked("bob", 20.0)], assignment, tmp_path)
    assert rows(tmp_path / "grades.csv") == [
        ["student", "double", "rate", "why", "line", "total"],
        ["ada", "40", "0", "", "10", "50"],
        ["bob", "20", "0", "", "10", "30"],
    ]


def test_who_could_not_be_graded_has_no_marks_rather_than_none(assignment, tmp_path):
    one = marked(flags=("grader-error",))
    one = replace(one, tasks={name: TaskMark(0.0, 20.0, "grader-error") for name in one.tasks})
    write_reports([one], assignment, tmp_path)
    assert rows(tmp_path / "grades.csv")[1] == ["ada", "", "", "", "", ""]
    assert rows(tmp_path / "canvas.csv")[2][-1] == ""


def test_the_canvas_table_has_the_columns_and_rows_that_canvas_wants(assignment, tmp_path):
    write_reports([marked(), marked("lovelaceada_12345", 20.0)], assignment, tmp_path)
    assert rows(tmp_path / "canvas.csv") == [
        ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Toy"],
        ["Points Possible", "", "", "", "", "100"],
        ["ada", "", "ada", "ada", "", "50"],
        ["lovelaceada_12345", "12345", "", "", "", "30"],
    ]


def test_no_cell_is_a_formula(assignment, tmp_path):
    class_ = [marked(name, text=name) for name in FORMULAS]
    write_reports(class_, assignment, tmp_path)
    write_rubric(class_, assignment, tmp_path)
    for table in ("grades.csv", "canvas.csv", "rubric.csv"):
        cells = [cell for row in rows(tmp_path / table) for cell in row]
        assert {f"'{name}" for name in FORMULAS} <= set(cells), table
        assert not [cell for cell in cells if cell.startswith(reports.FORMULA)]


def test_numbers_stay_numbers():
    assert [csv_cell(value) for value in (0.0, 12.5, 33.33, 100)] == ["0", "12.5", "33.33", "100"]


# -- pages -----------------------------------------------------------------------------------------


def test_nothing_that_a_student_writes_becomes_html(assignment, tmp_path):
    one = marked(EVIL, text=EVIL + "</pre><img src=x>", flags=(EVIL,))
    tasks = one.tasks | {
        "rate": TaskMark(0.0, 20.0, "error", detail=EVIL, parts={EVIL: True, "b": False}, flags=(EVIL,))
    }
    one = replace(one, tasks=tasks)
    write_reports([one], assignment, tmp_path)
    write_rubric([one], assignment, tmp_path)
    pages = [path for path in tmp_path.rglob("*.html")]
    assert len(pages) == 3
    for path in pages:
        page = Page(path.read_text(encoding="utf-8"))
        assert "script" not in page.tags and "b" not in page.tags
        assert page.tags.count("img") == (path.name == "summary.html")
        assert not [name for name, _ in page.attributes if name.startswith("on")]
        assert EVIL in page.text


def test_pages_load_nothing_from_elsewhere(assignment, tmp_path):
    write_reports([marked()], assignment, tmp_path)
    for path in tmp_path.rglob("*.html"):
        page = Page(path.read_text(encoding="utf-8"))
        targets = [value for name, value in page.attributes if name in ("src", "href")]
        assert not [target for target in targets if ":" in target or target.startswith("/")]
        assert [path.parent / target for target in targets if not (path.parent / target).exists()] == []
        assert ("lang", "en") in page.attributes and "title" in page.tags and "h1" in page.tags


def test_the_students_page_names_tasks_points_and_remarks(assignment):
    page = Page(student_page(marked(flags=("cell-timeout", "duplicate")), assignment))
    for text in (
        "50 of 100 points",
        "why to be read",
        FLAGS["cell-timeout"],
        FLAGS["duplicate"],
        "Twice",
        "A rate <b>",
    ):
        assert text in page.text, text
    assert "Passed: positive. Not passed: edges." in Page(student_page(marked(double=20.0), assignment)).text


def test_every_status_and_flag_is_explained(assignment):
    source = "".join(
        path.read_text(encoding="utf-8")
        for path in Path(reports.__file__).parent.glob("*.py")
        if path.name in ("marking.py", "submissions.py", "classroom.py")
    )
    task = assignment.tasks["double"]
    for status, said in STATUS.items():
        assert f'"{status}"' in source + '"marked"'
        assert explain(task, TaskMark(0.0, 1.0, status, detail="ValueError")) == said.format(detail="ValueError") + (
            " ValueError" if status == "marked" else ""
        )
    for flag in FLAGS:
        assert f'"{flag}"' in source + '"rubric-outdated"', flag


def test_the_summary_warns_of_a_weak_sandbox(assignment, tmp_path):
    for sandbox, warned in (("bwrap", False), ("uid", True), ("none", True)):
        write_reports([marked(sandbox=sandbox)], assignment, tmp_path)
        text = (tmp_path / "summary.html").read_text(encoding="utf-8")
        assert (FLAGS["unsafe"] in text or FLAGS["weaker-sandbox"] in text) is warned


def test_the_figure_counts_every_mark_that_there_is(assignment):
    class_ = [marked(f"s{i}", double=40.0 * i / 4) for i in range(5)]
    figure, alt = summary_figure(class_, assignment)
    heights = [[bar.get_height() for bar in axis.patches] for axis in figure.axes]
    assert [sum(column) for column in heights] == [5, 5, 0, 5]
    assert heights[0] == [1, 0, 0, 1, 0, 1, 0, 0, 1, 0, 1] or sum(height > 0 for height in heights[0]) == 5
    assert "double, mean 50%, 1 of 5 with all points" in alt and "why, none read yet" in alt


def test_one_student_or_none_is_a_class(assignment, tmp_path):
    for class_ in ([], [marked()]):
        write_reports(class_, assignment, tmp_path)
        assert len(rows(tmp_path / "grades.csv")) == 1 + len(class_)


# -- Gradescope's results --------------------------------------------------------------------------


def test_results_are_what_gradescope_reads(assignment, tmp_path):
    write_reports([marked()], assignment, tmp_path)
    results = json.loads((tmp_path / "students" / "ada" / "results.json").read_text(encoding="utf-8"))
    assert results == results_json(marked(), assignment)
    assert results["score"] == sum(test["score"] for test in results["tests"]) == 50
    assert results["execution_time"] == 1 and results["stdout_visibility"] == "hidden"
    assert [test["max_score"] for test in results["tests"]] == [40, 20, 20, 20]
    assert [test.get("status") for test in results["tests"]] == ["passed", "failed", None, "failed"]
    assert {test["visibility"] for test in results["tests"]} == {"visible"}
    assert {test["output_format"] for test in results["tests"]} == {"text"}


# -- the rubric ------------------------------------------------------------------------------------


def filled(path, change):
    table = rows(path)
    columns = {name: number for number, name in enumerate(table[0])}
    for row in table[1:]:
        change(row, columns)
    text = io.StringIO()
    csv.writer(text).writerows(table)
    return text.getvalue()


def award(points, comment=""):
    def change(row, columns):
        row[columns["awarded"]] = points[int(row[columns["points"]] == "8")]
        row[columns["comment"]] = comment

    return change


def test_the_sheet_has_a_row_for_each_criterion_and_the_answer_once(assignment, tmp_path):
    assert write_rubric([marked(), marked("bob", text="No.")], assignment, tmp_path) == 2
    table = rows(tmp_path / "rubric.csv")
    assert [(row[0], row[3], row[4], row[7]) for row in table[1:]] == [
        ("ada", "says so, clearly", "12", "Because."),
        ("ada", "why", "8", ""),
        ("bob", "says so, clearly", "12", "No."),
        ("bob", "why", "8", ""),
    ]
    page = Page((tmp_path / "rubric.html").read_text(encoding="utf-8"))
    assert all(text in page.text for text in ("Because.", "No.", "says so, clearly (12)"))


def test_points_of_the_sheet_come_into_the_marks(assignment, tmp_path):
    class_ = [marked(), marked("=bob", text="=No.")]
    write_rubric(class_, assignment, tmp_path)
    path = tmp_path / "filled.csv"
    path.write_text(filled(tmp_path / "rubric.csv", award(("12", "3,5"), "good")), encoding="utf-8-sig")
    merged = merge_rubric(class_, assignment, read_rubric(path, assignment))
    assert [one.total for one in merged] == [65.5, 65.5] and [one.pending for one in merged] == [[], []]
    assert merged[0].tasks["why"].status == "marked"
    assert "why: 3.5 of 8. good" in explain(assignment.tasks["why"], merged[0].tasks["why"])
    assert results_json(merged[0], assignment)["score"] == 65.5


@pytest.mark.parametrize("encoding, delimiter", [("utf-8", ";"), ("cp1252", ";"), ("utf-8-sig", "\t")])
def test_what_spreadsheet_programs_save_is_read(assignment, tmp_path, encoding, delimiter):
    class_ = [marked("zoë", text="Weil, é;\nund so.")]
    write_rubric(class_, assignment, tmp_path)
    table = list(csv.reader(io.StringIO(filled(tmp_path / "rubric.csv", award(("12", "8"))))))
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows(table)
    (tmp_path / "filled.csv").write_bytes(text.getvalue().encode(encoding))
    merged = merge_rubric(class_, assignment, read_rubric(tmp_path / "filled.csv", assignment))
    assert merged[0].tasks["why"].points == 20


def test_a_sheet_half_filled_in_leaves_the_task_to_be_read(assignment, tmp_path):
    write_rubric([marked()], assignment, tmp_path)
    (tmp_path / "f.csv").write_text(filled(tmp_path / "rubric.csv", award(("12", ""))))
    assert merge_rubric([marked()], assignment, read_rubric(tmp_path / "f.csv", assignment))[0].pending == ["why"]


def test_an_answer_that_changed_since_is_read_again(assignment, tmp_path):
    write_rubric([marked()], assignment, tmp_path)
    (tmp_path / "f.csv").write_text(filled(tmp_path / "rubric.csv", award(("12", "8"), "good")))
    awards = read_rubric(tmp_path / "f.csv", assignment)
    changed = marked(text="Another text.")
    why = merge_rubric([changed], assignment, awards)[0].tasks["why"]
    assert (why.status, why.flags) == ("pending", ("rubric-outdated",))
    write_rubric([changed], assignment, tmp_path, awards)
    row = rows(tmp_path / "rubric.csv")[1]
    assert (row[5], row[6]) == ("", "the answer has changed; it was 12. good")


def test_writing_the_sheet_again_keeps_what_was_filled_in(assignment, tmp_path):
    write_rubric([marked()], assignment, tmp_path)
    (tmp_path / "f.csv").write_text(filled(tmp_path / "rubric.csv", award(("12", ""), "so far")))
    write_rubric([marked(), marked("bob")], assignment, tmp_path, read_rubric(tmp_path / "f.csv", assignment))
    assert [row[5:7] for row in rows(tmp_path / "rubric.csv")[1:]] == [
        ["12", "so far"],
        ["", "so far"],
        ["", ""],
        ["", ""],
    ]


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda row, at: row.__setitem__(at["awarded"], "13"), "line 2: awarded is a number from 0 to 12"),
        (lambda row, at: row.__setitem__(at["awarded"], "-1"), "line 2: awarded"),
        (lambda row, at: row.__setitem__(at["awarded"], "nan"), "line 2: awarded"),
        (lambda row, at: row.__setitem__(at["awarded"], "all"), "line 2: awarded"),
        (lambda row, at: row.__setitem__(at["criterion"], "other"), "no criterion 'other'"),
        (lambda row, at: row.__setitem__(at["task"], "double"), "no criterion"),
        (lambda row, at: row.__setitem__(at["task"], "nothing"), "no criterion"),
    ],
)
def test_a_wrong_sheet_is_one_clear_error(assignment, tmp_path, change, message):
    write_rubric([marked()], assignment, tmp_path)
    (tmp_path / "f.csv").write_text(filled(tmp_path / "rubric.csv", change))
    with pytest.raises(CoursekitError, match=message):
        read_rubric(tmp_path / "f.csv", assignment)


def test_no_sheet_is_one_clear_error(assignment, tmp_path):
    with pytest.raises(CoursekitError, match="cannot be read"):
        read_rubric(tmp_path / "nothing.csv", assignment)
    (tmp_path / "f.csv").write_text("a,b\n1,2\n")
    with pytest.raises(CoursekitError, match="lacks the columns"):
        read_rubric(tmp_path / "f.csv", assignment)


def test_without_answers_in_words_there_is_no_sheet(assignment, tmp_path):
    assert write_rubric([marked(texts={})], assignment, tmp_path) == 0
    assert list(tmp_path.iterdir()) == []
