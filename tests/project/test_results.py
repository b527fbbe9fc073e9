"""The measured numbers and figures that the book shows."""

import base64
import html
import importlib
import json
import re
from pathlib import Path

import pytest

from coursekit.plots import Animation

ROOT = Path(__file__).resolve().parents[2]
# Whose script names the seeds of each case: baselines that draw nothing and ablations have one, and the page says so.
PLANNED = ("cyclegan.json",)
RESULTS = ROOT / "book" / "results"
# Measured by `make bench`: a row is a round, and no script lies beside it.
BENCH, GRADING = RESULTS / "bench.json", RESULTS / "grading.json"
TIMED = (BENCH, GRADING)
RECORDS = sorted(RESULTS.glob("*.json"))
FIGURES = sorted((ROOT / "book" / "_static" / "figures").glob("*"))
ANIMATIONS = sorted((ROOT / "book" / "_static" / "animations").glob("*"))


def by_name(path):
    return path.name


@pytest.mark.parametrize("path", RECORDS, ids=by_name)
def test_numbers_say_how_they_were_made(path):
    record = json.loads(path.read_text(encoding="utf-8"))
    script = (ROOT / "tests" / "benchmarks" / path.name if path in TIMED else path).with_suffix(".py")
    assert record["chapter"] == path.stem and script.exists()
    assert {row["run"] for row in record["rows"]} == set(range(len(record["runs"])))
    for run in record["runs"]:
        command = f"python {script.relative_to(ROOT).as_posix()}"
        assert (run["command"].split(" --")[0] if path in TIMED else run["command"]) == command
        assert run["device"] and run["threads"] >= 1 and run["versions"]["torch"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", run["date"])
        assert re.fullmatch(r"[0-9a-f]{7,40}", run["commit"])
        assert not run["uncommitted_changes"], "measured on code that is in no commit: run it again with --restart"
        assert not [source for source in run["data"].values() if "unavailable" in source]


@pytest.mark.parametrize(
    "path", [path for path in RECORDS if path.name not in PLANNED and path not in TIMED], ids=by_name
)
def test_every_case_was_measured_with_the_same_three_seeds_or_more(path):
    seeds = {}
    for row in json.loads(path.read_text(encoding="utf-8"))["rows"]:
        seeds.setdefault(row["case"], set()).add(row["seed"])
    assert len({frozenset(found) for found in seeds.values()}) == 1
    assert min(map(len, seeds.values())) >= 3


def test_every_workload_was_timed_in_three_rounds_and_its_curves_compared_over_three_seeds():
    found = {}
    for row in json.loads(BENCH.read_text(encoding="utf-8"))["rows"]:
        found.setdefault(row["case"], []).append(row.get("round", row.get("seed")))
    assert {case for case in found if case.startswith("curves-")} == {"curves-dcgan", "curves-cyclegan"}
    assert {"mlp-gan", "dcgan-32", "dcgan-64", "cyclegan-128", "cyclegan-256", "vae", "parzen"} <= set(found)
    for case, numbers in found.items():
        assert numbers == list(range(len(numbers))) and len(numbers) >= 3, case


def test_the_grader_was_timed_in_three_rounds_beside_otter():
    rounds = [row for row in json.loads(GRADING.read_text(encoding="utf-8"))["rows"] if row["case"] == "grading"]
    assert [row["round"] for row in rounds] == [0, 1, 2]
    assert all(row["metrics"]["ratio"] > row["metrics"]["goal"] for row in rounds)


@pytest.mark.parametrize("name", PLANNED)
def test_every_case_was_measured_with_the_seeds_that_its_script_plans(name, monkeypatch):
    monkeypatch.syspath_prepend(str(RESULTS))
    plan = importlib.import_module(Path(name).stem).PLAN
    rows = json.loads((RESULTS / name).read_text(encoding="utf-8"))["rows"]
    assert [(row["case"], row["seed"]) for row in rows] == [
        (case, seed) for cases, seeds in plan for case in cases for seed in seeds
    ]


@pytest.mark.parametrize("path", FIGURES, ids=by_name)
def test_every_figure_is_made_by_a_script_and_shown_on_a_page(path):
    chapter, _, name = path.stem.partition("-")
    assert path.suffix == ".png"
    explorers = ROOT / "book" / "make_explorers.py"
    script, said = (explorers, path.stem) if name == "explorer" else (RESULTS / f"{chapter}.py", name)
    assert said in script.read_text(encoding="utf-8")
    pages = [*(ROOT / "book").glob("*.md"), ROOT / "README.md"]
    assert [page for page in pages if f"figures/{path.name}" in page.read_text(encoding="utf-8")]


@pytest.mark.parametrize("path", ANIMATIONS, ids=by_name)
def test_every_animation_is_small_and_made_by_the_script_of_its_chapter_and_shown_on_a_page(path):
    chapter, _, _ = path.stem.partition("-")
    assert path.suffix == ".html" and path.stat().st_size < 400_000
    assert f'"{path.name}"' in (RESULTS / f"{chapter}.py").read_text(encoding="utf-8")
    assert f"animations/{path.name}" in (ROOT / "book" / f"{chapter}.md").read_text(encoding="utf-8")
    html = path.read_text(encoding="utf-8")
    assert not re.search(r"https?://|\bid=", html)
    assert re.search(r'alt="[^"]{30,}"', html)


@pytest.mark.parametrize("path", ANIMATIONS, ids=lambda path: path.name)
def test_every_animation_has_the_controls_that_coursekit_makes_today(path):
    text = path.read_text(encoding="utf-8")
    picture, data = re.search(r"<img [^>]*>", text)[0], re.search(r'json">(.*?)</script>', text)[1]
    first, alt = (html.unescape(re.search(f'{name}="(.*?)"', picture)[1]) for name in ("src", "alt"))
    kept = json.loads(data)
    frames = [base64.b64decode(frame.rpartition(",")[2]) for frame in (first, *kept["frames"])]
    assert Animation(frames, kept["labels"], alt, kept["seconds"])._repr_html_() == text


def test_no_measured_table_is_typed_by_hand():
    """A table with several decimal numbers comes from `results-table`."""
    typed = {}
    for page in (ROOT / "book").glob("*.md"):
        rows = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
        if found := [line for line in rows if len(re.findall(r"\d+\.\d+", line)) >= 2]:
            typed[page.name] = found
    assert typed == {}
