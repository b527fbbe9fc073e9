"""Execute notebooks in place, so that what is committed is what the code does (`make notebooks`).

Usage: python notebooks/execute.py [--allow-fallback --out FOLDER | --gpu] notebooks/vae.ipynb ...

Progress bars and other stderr are left out, metadata that changes with the machine is dropped, and
what the tests need to know is kept under the notebook's `metadata.coursekit`: seconds of each code
cell, on how many CPU cores, the data sets in use, and a digest of the outputs. The first cell says what
time it took. Nothing is written if a cell fails or if a data set was replaced by an embedded one.

With `--gpu` only the time on this machine's GPU is written, with its name, and the outputs stay those of the CPU.
"""

import argparse
import ast
import hashlib
import json
import math
import os
import re
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

CELL_TIMEOUT = 600
KERNEL_ENVIRONMENT = {
    "TQDM_DISABLE": "1",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
}
# Runs in the kernel after the last cell.
SOURCES = """sorted({value.source for value in list(globals().values())
                     if type(value).__name__ == "ImageSet" and hasattr(value, "source")})"""
# Name of the GPU that the kernel's torch sees, and the bytes that were on it at most.
GPU_USED = """(lambda cuda: (cuda.get_device_name(), cuda.max_memory_allocated()) if cuda.is_available() else None)(
                  __import__("torch").cuda)"""
ON_CPU, ON_GPU = 'DEVICE = "cpu"', 'DEVICE = "cuda"'
TIME = re.compile(r"^Takes about .* CPU cores?\b.*$", re.MULTILINE)


class Refused(Exception):
    """The outputs must not be committed."""


class TimingClient(NotebookClient):
    """Also notes how long each code cell took, and what `questions` (expressions, by name) evaluate to at the end."""

    async def async_execute_cell(self, cell, cell_index, **options):
        started = time.perf_counter()
        try:
            return await super().async_execute_cell(cell, cell_index, **options)
        finally:
            if cell.cell_type == "code":
                self.seconds.append(round(time.perf_counter() - started, 1))
            if cell_index == len(self.nb.cells) - 1:
                self.answers = {name: await self._ask(expression) for name, expression in self.questions.items()}

    async def _ask(self, expression):
        reply = await self.kc.execute_interactive(
            "", silent=True, user_expressions={"answer": expression}, allow_stdin=False, timeout=60
        )
        answer = reply["content"]["user_expressions"]["answer"]
        return ast.literal_eval(answer["data"]["text/plain"]) if answer["status"] == "ok" else None


def execute(path, *, allow_fallback=False):
    """Notebook at `path`, executed and tidied.

    Raises
    ------
    CellExecutionError
        If a cell fails.
    Refused
        If a data set was replaced by an embedded one, unless `allow_fallback`.
    """
    notebook = nbformat.read(path, as_version=4)
    gpu = notebook.metadata.get("coursekit", {}).get("gpu")
    # No GPU is to be seen: the outputs are those of a CPU wherever they are made, and so is the time.
    seconds, answers = _run(notebook, path, {"data": SOURCES}, CUDA_VISIBLE_DEVICES="")
    sources = answers["data"] or []
    if not allow_fallback:
        refuse_fallback(notebook, sources)
    tidy(notebook)
    notebook.metadata["coursekit"] = {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "data": sources,
        "outputs": digest(notebook),
        "seconds": seconds,
        **({"gpu": gpu} if gpu else {}),
    }
    say_time(notebook)
    return notebook


def timed_on_gpu(path):
    """Notebook at `path` as it is, but for its record of the time on a GPU: that of this machine.

    Raises
    ------
    CellExecutionError
        If a cell fails.
    Refused
        If torch sees no GPU in the kernel, the notebook puts nothing on it, or a data set was replaced.
    """
    notebook, copy = (nbformat.read(path, as_version=4) for _ in range(2))
    for cell in copy.cells:
        if cell.cell_type == "code":
            cell.source = cell.source.replace(ON_CPU, ON_GPU)
    seconds, answers = _run(copy, path, {"data": SOURCES, "gpu": GPU_USED})
    refuse_fallback(copy, answers["data"] or [])
    if answers["gpu"] is None:
        raise Refused("torch sees no GPU here")
    name, used = answers["gpu"]
    if not used:
        raise Refused(f"it puts nothing on the GPU ({name})")
    notebook.metadata["coursekit"]["gpu"] = {"name": name, "seconds": round(sum(seconds), 1)}
    say_time(notebook)
    return notebook


