"""``coursekit grade`` as an instructor types it: what it prints, what it leaves, what it refuses."""

import csv
import functools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from coursekit import cli
from coursekit.grading import classroom, command, doctor

sys.path.insert(0, str(Path(__file__).parent))
from submissions import WRONG_KL, Kit  # noqa: E402

sys.path.pop(0)


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Runs the command line in an empty folder: `(exit code, printed, errors)`."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as stopped:
            cli.main(["grade", *map(str, arguments)])
        return stopped.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def open_toy(toy, monkeypatch):
    """The toy assignment in place of the one on VAEs, and no sandbox."""
    key = toy.key()
    monkeypatch.setattr("coursekit.grading.key.load_key", lambda chapter: key)
    monkeypatch.setattr(classroom, "Sessions", lambda assignment, sandbox: toy.OpenSession())
    monkeypatch.setattr(doctor, "working_sandboxes", lambda: ["bwrap", "uid", "none"])
    return key


@pytest.fixture
def handed_in(toy, tmp_path, open_toy):
    (tmp_path / "class").mkdir()
    (tmp_path / "secret.key").write_bytes(toy.SECRET)
    toy.hand_in(tmp_path / "class", "ada.zip")
    toy.hand_in(tmp_path / "class", "bob.ipynb", setup=None, rate=None, why=None)
    return tmp_path / "class"


GRADE = ("class", "--assignment", "vae", "--out", "out", "--quiet")


def totals(path="out/grades.csv"):
    with open(path, encoding="utf-8", newline="") as file:
        return {row["student"]: row["total"] for row in csv.DictReader(file)}


def test_a_class_is_graded_with_one_command(run, handed_in):
    code, printed, errors = run(*GRADE)
    assert (code, errors) == (0, "")
    assert printed.splitlines() == [
        "out/grades.csv: 2 students, 2 graded, 0 unchanged",
        "out/rubric.csv: 1 answers in words, 1 to be read; fill it in and run again",
    ]
    assert totals() == {"ada": "60", "bob": "40"}
    left = {"grades.csv", "canvas.csv", "summary.html", "summary.png", "rubric.csv", "rubric.html", "grade.log"}
    assert left | {"cache", "students"} == {path.name for path in Path("out").iterdir()}


def test_it_shows_its_progress(run, handed_in):
    _, _, errors = run(*GRADE[:-1])
    assert "100%" in errors and "2/2" in errors


def fill_in(sheet):
    filled = sheet.read_text().replace(",12,,,", ",12,11,,").replace(",8,,,", ",8,7.5,fine,")
    assert filled != sheet.read_text()
    return filled


def test_the_rubric_is_brought_in_and_never_lost(run, handed_in, toy):
    run(*GRADE)
    sheet = Path("out/rubric.csv")
    sheet.write_text(fill_in(sheet))
    code, printed, _ = run(*GRADE)
    assert code == 0 and "1 answers in words, 0 to be read" in printed
    assert totals()["ada"] == "78.5" and ",12,11,," in sheet.read_text()
    toy.hand_in(handed_in, "cyd.ipynb", setup=None)
    assert "2 answers in words, 1 to be read" in run(*GRADE)[1]
    assert totals() == {"ada": "78.5", "bob": "40", "cyd": "60"}


def test_a_rubric_from_elsewhere_takes_the_place_of_the_one_that_is_there(run, handed_in):
    run(*GRADE)
    Path("filled.csv").write_text(fill_in(Path("out/rubric.csv")))
    assert totals()["ada"] == "60"
    assert "1 answers in words, 0 to be read" in run(*GRADE, "--rubric", "filled.csv")[1]
    assert totals()["ada"] == "78.5" and ",12,11,," in Path("out/rubric.csv").read_text()
    assert "1 answers in words, 0 to be read" in run(*GRADE)[1]


