"""Rules that every committed notebook keeps, and proof that each rule can fail."""

import ast
import copy
import os
import re
import sys
import types
from pathlib import Path

import execute
import nbformat
import pytest
import stamp
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted(path for path in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
LESSONS_FOR_GPUS = [path for path in NOTEBOOKS if r"DEVICE = \"cpu\"" in path.read_text(encoding="utf-8")]
MAX_BYTES = 1_500_000
MAX_SECONDS = 120
MAX_CELL_SECONDS = 60
MAX_TOTAL_SECONDS = 8 * 60
MYST = re.compile(r"^\s*(```|:::)\s*\{|\{(ref|eq|cite|doc|numref|prf:ref|result)[^}]*\}`", re.MULTILINE)
FLOAT = re.compile(r"(?<![\w.])\d+\.\d+(?![\w.])")
MAX_DIGITS = 4


def digits(text):
    """Significant digits of a printed float."""
    return len(text.replace(".", "").lstrip("0"))


def problems(notebook, path, size=0):
    """What is wrong with this notebook; `path` is relative to the root of the project."""
    found = []
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    counts = [cell.execution_count for cell in code if cell.source.strip()]
    if counts != list(range(1, len(counts) + 1)):
        found.append(f"execution counts are {counts}, not 1, 2, 3, …")
    if not any(cell.outputs for cell in code):
        found.append("no outputs: stripped")
    run = notebook.metadata.get("coursekit", {})
    if run.get("outputs") != execute.digest(notebook):
        found.append("the outputs are not those of `make notebooks`")
    if any("unavailable" in source for source in run.get("data", [])):
        found.append(f"the data are a fallback: {run['data']}")
    seconds = run.get("seconds", [])
    if sum(seconds) > MAX_SECONDS or max(seconds, default=0) > MAX_CELL_SECONDS:
        found.append(f"over budget: {sum(seconds):.0f} s, slowest cell {max(seconds, default=0):.0f} s")
    if size > MAX_BYTES:
        found.append(f"{size} bytes")
    for number, cell in enumerate(code, 1):
        for output in cell.outputs:
            types = set(output.get("data", {}))
            if output.output_type == "error":
                found.append(f"code cell {number} ends in {output.ename}")
            if "image/svg+xml" in types or "<svg" in str(output.get("data", {}).get("text/html", "")):
                found.append(f"code cell {number} has an svg output")
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            if any(kind.startswith("image/") for kind in types) and len(alt.split()) < 3:
                found.append(f"code cell {number} has an image without alt text (mystnb.image.alt)")
            if output.output_type == "stream" and output.name == "stderr":
                found.append(f"code cell {number} has stderr: not from `make notebooks`")
            printed = output.get("text", "") or str(output.get("data", {}).get("text/plain", ""))
            if long := [text for text in FLOAT.findall(printed) if digits(text) > MAX_DIGITS]:
                found.append(f"code cell {number} prints more digits than two machines agree on: {long[0]}")
    markdown = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    if MYST.search(markdown):
        found.append(f"MyST in Markdown, which GitHub and Colab do not read: {MYST.search(markdown)[0].strip()}")
    source = "\n".join(cell.source for cell in code)
    if stamp.colab_link(path) not in notebook.cells[0].source:
        found.append("the first cell does not link this notebook on Colab (`make stamp`)")
    if run.get("cores") != 2:
        found.append(f"timed on {run.get('cores', 'nobody knows how many')} CPU cores, not on 2")
    if "cores" in run and execute.time_said(run) not in notebook.cells[0].source.splitlines():
        found.append(f"the first cell does not say the time that was recorded: {execute.time_said(run)}")
    top = "\n".join(cell.source for cell in notebook.cells[:3] if cell.cell_type == "markdown")
    if ("offer_gpu(" in source) == ("No GPU is needed" in top):
        found.append("it has to offer a GPU, or to say at its top that none is needed")
    if not code or f'%pip install -q "{stamp.install_requirement()}"' not in code[0].source:
        found.append("the first code cell is not the install line (`make stamp`)")
    if not path.startswith("notebooks/exercises/"):
        if not re.search(
            r"^(from coursekit\.trainers import|from coursekit import .*\btrainers\b)", source, re.MULTILINE
        ):
            found.append("imports no trainer from coursekit.trainers")
        if not any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(code[-1].source))):
            found.append("does not end in asserts of what it claimed")
        if not re.search(r"^SCALE = 1\b", source, re.MULTILINE):
            found.append("has no SCALE = 1 cell")
    return found


