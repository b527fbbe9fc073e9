"""The paper's GAN through its whole schedule of 250 epochs, measured as for Table 1 on the way.

    python book/results/table1_full.py [--seeds 0]

An epoch takes about half a minute on one CPU core, so a seed takes hours; every stage saves the run under
`book/results/runs/` and writes its row, and the script goes on from there when it is called again.
"""

from matplotlib.figure import Figure
from record import load, main, save_figure
from table1 import SAMPLES, STAGES, data, gan, measure

from coursekit.data import to_float
from coursekit.metrics import nearest_neighbours
from coursekit.plots import image_rows

CASES = {f"epoch-{epoch}": epoch for epoch in STAGES}
PAPER, PAPER_ERROR = 225, 2


def run(case, seed):
    trainer = gan("simultaneous", seed, CASES[case])
    return measure(trainer.sample(SAMPLES, seed=seed))


# --- figures ------------------------------------------------------------------------------------


def draw_curve(rows):
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.subplots()
    for seed in sorted({row["seed"] for row in rows}):
        points = sorted((CASES[row["case"]], row["metrics"]["log_likelihood"]) for row in rows if row["seed"] == seed)
        axes.plot(*zip(*points), "o-", label=f"seed {seed}")
    axes.axhspan(PAPER - PAPER_ERROR, PAPER + PAPER_ERROR, color="0.8", label="the paper: 225 ± 2")
    axes.set(xlabel="epochs", ylabel="Parzen log-likelihood (nats)", xscale="log")
    axes.legend()
    axes.grid(alpha=0.3)
    save_figure(figure, "table1_full", "curve")


def draw_samples(epoch):
    """Figure 2 of the paper: samples, and under each the nearest of the training images."""
    trainer = gan("simultaneous", 0, epoch)
    samples = trainer.sample(12, seed=1)
    images = to_float(data()[0].images)
    _, indices = nearest_neighbours(samples, images)
    save_figure(image_rows({"sample": samples, "nearest": images[indices]}), "table1_full", "samples")


if __name__ == "__main__":
    if main("table1_full", run, cases=list(CASES)):
        rows = load("table1_full")["rows"]
        draw_curve(rows)
        draw_samples(max(CASES[row["case"]] for row in rows if row["seed"] == 0))