def test_shards_first_and_the_whole_at_the_end(run, handed_in):
    for part in (1, 2):
        code, printed, _ = run(*GRADE, "--shard", f"{part}/2")
        assert code == 0 and "run once without --shard" in printed and not Path("out/grades.csv").exists()
    assert "0 graded, 2 unchanged" in run(*GRADE)[1]


def test_a_reference_is_allowed_for_one_student(run, handed_in):
    run(*GRADE)
    assert "1 graded, 1 unchanged" in run(*GRADE, "--allow-reference", "ada:double")[1]
    assert "double:reference-allowed" in Path("out/summary.html").read_text()


def test_a_roster_gives_ids(run, handed_in):
    Path("roster.csv").write_text("submission,student\nbob,robert\n")
    assert run(*GRADE, "--roster", "roster.csv")[0] == 0
    assert set(totals()) == {"ada", "robert"}


def test_a_grader_that_fails_says_on_whom(run, handed_in, open_toy):
    open_toy.answers["rate"] = lambda numbers: 1 / 0
    code, printed, errors = run(*GRADE)
    assert (
        code == 1 and "the grader failed on ada, bob; see out/grade.log" in errors and Path("out/grades.csv").exists()
    )


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        (("class", "--out", "out"), 2, "--assignment is missing: one of discriminative_generative, autoencoders, vae"),
        (("class", "--assignment", "vea", "--out", "out"), 2, "vea"),
        (("class", "--assignment", "vae"), 2, "--out"),
        (("--assignment", "vae"), 2, "give a folder of submissions"),
        (
            (*GRADE, "--secret-file", "other.key"),
            1,
            "make one with `coursekit grade make-secret --secret-file other.key`",
        ),
        ((*GRADE, "--shard", "4/3"), 2, "not like 3/20"),
        ((*GRADE, "--shard", "three"), 2, "not like 3/20"),
        ((*GRADE, "--allow-reference", "ada"), 2, "not like ada:kl"),
        ((*GRADE, "--allow-reference", "ada:kk"), 2, "vae has no task kk"),
        ((*GRADE, "--rubric", "none.csv"), 1, "none.csv cannot be read"),
        ((*GRADE, "--roster", "none.csv"), 1, "none.csv cannot be read"),
        (("nowhere", *GRADE[1:]), 1, "nowhere is not a folder"),
        ((*GRADE, "--jobs", "0"), 2, "jobs"),
    ],
)
def test_errors_are_one_clear_line(run, handed_in, arguments, code, message):
    found, printed, errors = run(*arguments)
    assert (found, printed) == (code, "")
    assert errors.startswith("coursekit: ") and errors.count("\n") == 1 and message in errors
    assert not Path("out").exists()


def test_the_graders_own_files_are_nobodys_submission(run, handed_in):
    os.chdir(handed_in)
    Path("../secret.key").rename("secret.key")
    Path("roster.csv").write_text("submission,student\nada.zip,ada-l\n")
    arguments = (".", *GRADE[1:], "--roster", "roster.csv")
    assert run(*arguments)[0] == 0  # before there are marks, and with them
    code, printed, _ = run(*arguments)
    assert code == 0 and "2 students, 0 graded, 2 unchanged" in printed and set(totals()) == {"ada-l", "bob"}


def test_a_short_secret_is_refused(run, handed_in):
    Path("secret.key").write_text("short\n")
    code, _, errors = run(*GRADE)
    assert code == 1 and "shorter than 16 bytes" in errors


def test_a_secret_is_made_once_and_for_its_owner_only(run):
    code, printed, _ = run("make-secret", "--secret-file", "my.key")
    assert code == 0 and "my.key: keep it" in printed
    assert len(command.read_secret(Path("my.key"))) == 64 and Path("my.key").stat().st_mode & 0o077 == 0
    first = Path("my.key").read_bytes()
    code, _, errors = run("make-secret", "--secret-file", "my.key")
    assert code == 1 and "there already" in errors and Path("my.key").read_bytes() == first


def test_secrets_differ(run):
    for name in ("a", "b"):
        run("make-secret", "--secret-file", name)
    assert Path("a").read_bytes() != Path("b").read_bytes()