def test_significant_digits_are_counted():
    assert [digits(text) for text in ("0.00367", "12.30", "1234.5", "0.0")] == [3, 4, 5, 0]


def read(path):
    return nbformat.read(path, as_version=4)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_keeps_the_rules(path):
    relative = path.relative_to(ROOT).as_posix()
    assert problems(read(path), relative, path.stat().st_size) == []


def test_all_notebooks_together_take_at_most_eight_minutes():
    seconds = {path: sum(read(path).metadata["coursekit"]["seconds"]) for path in NOTEBOOKS}
    assert sum(seconds.values()) <= MAX_TOTAL_SECONDS, seconds


@pytest.mark.cuda
@pytest.mark.parametrize("path", LESSONS_FOR_GPUS, ids=lambda path: path.stem)
def test_lesson_runs_on_cuda(path):
    notebook = read(path)
    notebook.cells[3].source = notebook.cells[3].source.replace('DEVICE = "cpu"', 'DEVICE = "cuda"')
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(path.parent)}}).execute()


def test_every_lesson_that_can_use_a_gpu_offers_it():
    cells = {path.stem: read(path).cells for path in NOTEBOOKS if "offer_gpu(" in path.read_text(encoding="utf-8")}
    unasked = [name for name, (_, _, _, settings, *_) in cells.items() if "device=None" in settings.source]
    assert unasked == ["scaling"] and 'device = choose_device("auto")' in cells["scaling"][4].source
    assert [name for name in cells if name not in unasked] == [path.stem for path in LESSONS_FOR_GPUS]
    assert len(LESSONS_FOR_GPUS) == 7
    for path in LESSONS_FOR_GPUS:
        code = [cell.source for cell in read(path).cells if cell.cell_type == "code"]
        trainers = re.findall(r"\b\w+Trainer\((.*?)\)(?:\.fit|$)", "\n".join(code), re.MULTILINE | re.DOTALL)
        assert trainers and all("device=DEVICE" in settings for settings in trainers), path.stem


@pytest.fixture
def drive(monkeypatch):
    """An imitation of Colab: what was mounted."""
    mounted = []
    monkeypatch.setitem(sys.modules, "google", types.ModuleType("google"))
    colab = types.SimpleNamespace(drive=types.SimpleNamespace(mount=mounted.append))
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    return mounted


def test_training_in_a_folder_of_drive_goes_on_in_a_new_runtime(tmp_path, drive):
    page = (ROOT / "book" / "troubleshooting.md").read_text(encoding="utf-8")
    (cell,) = (block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "google.colab" in block)
    for old, new in (
        ("/content/drive/MyDrive", str(tmp_path)),
        ("fashion_mnist", "digits"),
        ("width=64", "width=4, batch_size=8"),
    ):
        assert old in cell
        cell = cell.replace(old, new)
    histories = []
    for steps in (3, 5):
        names = {}
        exec(cell.replace("epochs=25", f"max_steps={steps}, progress=False"), names)
        histories.append(names["dcgan"].history)
    assert drive == ["/content/drive"] * 2
    assert histories[1]["step"] == [1, 2, 3, 4, 5]
    assert histories[1]["loss_D"][:3] == histories[0]["loss_D"]


@pytest.mark.parametrize(
    ("lesson", "smaller", "first", "second"),
    [
        (
            "dcgan",
            {"STEPS = 500 * SCALE": "STEPS = 20", "fashion_mnist": "digits", "width=16, batch_size=64": "width=4"},
            ["step 1", "step 5", "step 10"],
            ["step 10", "step 20"],
        ),
        (
            "cyclegan",
            {'load_unpaired("coloured_digits")\n': '(part.take(16) for part in load_unpaired("coloured_digits"))\n'},
            ["X", "epoch 1", "epoch 3"],
            ["X", "epoch 3", "epoch 6", "truth"],
        ),
    ],
)
def test_a_lesson_that_was_stopped_half_way_goes_on_in_a_new_runtime(
    lesson, smaller, first, second, tmp_path, drive, monkeypatch
):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    cells = [cell.source for cell in read(ROOT / "notebooks" / f"{lesson}.ipynb").cells if cell.cell_type == "code"]
    training = [cell for cell in cells if re.search(r"\.fit\(train,|train_until\(", cell)]
    code = [re.sub(r";$", "", cell) for cell in (cells[1], cells[2], *training)]
    for old, new in {'None  # or "/content/drive/MyDrive': f'"{tmp_path}', **smaller}.items():
        assert sum(old in cell for cell in code) == 1, old
        code = [cell.replace(old, new) for cell in code]

    stopped, resumed = {"sys": sys}, {"sys": sys}
    exec("\n".join(code[: 3 if lesson == "dcgan" else 4]), stopped)
    with pytest.warns(UserWarning, match="nothing to do"):
        exec("\n".join(code), resumed)

    assert drive == ["/content/drive"] * 2
    assert (list(stopped["stages"]), list(resumed["stages"])) == (first, second)
    before, after = stopped[lesson], resumed[lesson]
    assert after.step == 2 * before.step and after.history["step"] == list(range(1, after.step + 1))
    assert all(after.history[name][: before.step] == values for name, values in before.history.items())


