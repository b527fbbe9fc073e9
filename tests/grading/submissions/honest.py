"""Students who mean well: right, partly right, wrong, and untidy."""

import make_exercises

from . import RIGHT, SOLUTIONS, WRONG_KL, code, number_of, submission


@submission(points={"small_vae": 15}, status={"gap_proof": "pending", "small_vae": "passed"})
def right_with_everything(kit):
    notebook = make_exercises.solved_notebook("vae", kit.student)
    kit.whole(notebook, kit.weights(), {"gap": number_of(kit.student)})


@submission(status={"gap_proof": "pending", "small_vae": "missing"})
def right_as_a_bare_notebook(kit):
    kit.bare(kit.notebook())


@submission()
def right_as_a_folder(kit):
    folder = kit.folder / kit.student
    folder.mkdir()
    kit.bare(kit.notebook(), f"{kit.student}/my notebook.ipynb")


@submission()
def right_as_a_zip_in_a_folder(kit):
    (kit.folder / kit.student).mkdir()
    kit.zip({"notebook.ipynb": kit.notebook()}, f"{kit.student}/vae-{kit.student} (2).zip")


@submission()
def right_in_another_way(kit):
    helper = "def terms(mu, log_var):\n    return (mu**2 + log_var.exp() - log_var - 1) / 2"
    kl = "kl = lambda mu, log_var: terms(mu, log_var).sum(-1)"
    loss = (
        "class Loss:\n    def __call__(self, x, logits, mu, log_var, beta=1.0):\n"
        "        nll = F.binary_cross_entropy_with_logits(logits, x, reduction='none').flatten(1).sum(1)\n"
        "        return (nll + beta * kl(mu, log_var)).mean()\n\nloss = Loss()"
    )
    kit.bare(kit.notebook(before=[helper], kl=kl, loss=loss))


@submission()
def right_in_numbers_of_other_kinds(kit):
    kit.bare(
        kit.notebook(
            gap=SOLUTIONS["gap"] + "\ngap = torch.tensor([gap])",
            active_dimensions="def active_dimensions(e, sigma, beta, latent_dim):\n"
            "    return np.minimum(np.int64(latent_dim), (e.numpy() > np.float32(beta * sigma**2)).sum())",
        )
    )


@submission(lost=["kl"], status={"kl": "failed"})
def partly_right(kit):
    kit.bare(kit.notebook(kl=WRONG_KL))


@submission(lost=["kl"], status={"kl": "failed"})
def average_over_dimensions(kit):
    kit.bare(
        kit.notebook(kl="def kl(mu, log_var):\n    return -0.5 * (1 + log_var - mu**2 - log_var.exp()).mean(dim=1)")
    )


@submission(points={"reparameterise": 7.5}, status={"reparameterise": "partial"})
def right_for_one_draw_only(kit):
    answer = (
        "def reparameterise(mu, log_var, eps):\n    assert eps.dim() == 2\n    return mu + (log_var / 2).exp() * eps"
    )
    kit.bare(kit.notebook(reparameterise=answer))


@submission(lost="all", status=dict.fromkeys(RIGHT, "blank") | {"small_vae": "missing"})
def blank(kit):
    kit.bare(make_exercises.student_notebook("vae"))


@submission(lost=["kl"], status={"kl": "error"})
def raises(kit):
    kit.bare(kit.notebook(kl="def kl(mu, log_var):\n    raise ValueError('not today')"))


@submission(lost=["kl"], status={"kl": "not-defined"}, flags=("cell-failed",))
def syntax_error(kit):
    kit.bare(kit.notebook(kl="def kl(mu, log_var)\n    return mu"))


@submission(flags=("cell-failed",))
def errors_in_cells_of_no_task(kit):
    kit.bare(
        kit.notebook(
            before=["1 / 0", "import nothing_of_that_name"], after=["plot(kl)\nassert False", "name = input('?')"]
        )
    )


@submission()
def magics_and_displays(kit):
    before = [
        "%matplotlib inline\n%load_ext autoreload\n%autoreload 2\nimport matplotlib.pyplot as plt",
        "!pip install torch\n%pip install numpy\nfiles = !ls",
        "%%bash\nrm -rf /",
        "%%writefile helper.py\nx = 1",
        "plt.plot([1, 2])\nplt.show()",
        "torch?",
        "display(torch.ones(2)); get_ipython().run_line_magic('time', '1')",
    ]
    kit.bare(kit.notebook(before=before, kl="%%time\n" + SOLUTIONS["kl"]))


