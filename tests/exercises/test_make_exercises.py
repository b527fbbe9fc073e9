"""What makes the student notebooks, and what happens in a kernel."""

import copy
import json
import os
import re
import shutil
import zipfile
from pathlib import Path

import execute
import make_exercises
import nbformat
import pytest
from nbclient import NotebookClient

from coursekit.exercises.comparison import same
from coursekit.exercises.tasks import Case
from coursekit.exercises.values import read_expected
from coursekit.grading.key import load_key

ROOT = Path(__file__).resolve().parents[2]


def cell(notebook, name):
    return next(one for one in notebook["cells"] if one["id"] == name)


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    """The committed VAE exercise, copied to where it may be damaged."""
    for name, ending in (("NOTEBOOKS", "ipynb"), ("EXPECTED", "json")):
        folder = tmp_path / name
        folder.mkdir()
        shutil.copy(getattr(make_exercises, name) / f"vae.{ending}", folder)
        monkeypatch.setattr(make_exercises, name, folder)
    return tmp_path


@pytest.mark.parametrize("chapter", make_exercises.chapters())
def test_a_made_notebook_is_valid_and_has_its_parts(chapter):
    notebook = make_exercises.student_notebook(chapter)
    nbformat.validate(nbformat.from_dict(notebook))
    tasks = make_exercises.assignment_of(chapter).tasks.values()
    assert [one["id"] for one in notebook["cells"]][:4] == ["title", "install", "student", "start"]
    assert [one["id"] for one in notebook["cells"]][-3:] == ["hand-in", "progress", "submit"]
    for number, task in enumerate(tasks, 1):
        assert cell(notebook, f"{task.name}-task")["source"].startswith(
            f"## {number} · {task.title} ({task.points} points)"
        )
        assert cell(notebook, f"{task.name}-answer")["source"].endswith(task.starter.strip())
        if task.kind != "text":
            assert f"{chapter}.{task.name}." in cell(notebook, f"{task.name}-check")["source"]


@pytest.mark.parametrize("chapter", make_exercises.chapters())
def test_a_right_number_of_as_many_digits_as_the_task_asks_for_is_right(chapter):
    key = load_key(chapter)
    for task in key.assignment.tasks.values():
        if task.kind != "value" or task.rtol <= make_exercises.EXACT:
            continue
        asked = cell(make_exercises.student_notebook(chapter), f"{task.name}-task")["source"]
        digits = int(re.search(r"at least (\d) significant digits", asked)[1])
        for student in range(100):
            right = key.value(task.name, key.assignment.numbers_of(f"student-{student}"))
            assert same(float(f"{right:.{digits}g}"), right, task.rtol, 0.0)


def test_answers_and_the_id_go_into_their_cells():
    notebook = make_exercises.notebook_with("vae", {"kl": "kl = 1", "gap_proof": "Because."}, student="jdoe")
    assert cell(notebook, "kl-answer")["source"] == "kl = 1"
    assert cell(notebook, "gap_proof-answer")["source"] == "<!-- answer: gap_proof -->\n\nBecause."
    assert cell(notebook, "loss-answer") == cell(make_exercises.student_notebook("vae"), "loss-answer")
    assert 'STUDENT = "jdoe"' in cell(notebook, "start")["source"]


def test_what_is_up_to_date_passes(elsewhere):
    assert make_exercises.main(["--check", "vae"]) == 0


def change_a_prompt(folder):
    path = folder / "NOTEBOOKS" / "vae.ipynb"
    path.write_text(path.read_text().replace("## 1 · ", "## 1: "))


def answer_a_task(folder):
    path = folder / "NOTEBOOKS" / "vae.ipynb"
    path.write_text(path.read_text().replace("return ...", "return mu", 1))


def change_an_output(folder):
    path = folder / "NOTEBOOKS" / "vae.ipynb"
    path.write_text(path.read_text().replace("not answered yet (15", "not answered yet (16", 1))


def flatter_its_time(folder):
    path = folder / "NOTEBOOKS" / "vae.ipynb"
    before = path.read_text()
    path.write_text(before.replace("Takes about ", "Takes about 1"))
    assert path.read_text() != before


def forget_its_solved_time(folder):
    path = folder / "NOTEBOOKS" / "vae.ipynb"
    notebook = nbformat.read(path, as_version=4)
    del notebook.metadata["coursekit"]["solved_seconds"]
    execute.say_time(notebook)
    execute.write(notebook, path)


def remove_the_notebook(folder):
    (folder / "NOTEBOOKS" / "vae.ipynb").unlink()


def change_an_expected_value(folder):
    path = folder / "EXPECTED" / "vae.json"
    values = json.loads(path.read_text())
    values["kl"][1]["tensor"][0] += 0.001
    path.write_text(json.dumps(values))


def forget_a_case(folder):
    path = folder / "EXPECTED" / "vae.json"
    values = json.loads(path.read_text())
    values["kl"].pop()
    path.write_text(json.dumps(values))


def remove_the_expected_values(folder):
    (folder / "EXPECTED" / "vae.json").unlink()


@pytest.mark.parametrize(
    "damage",
    [
        change_a_prompt,
        answer_a_task,
        change_an_output,
        flatter_its_time,
        forget_its_solved_time,
        remove_the_notebook,
        change_an_expected_value,
        forget_a_case,
        remove_the_expected_values,
    ],
)
def test_what_is_not_up_to_date_is_named_and_not_written(elsewhere, capsys, damage):
    damage(elsewhere)
    before = {path: path.read_bytes() for path in elsewhere.rglob("*.*")}
    assert make_exercises.main(["--check", "vae"]) == 1
    assert "run `make exercises`" in capsys.readouterr().out
    assert before == {path: path.read_bytes() for path in elsewhere.rglob("*.*")}