def test_every_lesson_is_in_the_book():
    toc = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    lessons = [path.relative_to(ROOT).with_suffix("").as_posix() for path in NOTEBOOKS]
    assert [lesson for lesson in lessons if lesson not in toc] == []


# -- each rule can fail --------------------------------------------------------------------------

PATH = "notebooks/demo.ipynb"


@pytest.fixture
def good():
    new = nbformat.v4
    notebook = new.new_notebook()
    install = f'import sys\nif "google.colab" in sys.modules:\n    %pip install -q "{stamp.install_requirement()}"'
    image = new.new_output("display_data", data={"image/png": "aGk="})
    text = new.new_output("stream", text="0.123\n")
    notebook.cells = [
        new.new_markdown_cell(
            f"# Demo\n\n[Open in Colab]({stamp.colab_link(PATH)})\n\nTakes about 10 seconds on 2 CPU cores.\n\n$x$"
        ),
        new.new_code_cell(install, execution_count=1),
        new.new_code_cell(
            "SCALE = 1\nfrom coursekit.trainers import VAETrainer\noffer_gpu(10)", execution_count=2, outputs=[text]
        ),
        new.new_code_cell(
            "figure", execution_count=3, outputs=[image], metadata={"mystnb": {"image": {"alt": "Nine round digits"}}}
        ),
        new.new_code_cell("assert True", execution_count=4),
    ]
    notebook.metadata["coursekit"] = {"cores": 2, "data": ["mnist"], "seconds": [1.0, 2.0, 3.0, 0.0]}
    sign(notebook)
    return notebook


def sign(notebook):
    notebook.metadata["coursekit"]["outputs"] = execute.digest(notebook)


def strip(notebook):
    for cell in notebook.cells[1:]:
        cell.outputs, cell.execution_count = [], None
    sign(notebook)


def lose_a_count(notebook):
    notebook.cells[2].execution_count = None


def edit_an_output(notebook):
    notebook.cells[2].outputs[0].text = "0.9\n"


def fall_back(notebook):
    notebook.metadata["coursekit"]["data"] = ["digits (embedded; mnist unavailable)"]


def take_too_long(notebook):
    notebook.metadata["coursekit"]["seconds"] = [MAX_CELL_SECONDS + 1.0]


def lose_alt_text(notebook):
    notebook.cells[3].metadata = {}


def draw_svg(notebook):
    notebook.cells[3].outputs[0].data = {"image/svg+xml": "<svg/>"}
    sign(notebook)


def keep_stderr(notebook):
    notebook.cells[2].outputs[0].name = "stderr"
    sign(notebook)


def print_a_long_float(notebook):
    notebook.cells[2].outputs[0].text = "loss 0.0533263646"
    sign(notebook)


def fail(notebook):
    notebook.cells[2].outputs = [nbformat.v4.new_output("error", ename="ValueError", evalue="", traceback=[])]
    sign(notebook)


def write_myst(notebook):
    notebook.cells[0].source += "\n\n```{note}\nHello\n```"


def write_a_role(notebook):
    notebook.cells[0].source += "\n\nSee {eq}`eq-vae-elbo`."


def link_another_project(notebook):
    notebook.cells[0].source = "[Open in Colab](https://colab.research.google.com/github/a/b/blob/main/x.ipynb)"


def install_another_project(notebook):
    notebook.cells[1].source = notebook.cells[1].source.replace("git+", "git+https://example.org/x/y@main")


def forget_the_time(notebook):
    notebook.cells[0].source = notebook.cells[0].source.replace("Takes about", "Lasts")


def flatter_the_time(notebook):
    notebook.metadata["coursekit"]["seconds"] = [10.1]