@submission()
def a_cell_that_awaits(kit):
    kit.bare(kit.notebook(before=["import asyncio\nawait asyncio.sleep(0)"]))


@submission()
def first_cells_deleted(kit):
    notebook = kit.notebook()
    notebook["cells"] = [cell for cell in notebook["cells"] if cell.get("id") not in ("install", "start", "student")]
    kit.bare(notebook)


@submission(lost=["loss", "gap"], status={"loss": "not-defined", "gap": "not-defined"})
def answers_deleted(kit):
    notebook = kit.notebook()
    gone = ("loss-answer", "loss-check", "gap-answer", "gap-check")
    notebook["cells"] = [cell for cell in notebook["cells"] if cell.get("id") not in gone]
    kit.bare(notebook)


@submission()
def cells_in_reverse_order(kit):
    notebook = kit.notebook(
        gap=SOLUTIONS["gap"].replace("variance = s**2", "variance = square(s)"),
        after=["def square(x):\n    return x * x"],
    )
    notebook["cells"] = notebook["cells"][::-1]
    kit.bare(notebook)


@submission()
def every_cell_twice(kit):
    notebook = kit.notebook()
    notebook["cells"] = [cell for cell in notebook["cells"] for _ in range(2)]
    kit.bare(notebook)


@submission()
def starters_copied_below(kit):
    starters = [
        task.starter.strip() for task in make_exercises.assignment_of("vae").tasks.values() if task.kind != "text"
    ]
    kit.bare(kit.notebook(after=[starter for starter in starters if "trainers" not in starter]))


@submission(lost=["kl"])
def the_last_definition_counts(kit):
    kit.bare(kit.notebook(after=[WRONG_KL]))


@submission()
def the_id_is_missing(kit):
    kit.bare(kit.notebook(student="your-id"))


@submission(lost=["gap"], flags=("id-differs",))
def somebody_elses_numbers(kit):
    kit.bare(kit.notebook(student="somebody", gap=f"gap = {number_of('somebody')}"))


@submission(flags=("id-differs",))
def the_id_is_misspelt(kit):
    kit.bare(kit.notebook(student="the_id_is_mispelt"))


@submission(flags=("gap:from-answers-file",))
def the_number_is_in_the_file_only(kit):
    kit.whole(kit.notebook(gap="gap = ..."), answers={"gap": number_of(kit.student)})


@submission(flags=("duplicate",))
def handed_in_twice(kit):
    kit.bare(kit.notebook())
    kit.whole(kit.notebook(kl=WRONG_KL))


@submission(flags=("several-notebooks",))
def with_other_notebooks(kit):
    other = {"cells": [code("kl = 0"), code("print('notes')")]}
    kit.zip({"notes.ipynb": other, "a/vae.ipynb": kit.notebook(), "z.ipynb": "not a notebook"})


@submission(lost="all", flags=("wrong-assignment",))
def another_assignment(kit):
    setup = "from coursekit.exercises import gan_theory\nnumbers = gan_theory.start('another_assignment')"
    kit.bare({"cells": [code(setup), code("def optimal(p, q):\n    return p / (p + q)")]})


@submission(flags=("wrong-assignment",))
def the_manifest_of_another_assignment(kit):
    kit.whole(assignment="gan_theory")


@submission(lost=["kl"], status={"kl": "calls-reference"}, flags=("kl:calls-reference",))
def calls_the_reference(kit):
    kit.bare(
        kit.notebook(
            kl="from coursekit.losses.vae import kl_standard_normal\n\nkl = lambda mu, log_var: kl_standard_normal(mu, log_var)"
        )
    )


@submission(lost=["loss"], flags=("loss:calls-reference",))
def calls_the_reference_of_another_task(kit):
    loss = (
        "import coursekit.losses.vae as ready\n\n"
        "def loss(x, logits, mu, log_var, beta=1.0):\n"
        "    nll = F.binary_cross_entropy_with_logits(logits, x, reduction='sum') / len(x)\n"
        "    return nll + beta * ready.kl_standard_normal(mu, log_var).mean()"
    )
    kit.bare(kit.notebook(loss=loss))