def test_expected_values_are_written_as_they_are_read(elsewhere):
    (elsewhere / "EXPECTED" / "vae.json").unlink()
    make_exercises.write_expected("vae")
    assert make_exercises.expected_is_current("vae")
    assert (elsewhere / "EXPECTED" / "vae.json").read_text() == (
        ROOT / "coursekit/exercises/expected/vae.json"
    ).read_text()
    assert read_expected("vae").keys() == {"kl", "reparameterise", "loss", "active_dimensions"}


def test_a_new_public_case_makes_the_expected_values_stale(elsewhere, monkeypatch):
    kl = make_exercises.assignment_of("vae").tasks["kl"]
    cases = kl.cases()
    monkeypatch.setattr(kl, "cases", lambda: [*cases, Case(tuple(2 * arg for arg in cases[-1].args))])
    assert not make_exercises.expected_is_current("vae")


@pytest.fixture
def executed(elsewhere, monkeypatch):
    """What `execute` gives, without a kernel: the committed notebook, which a test may change."""
    notebook = nbformat.read(elsewhere / "NOTEBOOKS" / "vae.ipynb", as_version=4)
    solved = copy.deepcopy(notebook)
    solved.metadata["coursekit"]["seconds"] = [55.0]

    def run(path):
        return notebook if "return ..." in path.read_text(encoding="utf-8") else solved

    monkeypatch.setattr(execute, "execute", run)
    return notebook


def test_a_notebook_with_the_same_outputs_is_left_alone(executed, elsewhere):
    path = elsewhere / "NOTEBOOKS" / "vae.ipynb"
    before = path.read_bytes()
    executed.metadata["coursekit"]["seconds"] = [99.0]
    assert not make_exercises.write_notebook("vae")
    assert path.read_bytes() == before


def test_a_notebook_with_other_outputs_is_written(executed, elsewhere):
    next(one for one in executed.cells if one.id == "kl-check").outputs[0].text = "kl: something else\n"
    assert make_exercises.write_notebook("vae")
    assert "kl: something else" in (elsewhere / "NOTEBOOKS" / "vae.ipynb").read_text()


def test_times_of_a_busy_machine_are_replaced(executed, elsewhere):
    path = elsewhere / "NOTEBOOKS" / "vae.ipynb"
    slow = copy.deepcopy(executed)
    slow.metadata["coursekit"]["seconds"] = [100.0]
    execute.say_time(slow)
    execute.write(slow, path)
    executed.metadata["coursekit"]["seconds"] = [4.0]
    assert make_exercises.write_notebook("vae")
    written = nbformat.read(path, as_version=4)
    record = written.metadata["coursekit"]
    assert (record["seconds"], record["solved_seconds"]) == ([4.0], 55.0)
    said = "Takes about 60 seconds to run with all answers in it, and 10 without, on 2 CPU cores."
    assert said in written.cells[0].source.splitlines()
    assert make_exercises.notebook_is_current("vae")


# -- in a kernel -----------------------------------------------------------------------------------


@pytest.fixture
def run_in_kernel(tmp_path, monkeypatch):
    """Execute a notebook as Jupyter does; returns what each cell printed."""
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "my work.ipynb"))
    monkeypatch.setenv("TQDM_DISABLE", "1")

    def run(notebook):
        notebook = nbformat.from_dict(copy.deepcopy(notebook))
        nbformat.write(notebook, tmp_path / "my work.ipynb")
        client = NotebookClient(
            notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
        )
        client.execute(env={**os.environ, **execute.KERNEL_ENVIRONMENT})
        return {
            one.id: "".join(output.text for output in one.outputs if output.output_type == "stream")
            for one in notebook.cells
            if one.cell_type == "code"
        }

    return run


def test_a_student_answers_checks_and_hands_in(run_in_kernel, tmp_path):
    wrong = "def kl(mu, log_var):\n    q = 1 + log_var - mu**2 - log_var.exp()\n    return -0.5 * q.mean(dim=1)\n"
    answers = {
        name: cell(make_exercises.solved_notebook("vae"), f"{name}-answer")["source"]
        for name in ("reparameterise", "loss", "gap", "small_vae")
    }
    broken = "def active_dimensions(eigenvalues, sigma, beta, latent_dim):\n    # a comment\n    return eigenvalues > gamma\n"
    answers |= {"kl": wrong, "active_dimensions": broken}
    notebook = make_exercises.notebook_with("vae", answers, student="jdoe")
    said = run_in_kernel(notebook)
    assert "You averaged over the K latent dimensions" in said["kl-check"]
    assert "all 3 public cases pass" in said["reparameterise-check"]
    assert "is recorded" in said["gap-check"]
    assert "in line 3 of your cell: return eigenvalues > gamma" in said["active_dimensions-check"]
    assert "worth 100% of 15 points" in said["small_vae-check"]
    assert "Written: vae-jdoe.zip" in said["submit"] and "<!-- answer: gap_proof -->" in said["submit"]
    with zipfile.ZipFile(tmp_path / "vae-jdoe.zip") as archive:
        assert sorted(archive.namelist()) == [
            "answers.json",
            "artefacts/small_vae.safetensors",
            "manifest.json",
            "notebook.ipynb",
        ]
        handed_in = json.loads(archive.read("notebook.ipynb"))
    assert wrong.strip() in [
        one["source"] if isinstance(one["source"], str) else "".join(one["source"]) for one in handed_in["cells"]
    ]