def use_more_cores(notebook):
    notebook.metadata["coursekit"]["cores"] = 64
    execute.say_time(notebook)


def forget_the_cores(notebook):
    del notebook.metadata["coursekit"]["cores"]


def forget_the_gpu(notebook):
    notebook.cells[2].source = notebook.cells[2].source.replace("\noffer_gpu(10)", "")


def contradict_itself_on_the_gpu(notebook):
    notebook.cells[0].source += " No GPU is needed."


def boast_of_a_gpu(notebook):
    notebook.cells[0].source = notebook.cells[0].source.replace(
        "on 2 CPU cores.", "on 2 CPU cores, and about 10 on a GPU (Tesla T4)."
    )


def forget_the_trainers(notebook):
    notebook.cells[2].source = "SCALE = 1\noffer_gpu(10)"


def forget_the_asserts(notebook):
    notebook.cells[-1].source = "True"


def forget_the_scale(notebook):
    notebook.cells[2].source = "from coursekit.trainers import VAETrainer"


def test_a_good_notebook_has_no_problem(good):
    assert problems(good, PATH) == []


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (strip, "no outputs"),
        (lose_a_count, "execution counts"),
        (edit_an_output, "not those of `make notebooks`"),
        (fall_back, "fallback"),
        (take_too_long, "over budget"),
        (lose_alt_text, "without alt text"),
        (draw_svg, "svg"),
        (keep_stderr, "stderr"),
        (print_a_long_float, "0.0533263646"),
        (fail, "ValueError"),
        (write_myst, "MyST"),
        (write_a_role, "MyST"),
        (link_another_project, "on Colab"),
        (install_another_project, "install line"),
        (forget_the_time, "does not say the time"),
        (flatter_the_time, "does not say the time that was recorded: Takes about 20 seconds"),
        (use_more_cores, "timed on 64 CPU cores"),
        (forget_the_cores, "timed on nobody knows how many CPU cores"),
        (forget_the_gpu, "has to offer a GPU"),
        (contradict_itself_on_the_gpu, "has to offer a GPU"),
        (boast_of_a_gpu, "does not say the time"),
        (forget_the_trainers, "no trainer"),
        (forget_the_asserts, "asserts"),
        (forget_the_scale, "SCALE"),
    ],
)
def test_a_damaged_notebook_is_rejected(good, damage, message):
    damaged = copy.deepcopy(good)
    damage(damaged)
    assert [problem for problem in problems(damaged, PATH) if message in problem]


def test_a_large_notebook_is_rejected(good):
    assert problems(good, PATH, size=MAX_BYTES + 1) == [f"{MAX_BYTES + 1} bytes"]


# -- execute.py and stamp.py -----------------------------------------------------------------------


@pytest.fixture
def run_cells(tmp_path):
    """Run `execute.py` on a notebook of these code cells; returns its exit code and the path."""

    def run(*sources, arguments=()):
        path = tmp_path / "demo.ipynb"
        notebook = nbformat.v4.new_notebook(metadata={"language_info": {"name": "python", "version": "1.2.3"}})
        notebook.cells = [nbformat.v4.new_code_cell(source) for source in sources]
        nbformat.write(notebook, path)
        return execute.main([*arguments, str(path)]), path

    return run


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"seconds": [3.0, 6.9], "cores": 2}, "Takes about 10 seconds on 2 CPU cores."),
        ({"seconds": [10.0], "cores": 2}, "Takes about 10 seconds on 2 CPU cores."),
        ({"seconds": [50.0, 10.1], "cores": 1}, "Takes about 70 seconds on 1 CPU core."),
        (
            {"seconds": [4.0], "solved_seconds": 31.5, "cores": 2},
            "Takes about 40 seconds to run with all answers in it, and 10 without, on 2 CPU cores.",
        ),
        ({"seconds": [], "cores": 2}, "Takes about 10 seconds on 2 CPU cores."),
        (
            {"seconds": [50.0], "cores": 2, "gpu": {"name": "Tesla T4", "seconds": 21.0}},
            "Takes about 50 seconds on 2 CPU cores, and about 30 on a GPU (Tesla T4).",
        ),
    ],
)
def test_a_notebook_says_what_was_recorded_rounded_up(good, record, said):
    assert execute.time_said(record) == said
    good.metadata["coursekit"] = record
    before = good.cells[0].source
    execute.say_time(good)
    assert good.cells[0].source == before.replace("Takes about 10 seconds on 2 CPU cores.", said)
    good.cells[0].source = "# Demo\n\n[Open in Colab](x)\n\nWords."
    execute.say_time(good)
    assert good.cells[0].source == f"# Demo\n\n[Open in Colab](x)\n\n{said}\n\nWords."


