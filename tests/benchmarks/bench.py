"""Measure speed: every workload, plain loop and ours in turn, in one table.

    python tests/benchmarks/bench.py [--only dcgan-32,cyclegan-128] [--rounds 3] [--peer PATH] [--out FILE]

Each side runs in a process of its own, because the allocator's setting is a process's. In every round each side works
in turn, so that all see the same state of the machine; a first round warms up and is not counted. Compare the ratios,
never the absolute rates. "Ceiling" is the fastest of a few large convolutions and a matrix product in the same round;
operations are those that torch counts, convolutions and products. Each finished workload is written to the file at
once, a row a round, and takes the place of that workload's older rows.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "book" / "results"), str(Path(__file__).parent)]

import curves  # noqa: E402
import cyclegan_step  # noqa: E402
import dcgan_step  # noqa: E402
import gan_epoch  # noqa: E402
import parzen  # noqa: E402
import peers  # noqa: E402
import vae_epoch  # noqa: E402
from _sides import Ceiling, Side, measure  # noqa: E402
from record import cpu_model, provenance  # noqa: E402

MODULES = (gan_epoch, dcgan_step, cyclegan_step, vae_epoch, parzen)
COLUMNS = ("compile", "bf16", "untuned", "peer")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="workloads, comma-separated: " + ", ".join([*workloads("cpu"), *curves.CASES]))
    parser.add_argument("--rounds", type=int, default=3, help="counted rounds of each side")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="of plain loops and ours")
    parser.add_argument(
        "--peer", type=Path, action="append", default=[], metavar="PATH",
        help="time a checkout of pytorch/examples or junyanz/pytorch-CycleGAN-and-pix2pix too",
    )  # fmt: skip
    parser.add_argument("--note", default="", help="what a reader should know of this measurement")
    parser.add_argument("--out", type=Path, default=ROOT / "book" / "results" / "bench.json", help="JSON file to write")
    options = parser.parse_args(argv)
    known = workloads(options.device)
    wanted = options.only.split(",") if options.only else [*known, *curves.CASES]
    if unknown := set(wanted) - {*known, *curves.CASES}:
        parser.error(f"no such workload: {', '.join(sorted(unknown))}; there are {', '.join([*known, *curves.CASES])}")
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    try:
        with_peers(known, options.peer, options.device)
    except peers.NoCheckout as error:
        parser.error(str(error))

    origin = origin_of(options)
    order = [*known, *curves.CASES]
    print(f"{'workload':24}{'plain':>10}{'ours':>10}{'ratio':>24}{'goal':>6}{'compile':>9}{'bf16':>9}{'share':>13}")
    for name in wanted:
        if name in curves.CASES:
            rows = curves.rows(name, options.device)
            write(options.out, name, rows, origin, order)
            print(f"{name:24}{tell(rows, 'between_sides')} between sides, {tell(rows, 'between_seeds')} between seeds")
        else:
            rows = rows_of(known[name], options.rounds, options.device)
            write(options.out, name, rows, origin, order)
            print(line(name, rows), flush=True)


def workloads(on):
    return {name: workload for module in MODULES for name, workload in module.workloads(on).items()}


def with_peers(known, paths, on):
    """Put the checkouts at `paths` beside the plain loops of `known`."""
    for path in paths:
        for name, side in peers.sides(path, on).items():
            known[name].sides["peer"] = side


def rows_of(workload, rounds, on):
    """One row a round: rates, their ratios to the plain loop's, and the share of the machine's ceiling."""
    top = Side(Ceiling, {"device": on})
    rows = []
    for number, told in enumerate(measure(replace(workload, sides={"ceiling": top, **workload.sides}), rounds)):
        ceiling, plain, ours = (told[name] for name in ("ceiling", "plain", "coursekit"))
        metrics = {
            "plain": plain["images_per_second"],
            "coursekit": ours["images_per_second"],
            "ratio": ours["images_per_second"] / plain["images_per_second"],
            "goal": workload.goals.get("coursekit", "none"),
            "goal_bf16": workload.goals.get("bf16", "none"),
            "ceiling_gflop_per_second": ceiling["gflop_per_second"],
        }
        for name in dict.fromkeys((*COLUMNS, *workload.sides)):
            if name in ("plain", "coursekit"):
                continue
            missing = workload.missing.get(name, "not measured")
            metrics[name] = told[name]["images_per_second"] if name in told else missing
            metrics[f"ratio_{name}"] = metrics[name] / metrics["plain"] if name in told else missing
            if name == "compile":
                metrics["compile_warm_up_seconds"] = told[name]["warm_up_seconds"] if name in told else missing
        for prefix, answer in (("plain_", plain), ("", ours)):
            metrics[f"{prefix}gflop_per_second"] = answer["gflop_per_second"]
            metrics[f"{prefix}share"] = answer["gflop_per_second"] / ceiling["gflop_per_second"]
            metrics[f"{prefix}peak_mib"] = answer["peak_mib"]
        seconds = sum(answer["seconds"] for answer in told.values())
        rows.append({"round": number, "seconds": round(seconds, 1), "metrics": metrics})
    return rows


def origin_of(options):
    """Where the rows of this run come from, as the chapters' records tell it, and what else ran."""
    only = f" --only {options.only}" if options.only else ""
    origin = provenance(f"python tests/benchmarks/bench.py{only} --rounds {options.rounds}")
    if options.device == "cpu":
        origin["device"] = cpu_model()
    changed = subprocess.run(
        ["git", "status", "--porcelain", "--", "tests/benchmarks"], cwd=ROOT, capture_output=True, text=True
    )
    origin["uncommitted_changes"] |= bool(changed.stdout.strip())
    origin["load_before"] = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    if options.note:
        origin["note"] = options.note
    return origin


def write(path, name, rows, origin, order):
    """Put `rows` in place of those that the file at `path` has of this workload."""
    record = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"rows": [], "runs": []}
    kept = [row | {"run": record["runs"][row["run"]]} for row in record["rows"] if row["case"] != name]
    every = kept + [{"case": name, "run": origin, **row} for row in rows]
    every.sort(key=lambda row: order.index(row["case"]) if row["case"] in order else len(order))
    runs = []
    for row in every:
        if row["run"] not in runs:
            runs.append(row["run"])
        row["run"] = runs.index(row["run"])
    temporary = path.with_suffix(".json.tmp")
    temporary.write_text(
        json.dumps({"chapter": "bench", "runs": runs, "rows": every}, indent=1, ensure_ascii=False) + "\n",
        encoding="utf-8",
    )
    os.replace(temporary, path)


def tell(rows, metric, spec=".2f"):
    """Mean (smallest to largest) over the rows, or the word that stands there."""
    values = [row["metrics"][metric] for row in rows]
    if isinstance(values[0], str):
        return "-"
    return f"{sum(values) / len(values):{spec}} ({min(values):{spec}} to {max(values):{spec}})"


def line(name, rows):
    def mean(metric, spec):
        return tell(rows, metric, spec).split(" (")[0]

    goal = rows[0]["metrics"]["goal"]
    return (
        f"{name:24}{mean('plain', ',.4g'):>10}{mean('coursekit', ',.4g'):>10}{tell(rows, 'ratio'):>24}"
        f"{'' if goal == 'none' else goal:>6}{mean('ratio_compile', '.2f'):>9}{mean('ratio_bf16', '.2f'):>9}"
        f"{mean('plain_share', '.0%'):>6} -> {mean('share', '.0%')}"
    )


if __name__ == "__main__":
    main()