@pytest.mark.parametrize(
    "working, unsafe, chosen",
    [
        (["bwrap", "uid", "none"], False, "bwrap"),
        (["bwrap", "none"], True, "bwrap"),
        (["uid", "none"], True, "uid"),
        (["none"], True, "none"),
        (["uid", "none"], False, None),
        (["none"], False, None),
    ],
)
def test_without_a_working_sandbox_it_refuses_unless_told(run, handed_in, monkeypatch, working, unsafe, chosen):
    monkeypatch.setattr(doctor, "working_sandboxes", lambda: working)
    code, _, errors = run(*GRADE, *(["--unsafe"] if unsafe else []))
    if chosen is None:
        assert code == 1 and "`coursekit grade doctor` says how to mend it" in errors and not Path("out").exists()
    else:
        assert code == 0 and ("weaker" in errors) is (chosen != "bwrap")
        results = json.loads(Path("out/students/ada/results.json").read_text())
        assert results["extra_data"]["sandbox"] == chosen


def test_the_doctor_says_what_to_mend(run, monkeypatch):
    monkeypatch.setattr(doctor, "examine", lambda: ([("bubblewrap", "not installed")], ["install it"]))
    code, printed, _ = run("doctor")
    assert code == 1 and "bubblewrap  not installed" in printed and "to fix: install it" in printed
    monkeypatch.setattr(doctor, "examine", lambda: ([("bubblewrap", "0.8")], []))
    assert run("doctor") == (0, "bubblewrap  0.8\nto fix: nothing\n", "")


def test_the_bundle_is_written_by_the_same_command(run):
    run("make-secret")
    code, printed, _ = run("--gradescope", "bundle", "--assignment", "vae")
    assert code == 0 and "bundle/autograder.zip" in printed and Path("bundle/autograder.zip").exists()


# -- for real --------------------------------------------------------------------------------------


@pytest.mark.needs("bwrap")
def test_the_whole_way_with_the_sandbox(run, tmp_path):
    folder = tmp_path / "class"
    folder.mkdir()
    run("make-secret")
    for student, answers in (("ada", {}), ("bob", {"kl": WRONG_KL})):
        kit = Kit(folder, student, 0, None)
        kit.bare(kit.notebook(**answers))
    code, printed, _ = run(*GRADE, "--jobs", "2")
    assert code == 0 and "2 students, 2 graded" in printed
    assert totals() == {"ada": "70", "bob": "55"}


@pytest.mark.needs("bwrap")
def test_ctrl_c_keeps_what_is_graded_and_leaves_nothing_running(run, tmp_path):
    folder = tmp_path / "class"
    folder.mkdir()
    run("make-secret")
    for student, before in (("ada", []), ("zed", ["import time\ntime.sleep(1000)"])):
        kit = Kit(folder, student, 0, None)
        kit.bare(kit.notebook(before=before))
    command_line = [sys.executable, "-m", "coursekit", "grade", *GRADE[:-1]]
    # A shell's background job ignores Ctrl-C, and so would what it starts.
    heeds = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    grader = subprocess.Popen(command_line, stderr=subprocess.PIPE, start_new_session=True, preexec_fn=heeds)
    with grader:
        try:
            said = b""
            while b"1/2" not in said:
                block = os.read(grader.stderr.fileno(), 1000)
                assert block, said
                said += block
            below = Path(f"/proc/{grader.pid}/task")
            children = [int(pid) for path in below.glob("*/children") for pid in path.read_text().split()]
            grader.send_signal(signal.SIGINT)
            _, rest = grader.communicate(timeout=20)  # well before the limit of the cell
        finally:
            grader.kill()
    assert grader.returncode == 130, rest
    assert b"interrupted after 1 of 2" in rest
    assert children and not [pid for pid in children if Path(f"/proc/{pid}").exists()]
    assert [path.name for path in Path("out/cache").iterdir()] == ["ada.ipynb.json"]
