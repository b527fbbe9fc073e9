"""Submissions of every kind, made when a test needs them, each with the marks and flags that it must get.

A maker is a function that takes a `Kit` and writes what the student of its own name hands in for the exercises on VAEs.
"""

import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import make_exercises

from coursekit.grading.key import load_key

KEY = load_key("vae")
RIGHT = {"kl": 15, "reparameterise": 15, "loss": 15, "gap": 15, "active_dimensions": 10, "gap_proof": 0, "small_vae": 0}
WRONG_KL = "def kl(mu, log_var):\n    return torch.zeros(len(mu))"
SOLUTIONS = {task: KEY.solution(task) for task in RIGHT}
ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Expected:
    """A maker with what its submission must get; points that are not named are those of a right one."""

    name: str
    make: object
    points: dict
    flags: tuple = ()
    status: dict = field(default_factory=dict)
    kind: str = "plain"
    student: str = ""


SUITE = {}


def submission(*, lost=(), points=None, flags=(), status=None, kind="plain", student=None):
    """Add the function below to the suite.

    Parameters
    ----------
    lost : sequence of str, or "all"
        Tasks without points.
    points : dict of str to float, optional
        Points of tasks that have some, or of those that the right answers leave open.
    flags : tuple of str, or set of tuples
        All flags of the submission and of its tasks, as `Marked.all_flags` gives them; a set where time decides.
    status : dict of str to str, optional
        Of tasks.
    kind : str
        ``plain``; ``loops``, with limits of a few seconds; ``slow``, left to the slow tests.
    student : str, optional
        Whom it is filed under, if not the function's name.
    """
    lost = RIGHT if lost == "all" else lost

    def add(make):
        expected = RIGHT | dict.fromkeys(lost, 0) | (points or {})
        name = make.__name__
        SUITE[name] = Expected(name, make, expected, flags, status or {}, kind, student or name)
        return make

    return add


class Kit:
    """What a maker works with.

    Attributes
    ----------
    folder : Path
        The class's folder.
    student : str
        Name of the maker.
    port : int
        Where the grader's machine listens.
    weights : callable
        Gives a trained artefact, as bytes.
    """

    def __init__(self, folder, student, port, weights):
        self.folder, self.student, self.port, self.weights = folder, student, port, weights

    def notebook(self, *, before=(), after=(), student=None, **answers):
        """A right notebook but for these answers, with cells before the first task and after the last.

        The training cell is left as it is handed out, without its imports, which take seconds.
        """
        answers = SOLUTIONS | {"small_vae": "small_vae = ..."} | answers
        made = make_exercises.notebook_with("vae", answers, self.student if student is None else student)
        cells = made["cells"]
        first = next(i for i, cell in enumerate(cells) if cell["id"] == "kl-task")
        last = next(i for i, cell in enumerate(cells) if cell["id"] == "hand-in")
        made["cells"] = [*cells[:first], *map(code, before), *cells[first:last], *map(code, after), *cells[last:]]
        return made

    def bare(self, notebook, name=None):
        """Hand in a notebook, a dict or text or bytes."""
        content = json.dumps(notebook) if isinstance(notebook, dict) else notebook
        content = content.encode() if isinstance(content, str) else content
        (self.folder / (name or f"{self.student}.ipynb")).write_bytes(content)

    def zip(self, members, name=None):
        """Hand in a zip; a member that is a dict is written as JSON."""
        with zipfile.ZipFile(self.folder / (name or f"vae-{self.student}.zip"), "w", zipfile.ZIP_DEFLATED) as archive:
            for path, content in members.items():
                archive.writestr(path, json.dumps(content) if isinstance(content, dict) else content)

    def whole(self, notebook=None, artefact=None, answers=None, **manifest):
        """Hand in a zip as `submit` writes it."""
        members = {"notebook.ipynb": notebook or self.notebook(), "answers.json": answers or {}}
        if artefact is not None:
            members["artefacts/small_vae.safetensors"] = artefact
        members["manifest.json"] = {"format": 1, "assignment": "vae", "student": self.student} | manifest
        self.zip(members)


def code(source):
    """A code cell."""
    return {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": source}


def number_of(student):
    """The right answer to `gap` for a student."""
    return KEY.value("gap", KEY.assignment.numbers_of(student))


from . import broken, honest, hostile  # noqa: E402, F401
