"""The copy of coursekit that a sandbox sees holds no answers."""

import subprocess
import sys
from pathlib import Path

import pytest

import coursekit
from coursekit.grading import stripped
from coursekit.grading.stripped import locate, make_tree, without

ASKED = (
    "coursekit.losses.vae.kl_standard_normal",
    "coursekit.networks.gan.Maxout",
    "coursekit.networks.gan.MaxoutDiscriminator.forward",
)


@pytest.fixture(scope="module")
def tree():
    return make_tree(ASKED)


def run(tree, program):
    """What a program prints that imports from the tree alone."""
    code = (
        f"import sys; sys.path.insert(0, {str(tree)!r})\nimport coursekit\nassert {str(tree)!r} in coursekit.__file__\n"
    )
    result = subprocess.run([sys.executable, "-c", code + program], capture_output=True, text=True, cwd="/")
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_calling_what_was_asked_for_raises_and_is_noted(tree):
    program = """
import torch
from coursekit.grading.inside import reference
from coursekit.losses import vae
from coursekit.metrics import latent
from coursekit.networks.gan import Maxout, MaxoutDiscriminator
def called(call):
    try:
        call()
    except reference.ReferenceCalled:
        return True
    return False
x = torch.zeros(2, 3)
class Mine(Maxout):
    def __init__(self):
        torch.nn.Module.__init__(self)
print(called(lambda: vae.kl_standard_normal(x, x)), called(lambda: vae.kl_standard_normal(log_var=x, mu=x)))
print(called(lambda: Maxout(2, 3)), called(lambda: Mine()(x)), len(reference.calls))
print(vae.reparameterise(x, x, eps=x).shape == x.shape)
"""
    assert run(tree, program).splitlines() == ["True True", "True True 4", "True"]


def test_the_body_is_gone_and_its_neighbours_are_not(tree):
    original = (Path(coursekit.__file__).parent / "losses" / "vae.py").read_text(encoding="utf-8")
    kept = (tree / "coursekit" / "losses" / "vae.py").read_text(encoding="utf-8")
    body = "return -0.5"
    assert body in original.split("def kl_standard_normal")[1].split("\ndef ")[0]
    assert body not in kept.split("def kl_standard_normal")[1].split("\ndef ")[0]
    assert "def negative_elbo" in kept


def test_no_answer_hidden_case_or_test_is_in_it(tree):
    files = {path.relative_to(tree).as_posix() for path in tree.rglob("*.py")}
    own = {name for name in files if name.startswith(("coursekit/grading", "coursekit/exercises"))}
    assert own == {
        "coursekit/exercises/__init__.py",
        "coursekit/exercises/subject.py",
        "coursekit/grading/__init__.py",
        "coursekit/grading/wire.py",
        *(f"coursekit/grading/inside/{name}.py" for name in ("__init__", "confine", "reference", "worker")),
    }
    assert not [path for path in tree.rglob("*") if path.suffix == ".json" or "test" in path.name]


def test_the_rest_of_coursekit_is_the_same(tree):
    package = Path(coursekit.__file__).parent
    changed = []
    for path in package.rglob("*.py"):
        name = path.relative_to(package)
        if name.parts[0] in stripped.LEFT_OUT:
            continue
        if (tree / "coursekit" / name).read_bytes() != path.read_bytes():
            changed.append(name.as_posix())
    assert set(changed) <= {"losses/vae.py", "networks/gan.py", "trainers/base.py"}


def test_fit_trains_nothing(tree):
    program = """
import torch
from coursekit.trainers import AutoencoderTrainer
trainer = AutoencoderTrainer()
print(trainer.fit(torch.zeros(10, 1, 28, 28)) is trainer, trainer.step, trainer.history["loss"])
"""
    assert run(tree, program) == "True 0 [nan]"


def test_the_stand_in_for_exercises_takes_everything_and_gives_the_numbers(tree):
    program = """
import coursekit.exercises as exercises
from coursekit.exercises import gan_theory
exercises.numbers.update({"sigma": 2.0})
from coursekit.exercises import vae
import coursekit.exercises.dcgan as dcgan
import coursekit.exercises.vae
print(vae.start("x")["sigma"], dcgan.start("x") == vae.numbers, vae is coursekit.exercises.vae)
print(vae.kl.check(3), vae.kl.hint(), vae.small.hand_in(object()), vae.progress(), vae.submit(student="x"))
print([line for line in vae.kl.misconceptions], vae.kl.answer(1))
"""
    lines = ["2.0 True True", "None None None None None", "[] None"]
    assert run(tree, program).splitlines() == lines


def test_a_re_export_leads_to_its_definition():
    assert locate("coursekit.trainers.VAETrainer") == locate("coursekit.trainers.vae.VAETrainer")
    assert locate("coursekit.metrics.parzen_log_likelihood")[0].name == "parzen.py"


@pytest.mark.parametrize(
    "name", ["coursekit.losses.vae.no_such_thing", "coursekit", "torch.nn.Linear", "coursekit.nowhere.f"]
)
def test_a_name_that_coursekit_does_not_define_is_refused(name):
    with pytest.raises(ValueError, match="defines no"):
        locate(name)


def test_decorators_go_with_the_body():
    source = "import functools\n@functools.cache\ndef f(x):\n    return x\nclass C:\n    @staticmethod\n    def g(): return 1\n"
    left = without(source, {"f": "raise KeyError", "C": "raise KeyError"})
    assert "cache\n" not in left and "@staticmethod" in left and "return" not in left and "def __init__" in left


def test_a_tree_is_made_once_and_readable_by_everybody(tree):
    assert make_tree(ASKED) == tree == make_tree(tuple(reversed(ASKED)))
    assert make_tree() != tree
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in [tree, *tree.rglob("*")])


def test_a_change_in_coursekit_makes_another_digest(tmp_path, monkeypatch):
    before = stripped.digest_of()
    monkeypatch.setattr(stripped, "PACKAGE", tmp_path)
    (tmp_path / "losses.py").write_text("1")
    one = stripped.digest_of()
    (tmp_path / "losses.py").write_text("2")
    assert len({before, one, stripped.digest_of()}) == 3