# coursekit.data is not needed for these: the kernel looks for the class by its name.
LOAD = """
import warnings
from coursekit.errors import OfflineFallbackWarning
class ImageSet:
    source = {source!r}
images = ImageSet()
if "unavailable" in images.source:
    warnings.warn("mnist is replaced", OfflineFallbackWarning)
"""


def test_execute_writes_outputs_data_and_times_but_no_stderr_and_no_versions(run_cells):
    code, path = run_cells(
        LOAD.format(source="mnist"),
        "import os, sys\nprint(1)\nprint('bar', file=sys.stderr)\nsys.stderr.flush()\nprint(os.environ['TQDM_DISABLE'])",
    )
    notebook = read(path)
    assert code == 0
    assert [cell.execution_count for cell in notebook.cells] == [1, 2]
    assert [output.text for output in notebook.cells[1].outputs] == ["1\n1\n"]
    assert notebook.metadata["language_info"] == {"name": "python"}
    assert notebook.metadata["coursekit"]["data"] == ["mnist"]
    assert len(notebook.metadata["coursekit"]["seconds"]) == 2
    assert notebook.metadata["coursekit"]["outputs"] == execute.digest(notebook)


@pytest.mark.parametrize(
    ("source", "message"),
    [(LOAD.format(source="digits (embedded; mnist unavailable)"), "replaced by an embedded"), ("1 / 0", "division")],
)
def test_execute_leaves_the_file_alone_after_a_fallback_or_an_error(run_cells, capsys, source, message):
    code, path = run_cells(source)
    assert code == 1
    assert message in capsys.readouterr().err
    assert read(path).cells[0].execution_count is None


def test_execute_says_the_time_that_it_records(tmp_path):
    path = tmp_path / "demo.ipynb"
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [
        nbformat.v4.new_markdown_cell("# Demo\n\n[Open in Colab](x)\n\nWords."),
        nbformat.v4.new_code_cell("1 + 1"),
    ]
    nbformat.write(notebook, path)
    assert execute.main([str(path)]) == 0
    written = read(path)
    record = written.metadata["coursekit"]
    assert record["cores"] == len(os.sched_getaffinity(0))
    assert written.cells[0].source.splitlines()[4] == execute.time_said(record)


GPU = {"name": "Tesla T4", "seconds": 21.0}
# torch as a machine with a GPU has it; a tensor on the GPU leaves its trace.
TORCH = """
import os, sys, types
visible = os.environ.get("CUDA_VISIBLE_DEVICES") != ""
cuda = types.SimpleNamespace(
    is_available=lambda: {found} and visible, get_device_name=lambda: "Tesla T4", max_memory_allocated=lambda: used
)
sys.modules["torch"] = types.SimpleNamespace(cuda=cuda)
DEVICE = "cpu"
used = 512 if DEVICE == "cuda" and {uses} else 0
print(DEVICE, cuda.is_available())
"""


@pytest.fixture
def timed(tmp_path):
    """A lesson as committed, with this cell and these records; its path."""

    def write(source, **record):
        path = tmp_path / "lesson.ipynb"
        notebook = nbformat.v4.new_notebook()
        output = nbformat.v4.new_output("stream", text="cpu False\n")
        notebook.cells = [
            nbformat.v4.new_markdown_cell("# Demo\n\n[Open in Colab](x)\n\nWords."),
            nbformat.v4.new_code_cell(source, outputs=[output], execution_count=1),
        ]
        notebook.metadata["coursekit"] = {"cores": 2, "data": [], "seconds": [33.0], **record}
        sign(notebook)
        execute.say_time(notebook)
        execute.write(notebook, path)
        return path

    return write


def test_a_run_on_a_cpu_keeps_the_time_on_a_gpu_and_sees_none(timed):
    path = timed(TORCH.format(found=True, uses=True), gpu=GPU)
    assert execute.main([str(path)]) == 0
    record = read(path).metadata["coursekit"]
    assert record["gpu"] == GPU and record["seconds"] != [33.0]
    assert "and about 30 on a GPU (Tesla T4)." in read(path).cells[0].source
    assert read(path).cells[1].outputs[0].text == "cpu False\n"


