"""`make` on machines that lack things."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Debian's python3 without python3-venv: makes half an environment, then fails.
PYTHON_WITHOUT_ENSUREPIP = """#!/bin/bash
echo "$@" >> "$CALLS"
case "$*" in
  *--without-pip*) mkdir -p "${@: -1}/bin"; touch "${@: -1}/bin/python";;
  "-m venv "*) mkdir -p "$3/bin"; touch "$3/bin/python"; echo "ensurepip is not available" >&2; exit 1;;
esac
"""


def make(*arguments, **environment):
    variables = {
        name: value for name, value in os.environ.items() if not name.startswith(("COURSEKIT_", "MAKE", "MFLAGS"))
    }
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**variables, **environment},
    )


def test_the_outer_pip_installs_pip_where_python_has_no_ensurepip(tmp_path):
    python, calls, venv = tmp_path / "python3", tmp_path / "calls", tmp_path / "venv"
    python.write_text(PYTHON_WITHOUT_ENSUREPIP)
    python.chmod(0o755)

    result = make(f"PYTHON={python}", f"VENV={venv}", f"{venv}/bin/python", CALLS=str(calls))

    assert result.returncode == 0, result.stderr
    assert calls.read_text().splitlines() == [
        f"-m venv {venv}",
        f"-m venv --without-pip --clear {venv}",
        f"-m pip --python {venv}/bin/python install pip",
    ]


def test_make_alone_lists_every_target_that_is_not_a_file():
    phony = set(re.search(r"^\.PHONY: (.*)", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split())
    listed = {line.split()[0] for line in make().stdout.splitlines()}
    assert listed == phony


@pytest.mark.parametrize(("data", "offline"), [("", True), ("/somewhere", False)])
def test_make_test_forbids_downloads_unless_a_data_folder_is_named(data, offline):
    environment = {"COURSEKIT_DATA": data} if data else {}
    recipe = make("--dry-run", "test", **environment).stdout
    assert ("COURSEKIT_OFFLINE=1" in recipe) == offline
    assert "--nbval-lax --nbval-current-env --nbval-cell-timeout=" in recipe


def test_browser_files_are_fetched_once_and_again_where_they_are_missing(tmp_path):
    if not (ROOT / ".browser" / ".installed").exists():
        pytest.skip("not installed by make")
    assert "npm ci" not in make("--dry-run", "book").stdout
    missing = make("--dry-run", "book", f"MODULES={tmp_path}/.package-lock.json").stdout
    assert missing.index("npm ci") < missing.index("cp -r node_modules/mathjax") < missing.index("jupyter-book build")


def test_book_is_built_from_nothing_with_warnings_as_errors():
    recipe = make("--dry-run", "book").stdout
    assert recipe.index("rm -rf _build/html _build/.doctrees") < recipe.index("jupyter-book build . -W -n --keep-going")


def test_make_bench_runs_one_script_with_as_many_threads_as_there_are_cores():
    (line,) = [line for line in make("--dry-run", "bench", "BENCH=--only vae").stdout.splitlines() if "bench" in line]
    assert line.startswith("env -u OMP_NUM_THREADS ") and line.endswith("tests/benchmarks/bench.py --only vae")
