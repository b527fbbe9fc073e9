"""Links to Colab lead to notebooks that are there, and the check of Colab's runtime can fail."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import runtime
import stamp

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(re.escape(stamp.COLAB) + r"([\w.-]+/[\w.-]+)/blob/([\w.-]+)/([\w./-]+\.ipynb)")
WHEEL = Path("/somewhere/coursekit-1.0-py3-none-any.whl")


def test_every_link_to_colab_opens_a_notebook_of_this_repository():
    _, slug, branch = stamp.repository()
    listed = subprocess.run(["git", "ls-files", "*.ipynb"], cwd=ROOT, capture_output=True, text=True, check=True)
    tracked = set(listed.stdout.splitlines())
    texts = [path.read_text("utf-8") for path in stamp.stamped_files()]
    found = [match.groups() for text in texts for match in LINK.finditer(text)]
    assert len(found) == sum(text.count("colab.research.google.com") for text in texts), "a link of another form"
    assert {(one, other) for one, other, _ in found} == {(slug, branch)}
    assert {path for _, _, path in found} == tracked


EXERCISES = [path for path in runtime.all_notebooks() if path.parent.name == "exercises"]
LONG = [path for path in runtime.all_notebooks() if path.stem in ("dcgan", "cyclegan") and path not in EXERCISES]


@pytest.mark.parametrize("path", EXERCISES, ids=lambda path: path.stem)
def test_an_exercise_says_first_how_its_work_is_kept(path):
    top = nbformat.read(path, as_version=4).cells[0].source
    said = top.index("first choose *File, Save a copy in Drive*")
    assert top.index("[Open in Colab]") < said < top.index("Write your answers")
    assert "`artefacts`" in top and [address_of_help(path)] == re.findall(r"\]\(([^\s)]+#[^\s)]+)\)", top)


def address_of_help(path):
    """The one address in this notebook that leads to a heading of a file of the repository."""
    url, _, branch = stamp.repository()
    cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"]
    (address,) = re.findall(rf"\(({re.escape(url)}/blob/{branch}/[^\s)]+#[^\s)]+)\)", "\n".join(cells))
    return address


@pytest.mark.parametrize("path", EXERCISES + LONG, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_a_notebook_says_of_a_lost_runtime_leads_to_a_heading_that_is_there(path):
    page, heading = "book/troubleshooting.md", "The runtime stopped half way"
    assert address_of_help(path) == stamp.page_link(page, heading)
    headings = re.findall(r"^#+ (.*)$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    assert headings.count(heading) == 1
    assert subprocess.run(["git", "ls-files", page], cwd=ROOT, capture_output=True, text=True).stdout.strip() == page


def test_the_runtime_is_pinned_to_the_last_digit_with_its_date():
    text = runtime.CONSTRAINTS.read_text(encoding="utf-8")
    pins = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9_-]+==\d+(\.\d+)+", pin) for pin in pins) and len(pins) >= 12
    assert re.search(r"20\d\d-\d\d-\d\d", text)


@pytest.mark.parametrize("path", runtime.all_notebooks(), ids=lambda path: path.stem)
def test_on_colab_every_notebook_installs_what_was_built_here(path):
    notebook = runtime.on_colab(nbformat.read(path, as_version=4), WHEEL)
    source = runtime.install_cell(notebook).source
    assert f'%pip install -q "coursekit @ {WHEEL.as_uri()}"' in source and "git+" not in source
    assert source.index('sys.modules["google.colab"] = sys') < source.index("%pip") < source.index("\ndel sys.modules")


def test_files_of_the_repository_are_those_of_this_checkout():
    path = runtime.ROOT / "notebooks" / "dcgan.ipynb"
    url, _, branch = stamp.repository()
    assert f"{url}/raw/{branch}/" in path.read_text(encoding="utf-8")
    code = "\n".join(cell.source for cell in runtime.on_colab(nbformat.read(path, as_version=4), WHEEL).cells)
    assert f"{url}/raw/{branch}/" not in code
    assert f'home = "{runtime.ROOT.as_uri()}/notebooks/"' in code
    assert (path.parent / "checkpoints" / "dcgan-emoji.safetensors").is_file()


def test_a_cell_that_installs_something_else_is_refused():
    with pytest.raises(ValueError, match="no install cell"):
        runtime.local_requirement('%pip install -q "coursekit"', WHEEL)


def test_every_changed_or_lost_package_is_named():
    before = {"numpy": "2.1.3", "torch": "2.11.0", "tqdm": "4.67.3"}
    after = {"numpy": "2.2.0", "torch": "2.11.0", "coursekit": "0.1.0"}
    assert runtime.changed(before, after) == ["numpy 2.1.3 became 2.2.0", "tqdm 4.67.3 became nothing"]
    assert runtime.changed(before, before | {"coursekit": "0.1.0"}) == []


@pytest.mark.parametrize("python", ["/no/such/python", sys.executable])
def test_without_python_3_13_one_line_says_so(python, tmp_path, capsys):
    if sys.version_info[:2] == runtime.COLABS_PYTHON and python == sys.executable:
        pytest.skip("this is Python 3.13")
    with pytest.raises(SystemExit) as stopped:
        runtime.main(["--python", python, "--folder", str(tmp_path / "colab")])
    assert "Python 3.13" in stopped.value.code and "\n" not in stopped.value.code
    assert not (tmp_path / "colab").exists()
