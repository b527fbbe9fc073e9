"""Try the notebooks in Colab's published runtime (`make colab`).

    python tests/colab/runtime.py [--python python3.13] [--folder .colab] [notebooks/vae.ipynb ...]

Makes an environment of the versions in `constraints.txt`, installs coursekit there as each notebook's first cell does,
with a wheel and files of this checkout in place of the repository's address, compares the versions before and after, and runs
the notebooks in it, in a folder of their own. Fails if a version changed or a notebook did.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "notebooks"))
import stamp  # noqa: E402
from execute import CELL_TIMEOUT, KERNEL_ENVIRONMENT  # noqa: E402

CONSTRAINTS = Path(__file__).with_name("constraints.txt")
COLABS_PYTHON = (3, 13)
KERNEL = "coursekit-colab"
REQUIREMENT = re.compile(r'%pip install -q "(coursekit @ git\+[^"]+)"')
LIST_VERSIONS = (
    "import importlib.metadata as m, json;"
    "print(json.dumps({d.metadata['Name'].lower().replace('_', '-'): d.version for d in m.distributions()}))"
)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="if none is named: every lesson and exercise")
    parser.add_argument("--python", default="python3.13", help="Colab's Python")
    parser.add_argument("--folder", type=Path, default=ROOT / ".colab", help="where the environment is made")
    options = parser.parse_args(argv)
    if not is_colabs_python(options.python):
        sys.exit("Colab runs Python 3.13, and there is none here: install it, or name one with --python PATH")
    python = make_environment(options.python, options.folder)
    wheel = build_wheel(python, options.folder)
    before = versions(python)
    paths = [path.resolve() for path in options.notebooks] or all_notebooks()
    install(python, paths[0], wheel)
    after = versions(python)
    changes = changed(before, after)
    for line in changes:
        print(line)
    if changes:
        sys.exit("installing coursekit changes what Colab has installed")
    print(f"installing coursekit changes none of {len(before)} packages, and adds {len(after) - len(before)}")
    failed = [path.name for path in paths if not runs(path, python, wheel, options.folder)]
    if failed:
        sys.exit(f"failed in Colab's runtime: {', '.join(failed)}")


def is_colabs_python(python):
    code = "import sys; print(sys.version_info[:2])"
    try:
        said = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return False
    return said.strip() == str(COLABS_PYTHON)


def all_notebooks():
    """Lessons, then exercises."""
    return sorted((ROOT / "notebooks").glob("*.ipynb")) + sorted((ROOT / "notebooks" / "exercises").glob("*.ipynb"))


# -- the runtime -----------------------------------------------------------------------------------


def make_environment(python, folder):
    """Colab's versions in `folder`, made once for each content of `constraints.txt`; path of its interpreter."""
    made_from = folder / "constraints.txt"
    inside = folder / "bin" / "python"
    wanted = CONSTRAINTS.read_text(encoding="utf-8")
    if not made_from.exists() or made_from.read_text(encoding="utf-8") != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([python, "-m", "venv", folder], check=True)
        pip(inside, "install", "-q", "-r", CONSTRAINTS)
        made_from.write_text(wanted, encoding="utf-8")
    if "coursekit" in versions(inside):
        pip(inside, "uninstall", "-q", "-y", "coursekit")
    return inside


def build_wheel(python, folder):
    wheels = folder / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    pip(python, "wheel", "-q", "--no-deps", "--wheel-dir", wheels, ROOT)
    return next(wheels.glob("*.whl"))


def pip(python, *arguments):
    subprocess.run([python, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)], check=True)


def versions(python):
    """Version of every installed package."""
    said = subprocess.run([python, "-c", LIST_VERSIONS], capture_output=True, text=True, check=True).stdout
    return json.loads(said)


def changed(before, after):
    """One line for each package that was there and is not there in the same version."""
    return [
        f"{name} {version} became {after.get(name, 'nothing')}"
        for name, version in sorted(before.items())
        if after.get(name) != version
    ]


# -- notebooks -------------------------------------------------------------------------------------


def local_requirement(source, wheel):
    """What the install cell asks pip for, with the wheel in place of the repository.

    Raises
    ------
    ValueError
        The cell installs something else.
    """
    found = REQUIREMENT.findall(source)
    if len(found) != 1:
        raise ValueError(f"this is no install cell: {source!r}")
    return f"coursekit @ {wheel.resolve().as_uri()}"


def install_cell(notebook):
    return next(cell for cell in notebook.cells if cell.cell_type == "code")


def install(python, path, wheel):
    requirement = local_requirement(install_cell(nbformat.read(path, as_version=4)).source, wheel)
    pip(python, "install", "-q", requirement)


def on_colab(notebook, wheel):
    """The notebook with an install cell that finds itself on Colab and installs the wheel, and files of this checkout.

    What a notebook downloads from the repository's address comes from the folder of the checkout.
    """
    cell = install_cell(notebook)
    requirement = local_requirement(cell.source, wheel)
    source = REQUIREMENT.sub(lambda _: f'%pip install -q "{requirement}"', cell.source)
    cell.source = f'import sys\nsys.modules["google.colab"] = sys\n{source}\ndel sys.modules["google.colab"]'
    url, _, branch = stamp.repository()
    for cell in notebook.cells:
        cell.source = cell.source.replace(f"{url}/raw/{branch}/", f"{ROOT.as_uri()}/")
    return notebook


def runs(path, python, wheel, folder):
    """Whether the notebook runs from top to bottom; says so, or why not."""
    kernel = folder / "share" / "jupyter" / "kernels" / KERNEL
    kernel.mkdir(parents=True, exist_ok=True)
    command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": command, "display_name": KERNEL, "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    os.environ["JUPYTER_PATH"] = str(folder / "share" / "jupyter")
    notebook = on_colab(nbformat.read(path, as_version=4), wheel)
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    start = time.perf_counter()
    trouble = ""
    with tempfile.TemporaryDirectory() as here:
        client = NotebookClient(
            notebook, kernel_name=KERNEL, timeout=CELL_TIMEOUT, resources={"metadata": {"path": here}}
        )
        try:
            client.execute(env=environment | KERNEL_ENVIRONMENT)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            trouble = str(error)
    name = path.relative_to(ROOT / "notebooks") if path.is_relative_to(ROOT / "notebooks") else path
    print(f"{name}: {'failed' if trouble else 'ran'} in {time.perf_counter() - start:.0f} s", trouble, flush=True)
    return not trouble


if __name__ == "__main__":
    main()
