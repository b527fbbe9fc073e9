"""What a graded exercise is made of: tasks with their public cases, hints and usual wrong answers."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field

from coursekit.exercises import feedback, progress, submission
from coursekit.exercises.numbers import PLACEHOLDER, draw, student_id
from coursekit.exercises.subject import plain
from coursekit.exercises.values import read_expected

__all__ = ["ArtefactTask", "Assignment", "Case", "FunctionTask", "Misconception", "TextTask", "ValueTask", "call"]


@dataclass(frozen=True)
class Case:
    """What one probe gets.

    Attributes
    ----------
    args : tuple
        Tensors, numbers, bools, short texts, None, and lists or dicts of these.
    kwargs : dict
    note : str
        What is special about it. Shown by a check, so for public cases only.
    part : str
        Of a hidden case. A task's points are split equally over its parts; a part counts when all its cases pass.
    """

    args: tuple = ()
    kwargs: dict = field(default_factory=dict)
    note: str = ""
    part: str = ""


@dataclass(frozen=True)
class Misconception:
    """A wrong answer that students really write.

    Attributes
    ----------
    name : str
        In kebab-case, unique within the task.
    message : str
        One or two sentences that teach.
    answer : callable
        The wrong answer itself: a function or class; for a `ValueTask` a function of the student's numbers. Its
        source stands for itself: it uses only what the notebook imports (math, np, torch, nn, F).
    """

    name: str
    message: str
    answer: Callable


def call(subject, *args, **kwargs):
    """The usual probe: the value of the function."""
    return subject(*args, **kwargs)


@dataclass(eq=False)
class Task:
    """What all tasks have.

    Attributes
    ----------
    name : str
        The name the student defines, a Python identifier.
    title : str
    points : int
    prompt : str
        Markdown, without a heading.
    starter : str
        Content of the student's cell.
    hints : tuple of str
        Shown one by one.
    """

    name: str
    _: KW_ONLY
    title: str
    points: int
    prompt: str
    starter: str
    hints: tuple[str, ...] = ()

    def __post_init__(self):
        self.assignment = None
        self._hints_shown = 0

    def hint(self):
        """Print the next hint; after the last one the first again."""
        if not self.hints:
            print(f"{self.name}: there is no hint for this one.")
            return
        step = self._hints_shown % len(self.hints)
        self._hints_shown += 1
        print(feedback.readable(f"{self.name}, hint {step + 1} of {len(self.hints)}: {self.hints[step]}"))
        if step + 1 < len(self.hints):
            print("For the next one, run this cell again.")

    def _report(self, found):
        self.assignment.results[self.name] = found.status
        print(feedback.readable(found.text))


@dataclass(eq=False)
class FunctionTask(Task):
    """The student defines a function or class.

    Attributes
    ----------
    cases : callable
        Gives the list of public cases.
    misconceptions : tuple of Misconception
    implementations : tuple of str
        Dotted names of coursekit's own answer: calling them is not an answer.
    probe : callable
        ``probe(subject, *args, **kwargs)`` gives the value that is compared; see `coursekit.exercises.subject`.
        If it is not given, `call`.
    rtol, atol, nan
        As in `coursekit.exercises.comparison.difference`.
    """

    cases: Callable
    misconceptions: tuple[Misconception, ...] = ()
    implementations: tuple[str, ...] = ()
    probe: Callable | None = None
    rtol: float = 1e-4
    atol: float = 1e-6
    nan: bool = False

    kind = "function"

    def __post_init__(self):
        super().__post_init__()
        self.probe = self.probe or call

    def value(self, subject, case):
        """What the probe gets from `subject` on `case`, as a plain value."""
        return plain(self.probe(subject, *case.args, **case.kwargs))

    def check(self, answer):
        """Compare the answer with the expected values on the public cases, and print what to think about."""
        expected = read_expected(self.assignment.name)[self.name]
        self._report(feedback.on_function(self, answer, self.cases(), expected))


@dataclass(eq=False)
class ValueTask(Task):
    """The student assigns a number, which depends on the student's own numbers.

    Attributes
    ----------
    misconceptions : tuple of Misconception
    rtol : float
    """

    misconceptions: tuple[Misconception, ...] = ()
    rtol: float = 1e-3

    kind = "value"

    def check(self, value):
        """Take the number, and print whether its form is right and whether it is a usual wrong one."""
        found = feedback.on_value(self, value, self.assignment.numbers)
        self.assignment.answers.pop(self.name, None)
        if found.value is not None:
            self.assignment.answers[self.name] = found.value
        self._report(found)


@dataclass(eq=False)
class ArtefactTask(Task):
    """The student trains a network of a given architecture, and hands in its weights.

    Attributes
    ----------
    architecture : callable
        Makes the module, untrained.
    public_score : callable
        Module to float; larger is better.
    thresholds : dict of float to float
        From this score on: this share of the points.
    misconceptions : tuple of Misconception
    """

    architecture: Callable
    public_score: Callable
    thresholds: dict[float, float]
    misconceptions: tuple[Misconception, ...] = ()

    kind = "artefact"

    def hand_in(self, trained):
        """Keep the weights of a trainer or module for `submit`, write them to a file, and print the public score."""
        found = feedback.on_artefact(self, trained)
        if found.value is not None:
            self.assignment.artefacts[self.name] = found.value
            path = submission.write_artefact(self.assignment.name, self.name, found.value)
            found.text += "\nKept for submit" + (f", and in {path}." if path else ".")
        self._report(found)

    check = hand_in


@dataclass(eq=False)
class TextTask(Task):
    """A derivation in words, in a Markdown cell that begins with ``<!-- answer: NAME -->``.

    Attributes
    ----------
    rubric : tuple of (str, int)
        Criterion and its points.
    """

    rubric: tuple[tuple[str, int], ...] = ()

    kind = "text"

    def check(self, answer=None):
        """Print what a reader will look for."""
        print(feedback.on_text(self))


class Assignment:
    """The tasks of one notebook, and what the student has done with them.

    Parameters
    ----------
    name : str
        Of the chapter.
    title : str
    intro : str
        Markdown under the title.
    tasks : sequence of Task
    numbers : callable
        ``numpy.random.Generator`` to dict of numbers, rounded so that they can be typed.
    """

    def __init__(self, name, *, title, intro, tasks, numbers):
        self.name, self.title, self.intro = name, title, intro
        self.tasks = {task.name: task for task in tasks}
        self.draw = numbers
        for task in tasks:
            task.assignment = self
        self.forget()

    def forget(self):
        """Forget the student and everything that was checked."""
        self.student, self.numbers = None, None
        self.results, self.answers, self.artefacts = {}, {}, {}

    def numbers_of(self, student):
        """The student's own numbers, a dict."""
        return draw(self.name, student, self.draw)

    def start(self, student):
        """Begin: print and return the numbers of this student."""
        try:
            student = student_id(student)
        except ValueError as error:
            raise ValueError(f'STUDENT = "…" in the cell above: {error}') from None
        if student != self.student:
            self.forget()
        self.student, self.numbers = student, self.numbers_of(student)
        print(f"{self.title}: {len(self.tasks)} tasks, {sum(task.points for task in self.tasks.values())} points.")
        if student == PLACEHOLDER:
            print("First write your own id above: the numbers below depend on it.")
        print(f"Numbers of {student}: " + ", ".join(f"{name} = {value}" for name, value in self.numbers.items()))
        return dict(self.numbers)

    def progress(self):
        """Print what has been checked so far, as a table."""
        print(progress.table(self))

    def submit(self, student=None, *, notebook=None, folder="."):
        """Write the file to hand in; on Colab also download it.

        Parameters
        ----------
        student : str
            Your id, as in the first cell.
        notebook : str or Path, optional
            This notebook's file, where it cannot be found by itself.
        folder : str or Path
            Where to write the file.
        """
        submission.submit(self, student, notebook=notebook, folder=folder)
