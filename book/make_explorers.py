"""Draw the still pictures of the explorers, and find the directions along which the DCGAN's latents are moved.

    python book/make_explorers.py

The models are those that the pages load, from `book/_extra/models`; what is drawn is what an explorer opens with.
Writes `_extra/interactive/dcgan-explorer.json` and `_static/figures/*-explorer.png`.
"""

import json
import math
import re
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from PIL import Image

from coursekit.plots import arc

BOOK = Path(__file__).parent
MODELS = BOOK / "_extra" / "models"
DIRECTIONS = BOOK / "_extra" / "interactive" / "dcgan-explorer.json"
FIGURES = BOOK / "_static" / "figures"
NEAR, GRID = 0.3, 0.05  # as in vae-explorer.js
SEED, SEED_OF_ENDS = 0, 5
DRAWS, HOW_MANY, STEP = 200, 4, 1e-2


def model(name):
    """The model `name` as a function: float32 (n, ...) -> (n, ...)."""
    session = onnxruntime.InferenceSession(MODELS / f"{name}.onnx", providers=["CPUExecutionProvider"])
    (given,), (found,) = session.get_inputs(), session.get_outputs()
    return lambda values: session.run([found.name], {given.name: np.asarray(values, np.float32)})[0]


# -- DCGAN -----------------------------------------------------------------------------------------


def directions(generator, size):
    """Along which pictures move most: (HOW_MANY, size), the first eigenvectors of the mean of J^T J.

    J is the Jacobian of the picture in z, by differences, and the mean is over draws from the prior. Each vector has
    length 1 and a positive largest component.
    """
    moved = np.zeros((size, size))
    for z in np.random.default_rng(SEED).standard_normal((DRAWS, size)):
        pictures = generator(np.concatenate([z + STEP * np.eye(size), z - STEP * np.eye(size)])).reshape(2, size, -1)
        jacobian = (pictures[0] - pictures[1]).astype(np.float64) / (2 * STEP)  # a row for each component of z
        moved += jacobian @ jacobian.T
    found = np.linalg.eigh(moved)[1][:, ::-1][:, :HOW_MANY].T
    largest = np.take_along_axis(found, np.abs(found).argmax(1, keepdims=True), axis=1)
    return found * np.sign(largest)


def write_directions():
    generator = model("dcgan-emoji")
    size = onnxruntime.InferenceSession(MODELS / "dcgan-emoji.onnx").get_inputs()[0].shape[1]
    record = {
        "command": "python book/make_explorers.py",
        "seeds": [SEED, SEED_OF_ENDS],
        "side": generator(np.zeros((1, size))).shape[-1],
        "ends": np.random.default_rng(SEED_OF_ENDS).standard_normal((2, size)).round(3).tolist(),
        "directions": directions(generator, size).round(4).tolist(),
    }
    DIRECTIONS.write_text(json.dumps(record) + "\n", encoding="utf-8")


# -- still pictures --------------------------------------------------------------------------------


def save(figure, name):
    figure.savefig(FIGURES / f"{name}.png", dpi=110, facecolor="white", metadata={"Software": None})


def show(axes, picture, title=""):
    """A picture (C, H, W) in [0, 1] on axes, its pixels as they are."""
    picture = picture[0] if len(picture) == 1 else picture.transpose(1, 2, 0)
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set(xticks=[], yticks=[], title=title)


def extent_of(codes):
    """Half the side of a square around the origin that shows all but a few of the codes (n, 2); as vae-explorer.js."""
    far = np.sort(np.abs(codes).max(1))
    return math.ceil(2 * far[int(0.995 * (len(far) - 1))]) / 2


def digit_colors():
    """Of the digits 0 to 9, as the stylesheet has them first: on a light page."""
    sheet = (BOOK / "_extra" / "interactive" / "interactive.css").read_text(encoding="utf-8")
    return re.findall(r"--digit-\d: (#\w{6});", sheet)[:10]


def draw_vae():
    colors = digit_colors()
    known = json.loads((MODELS / "vae-digits.json").read_text(encoding="utf-8"))
    codes, labels = np.array(known["points"]), known["labels"]
    extent, z = extent_of(codes), (codes[0] / GRID).round() * GRID
    figure = Figure(figsize=(8, 4.8), layout="constrained")
    plane, decoded = figure.subplots(1, 2, width_ratios=(1.7, 1))
    for code, label in zip(codes, labels, strict=True):
        plane.annotate(str(label), code, color=colors[label], size=6, ha="center", va="center", annotation_clip=True)
    for radius in range(1, math.ceil(extent)):
        plane.add_patch(Circle((0, 0), radius, fill=False, ls=":"))
    plane.add_patch(Circle(z, NEAR, fc="#ffffffa0", ec="black", lw=2.5))
    plane.set(xlim=(-extent, extent), ylim=(-extent, extent), aspect="equal", xlabel="$z_1$", ylabel="$z_2$")
    show(decoded, model("vae-digits")(z[None])[0], f"z = ({z[0]:.2f}, {z[1]:.2f})".replace("-", "−"))
    save(figure, "vae-explorer")


def draw_dcgan():
    record = json.loads(DIRECTIONS.read_text(encoding="utf-8"))
    generator, (a, b) = model("dcgan-emoji"), torch.tensor(record["ends"], dtype=torch.float64)
    steps = torch.arange(-3, 4)[:, None]
    rows = [arc(a, b, torch.linspace(0, 1, 7, dtype=torch.float64)[:, None])]
    rows += [rows[0][3] + steps * torch.tensor(direction) for direction in record["directions"]]
    figure = Figure(figsize=(8, 6), layout="constrained")
    for row, codes, name in zip(
        figure.subplots(len(rows), 7), rows, ["A to B", *(f"Direction {k + 1}" for k in range(HOW_MANY))], strict=True
    ):
        for axes, picture in zip(row, generator(codes), strict=True):
            show(axes, picture)
        row[0].set_ylabel(name)
    save(figure, "dcgan-explorer")


def draw_cyclegan():
    G, F = model("cyclegan-emoji-G"), model("cyclegan-emoji-F")
    pictures = [np.array(Image.open(path).convert("RGB")) for path in sorted((MODELS / "emoji").glob("X-*.png"))]
    x = np.stack(pictures).transpose(0, 3, 1, 2) / np.float32(255)
    there = G(x)
    back = F(there)
    figure = Figure(figsize=(8, 4.4), layout="constrained")
    rows = figure.subplots(3, len(x))
    for column, (picture, translated, returned) in enumerate(zip(x, there, back, strict=True)):
        for axes, image in zip(rows[:, column], (picture, translated, returned), strict=True):
            show(axes, image)
        rows[2, column].set_xlabel(f"L1 {np.abs(returned - picture).mean():.3f}")
    for row, name in zip(rows, ("$x$", "$G(x)$", "$F(G(x))$"), strict=True):
        row[0].set_ylabel(name)
    save(figure, "cyclegan-explorer")


if __name__ == "__main__":
    write_directions()
    draw_vae()
    draw_dcgan()
    draw_cyclegan()