def test_on_a_gpu_its_time_and_name_are_written_and_nothing_else(timed, capsys):
    path = timed(TORCH.format(found=True, uses=True), gpu={"name": "older", "seconds": 500.0})
    before = read(path)
    assert execute.main(["--gpu", str(path)]) == 0
    after = read(path)
    assert after.metadata["coursekit"]["gpu"]["name"] == "Tesla T4"
    assert 0 <= after.metadata["coursekit"]["gpu"]["seconds"] < 60
    assert "Takes about 40 seconds on 2 CPU cores, and about 10 on a GPU (Tesla T4)." in after.cells[0].source
    assert after.cells[1:] == before.cells[1:]
    assert {**after.metadata["coursekit"], "gpu": None} == {**before.metadata["coursekit"], "gpu": None}
    assert "on Tesla T4" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("found", "uses", "message"), [(False, True, "torch sees no GPU here"), (True, False, "puts nothing on the GPU")]
)
def test_no_time_on_a_gpu_is_written_where_none_was_used(timed, capsys, found, uses, message):
    path = timed(TORCH.format(found=found, uses=uses))
    before = path.read_bytes()
    assert execute.main(["--gpu", str(path)]) == 1
    assert message in capsys.readouterr().err
    assert path.read_bytes() == before


def test_a_record_without_its_cores_says_no_time():
    with pytest.raises(KeyError, match="cores"):
        execute.time_said({"seconds": [1.0]})


def test_a_fallback_may_be_written_elsewhere_only(run_cells, tmp_path, capsys):
    fallback = LOAD.format(source="digits (embedded; mnist unavailable)")
    with pytest.raises(SystemExit):
        run_cells(fallback, arguments=["--allow-fallback"])
    code, path = run_cells(fallback, arguments=["--allow-fallback", "--out", str(tmp_path / "out")])
    assert code == 0
    assert read(path).cells[0].execution_count is None
    assert read(tmp_path / "out" / "demo.ipynb").cells[0].execution_count == 1


@pytest.mark.parametrize("path", stamp.stamped_files(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_and_install_lines_are_those_of_the_config(path):
    text = path.read_text(encoding="utf-8")
    assert stamp.stamped(text) == text, "run `make stamp`"


def test_stamp_moves_everything_to_a_new_home(tmp_path):
    (tmp_path / "_config.yml").write_text("repository: {url: 'https://github.com/new/home', branch: trunk}")
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "README.md").write_text(
        "https://colab.research.google.com/github/old/place/blob/main/notebooks/vae.ipynb\n"
        "git clone https://github.com/old/place\nhttps://github.com/old/place-two\n"
    )
    (tmp_path / "CITATION.cff").write_text('repository-code: "https://github.com/old/place"\n')
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "index.md").write_text("git clone https://github.com/old/place\ncd place\n")
    (tmp_path / "notebooks" / "vae.ipynb").write_text(
        '"[Open in Colab](https://colab.research.google.com/github/old/place/blob/main/notebooks/vae.ipynb)"\n'
        '"%pip install -q \\"coursekit @ git+https://github.com/old/place@main\\""\n'
        '"[how](https://github.com/old/place/blob/main/book/x.md#y)", "https://github.com/old/place/raw/main/notebooks/"'
    )

    stamp.main(tmp_path)

    assert (tmp_path / "README.md").read_text() == (
        "https://colab.research.google.com/github/new/home/blob/trunk/notebooks/vae.ipynb\n"
        "git clone https://github.com/new/home\nhttps://github.com/old/place-two\n"
    )
    assert (tmp_path / "CITATION.cff").read_text() == 'repository-code: "https://github.com/new/home"\n'
    assert (tmp_path / "book" / "index.md").read_text() == "git clone https://github.com/new/home\ncd place\n"
    notebook = (tmp_path / "notebooks" / "vae.ipynb").read_text()
    assert "git+https://github.com/new/home@trunk" in notebook
    assert "(https://github.com/new/home/blob/trunk/book/x.md#y)" in notebook
    assert "https://github.com/new/home/raw/trunk/notebooks/" in notebook and "old/place" not in notebook
    assert stamp.page_link("book/x.md", "Why `x` is not y", tmp_path).endswith("/trunk/book/x.md#why-x-is-not-y")
    assert stamp.install_requirement(tmp_path) == "coursekit @ git+https://github.com/new/home@trunk"


def test_a_home_that_colab_cannot_open_is_refused(tmp_path):
    (tmp_path / "_config.yml").write_text("repository: {url: 'https://example.org/a/b', branch: main}")
    with pytest.raises(ValueError, match="Colab"):
        stamp.repository(tmp_path)