def _run(notebook, path, questions, **environment):
    """Run all cells in place; seconds of each code cell, and the answers to `questions`."""
    client = TimingClient(
        notebook, timeout=CELL_TIMEOUT, kernel_name="python3", resources={"metadata": {"path": str(Path(path).parent)}}
    )
    client.questions, client.seconds, client.answers = questions, [], dict.fromkeys(questions)
    client.execute(env={**os.environ, **KERNEL_ENVIRONMENT, **environment})
    return client.seconds, client.answers


def time_said(record):
    """The sentence on a notebook's time that its record allows; the times are rounded up to tens of seconds.

    Parameters
    ----------
    record : dict
        `metadata.coursekit`. `solved_seconds`, of an exercise, is the time of all cells with the reference answers in
        them. `gpu`, where there is one, has the ``name`` of a GPU and the ``seconds`` on it.

    Raises
    ------
    KeyError
        If the record does not say on how many ``cores`` it was made.
    """
    cores = record["cores"]
    on = f"on {cores} CPU core{'s' if cores != 1 else ''}"
    if "gpu" in record:
        on += f", and about {_tens(record['gpu']['seconds'])} on a GPU ({record['gpu']['name']})"
    if "solved_seconds" in record:
        return (
            f"Takes about {_tens(record['solved_seconds'])} seconds to run with all answers in it, and "
            f"{_tens(sum(record['seconds']))} without, {on}."
        )
    return f"Takes about {_tens(sum(record['seconds']))} seconds {on}."


def _tens(seconds):
    return max(10, 10 * math.ceil(round(seconds, 1) / 10))


def say_time(notebook):
    """Write `time_said` under the link in the first cell, in place of what stood there."""
    first, said = notebook.cells[0], time_said(notebook.metadata["coursekit"])
    if first.cell_type != "markdown":
        return
    if TIME.search(first.source):
        first.source = TIME.sub(said, first.source, count=1)
    else:
        parts = first.source.split("\n\n", 2)
        first.source = "\n\n".join([*parts[:2], said, *parts[2:]])


def refuse_fallback(notebook, sources):
    texts = [output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", [])]
    if any("OfflineFallbackWarning" in text for text in texts) or any("unavailable" in source for source in sources):
        raise Refused("a data set was replaced by an embedded one; set COURSEKIT_DATA or connect to a network")


def tidy(notebook):
    """Drop stderr and whatever depends on the machine; join pieces of stdout."""
    notebook.metadata = nbformat.from_dict(
        {
            **{key: value for key, value in notebook.metadata.items() if key not in ("widgets", "vscode", "colab")},
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    for cell in notebook.cells:
        for key in ("execution", "collapsed", "scrolled", "jupyter", "ExecuteTime"):
            cell.metadata.pop(key, None)
        if cell.cell_type == "code":
            cell.outputs = _tidy_outputs(cell.outputs)


def _tidy_outputs(outputs):
    kept = []
    for output in outputs:
        if output.output_type == "stream" and output.name == "stderr":
            continue
        if output.output_type == "stream" and kept and kept[-1].output_type == "stream":
            kept[-1].text += output.text
            continue
        kept.append(output)
    return kept


def digest(notebook):
    """Hash of all outputs: shows when a notebook was saved by anything but this script."""
    outputs = [cell.get("outputs", []) for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.sha256(json.dumps(outputs, sort_keys=True).encode()).hexdigest()[:16]


def write(notebook, path):
    nbformat.validate(notebook)
    temporary = Path(path).with_suffix(".ipynb.tmp")
    temporary.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, help="write to this folder, not in place")
    parser.add_argument("--allow-fallback", action="store_true", help="only with --out: take an embedded data set too")
    parser.add_argument("--gpu", action="store_true", help="write the time on this machine's GPU, and nothing else")
    options = parser.parse_args(argv)
    if options.allow_fallback and not options.out:
        parser.error("--allow-fallback needs --out: what is committed comes from the real data")
    if options.gpu and options.out:
        parser.error("--gpu changes one record of a notebook: it goes without --out")
    failed = False
    for path in options.notebooks:
        started = time.perf_counter()
        try:
            notebook = timed_on_gpu(path) if options.gpu else execute(path, allow_fallback=options.allow_fallback)
        except (CellExecutionError, Refused) as error:
            print(f"{path}: not written. {error}", file=sys.stderr)
            failed = True
            continue
        if options.out:
            options.out.mkdir(parents=True, exist_ok=True)
        write(notebook, options.out / path.name if options.out else path)
        record = notebook.metadata["coursekit"]
        what = (
            f"on {record['gpu']['name']}" if options.gpu else f"slowest cell {max(record['seconds'], default=0):.0f} s"
        )
        print(f"{path}: {time.perf_counter() - started:.0f} s, {what}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
