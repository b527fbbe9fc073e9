"""Figures of the course. Each function returns a matplotlib Figure that pyplot does not know of.

So a notebook shows a figure once, where it is the last expression of a cell; nothing needs a display,
and there is nothing to close. Figures are white cards with dark text, on light pages and on dark ones.
Images are given as (N, C, H, W): uint8, or floats in [0, 1]; C is 1 (grey) or 3 (RGB).
"""

import base64
import functools
import html
import io
import json
import math
from numbers import Integral

import matplotlib.figure
import matplotlib.patheffects
import matplotlib.style
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from PIL import Image

__all__ = [
    "COLORS",
    "Animation",
    "Figure",
    "animation",
    "arc",
    "density_frame",
    "image_grid",
    "image_rows",
    "interpolation",
    "latent_scatter",
    "loss_curves",
    "manifold_sweep",
]

# Petroff (2021), "Accessible color sequences for data visualization", the strongest on white first and
# its pale grey, close to its slate, replaced by near-black. A test simulates colour blindness.
COLORS = (
    "#3f90da",
    "#bd1f01",
    "#832db6",
    "#e76300",
    "#222222",
    "#ffa90e",
    "#a96b59",
    "#92dadd",
    "#b9ac70",
    "#717581",
)

_DPI = 100
_TEXT = "#222222"
_STYLE = {
    "figure.dpi": _DPI,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "axes.edgecolor": "#555555",
    "axes.labelcolor": _TEXT,
    "axes.titlecolor": _TEXT,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#e4e4e4",
    "text.color": _TEXT,
    "xtick.color": _TEXT,
    "ytick.color": _TEXT,
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
}
_IMAGE_AREA_WIDTH = 860  # screen pixels; the scale of image figures is chosen to fit


class Figure(matplotlib.figure.Figure):
    """A matplotlib Figure that shows itself in a notebook without pyplot or ``%matplotlib``."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        FigureCanvasAgg(self)

    def _repr_png_(self):
        # IPython renders a Figure only once pyplot has set up its inline backend, which we never load.
        png = io.BytesIO()
        self.savefig(png, format="png", facecolor=self.get_facecolor(), metadata={"Software": None})
        return png.getvalue()


def _styled(function):
    """Draw in the house style whatever the reader's rcParams are, and leave those alone."""

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        with matplotlib.style.context(["default", _STYLE]):
            return function(*args, **kwargs)

    return wrapper


@_styled
def image_grid(images, columns=None, titles=None, scale=None):
    """Images in rows, left to right and top to bottom, in square pixels.

    Parameters
    ----------
    images : Tensor or array, shape (N, C, H, W)
    columns : int, optional
        Images per row. By default one row up to 10 images, then about a square.
    titles : sequence of N values, optional
        Written above the images.
    scale : int, optional
        Screen pixels per image pixel; chosen to fit a page by default.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        Not images, or a number of titles that is not theirs.
    """
    images = _as_images("images", images)
    titles = _as_labels("titles", titles, len(images))
    if columns is None:
        columns = len(images) if len(images) <= 10 else math.ceil(math.sqrt(len(images)))
        columns = max(1, min(columns, _IMAGE_AREA_WIDTH // (_text_width(Figure(), titles) + 12)))
        columns = math.ceil(len(images) / math.ceil(len(images) / columns))  # rows of even length
    columns = min(_positive_int("columns", columns), len(images))
    return _draw_images(images, columns, scale, image_titles=titles)


@_styled
def image_rows(rows, titles=None, scale=None):
    """Rows of images with a label each, such as inputs above their reconstructions.

    Parameters
    ----------
    rows : dict of str to Tensor or array, shape (N, C, H, W)
        Label to images; as many in each row, of one height and width.
    titles : sequence of N values, optional
        Written above the columns.
    scale : int, optional
        Screen pixels per image pixel; chosen to fit a page by default.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        Not images, or rows that differ in length or size.
    """
    if not rows:
        raise ValueError("rows must hold at least one row of images")
    stacks = [_as_images(f"row {label!r}", images) for label, images in rows.items()]
    shapes = {label: stack.shape[:3] for label, stack in zip(rows, stacks, strict=True)}
    if len(set(shapes.values())) > 1:
        described = ", ".join(f"{label!r} has {n} of {h} x {w}" for label, (n, h, w) in shapes.items())
        raise ValueError(f"rows must agree in number and size of images: {described}")
    columns = len(stacks[0])
    titles = _as_labels("titles", titles, columns)
    return _draw_images(
        np.concatenate(stacks), columns, scale, row_labels=[str(label) for label in rows], column_titles=titles
    )


@_styled
def manifold_sweep(decode, steps=15, scale=None):
    """What a decoder with two latents makes of every part of its prior.

    Both latents run through the normal quantiles of (i + ½) / steps, so each image stands for an equal
    share of N(0, I): z₁ to the right, z₂ upwards, as in the scatter of codes.

    Parameters
    ----------
    decode : callable
        (N, 2) float tensor -> images (N, C, H, W), such as ``trainer.decode``.
    steps : int
        Images per side.
    scale : int, optional
        Screen pixels per image pixel; chosen to fit a page by default.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        ``decode`` does not return one image per latent.

    References
    ----------
    Kingma and Welling (2013), Auto-Encoding Variational Bayes, figure 4.
    """
    steps = _positive_int("steps", steps)
    quantiles = torch.special.ndtri((torch.arange(steps, dtype=torch.float64) + 0.5) / steps)
    z2, z1 = torch.meshgrid(quantiles.flip(0), quantiles, indexing="ij")
    images = _decoded(decode, torch.stack([z1.flatten(), z2.flatten()], dim=1))
    named = {0, steps // 2, steps - 1}  # a number at both ends and in the middle
    values = [f"{value + 0.0:.1f}".replace("-", "−") if i in named else "" for i, value in enumerate(quantiles)]
    return _draw_images(
        images, steps, scale, gap=0, row_labels=values[::-1], column_labels=values, x_label="$z_1$", y_label="$z_2$"
    )


@_styled
def interpolation(decode, start, end, steps=10, spherical=False, scale=None):
    """Images decoded along the path from one latent to another, one path per row.

    Parameters
    ----------
    decode : callable
        (N, K) float tensor -> images (N, C, H, W), such as ``trainer.decode``.
    start, end : Tensor or array, shape (K,) or (M, K)
        Ends of the paths, both included.
    steps : int
        Images per path, at least 2.
    spherical : bool
        Along the arc between the two directions, with the length changing evenly, instead of a straight
        line: a straight line between two draws of N(0, I) passes closer to 0 than draws do.
    scale : int, optional
        Screen pixels per image pixel; chosen to fit a page by default.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        Shapes that differ, fewer than 2 steps, or an arc that is not defined.
    """
    if _positive_int("steps", steps) < 2:
        raise ValueError(f"steps must be at least 2, got {steps}")
    start, end = (torch.atleast_2d(torch.as_tensor(latent, dtype=torch.float32)) for latent in (start, end))
    if start.shape != end.shape or start.ndim != 2:
        raise ValueError(f"start and end must share a shape (K,) or (M, K), got {_shape(start)} and {_shape(end)}")
    t = torch.linspace(0, 1, steps)[:, None]  # (steps, 1), against latents of (M, 1, K)
    path = arc if spherical else torch.lerp
    latents = path(start[:, None].cpu(), end[:, None].cpu(), t)
    images = _decoded(decode, latents.flatten(0, 1))
    ends = ["start", *[""] * (steps - 2), "end"]
    return _draw_images(images, steps, scale, column_titles=ends)


@_styled
def loss_curves(history, terms=None, smooth=1, validation=None):
    """How the terms of a loss ran during training, one panel each.

    Parameters
    ----------
    history : dict of str to list
        ``"step"`` and one list per term, such as ``trainer.history``.
    terms : sequence of str, optional
        Which to draw; by default all but ``"step"`` and ``"epoch"``.
    smooth : int
        Running mean over so many steps, drawn over the raw values; 1 for none.
    validation : dict of str to list, optional
        The same terms on held-out data, such as ``trainer.validation_history``; drawn dashed.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        No steps, a term that is not there, or lists of different lengths.
    """
    smooth = _positive_int("smooth", smooth)
    if terms is None:
        terms = [name for name in history if name not in ("step", "epoch")]
    elif isinstance(terms, str):
        terms = [terms]
    if not terms:
        raise ValueError("terms must name at least one term")
    step, curves = _curves("history", history, terms)
    validation_step, validation_curves = (None, {})
    if validation:
        validation_step, validation_curves = _curves("validation", validation, [t for t in terms if t in validation])

    per_row = 2 if len(terms) == 4 else min(len(terms), 3)
    rows = math.ceil(len(terms) / per_row)
    fig = Figure(figsize=(max(3.0 * per_row, 4.5), 2.8 * rows), layout="constrained")
    axes = list(fig.subplots(rows, per_row, squeeze=False).flat)
    for ax, term, color in zip(axes, terms, _cycle(), strict=False):
        values = curves[term]
        if smooth > 1:
            ax.plot(step, values, color=color, alpha=0.3, linewidth=0.8)
            values = _running_mean(values, smooth)
        ax.plot(step, values, color=color, linewidth=1.6, label="training")
        if term in validation_curves:
            # Black and dashed with markers: told apart without colour.
            ax.plot(validation_step, validation_curves[term], "k--o", linewidth=1.2, markersize=3.5, label="validation")
            ax.legend()
        ax.set(title=term.replace("_", " "), xlabel="step")
        ax.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    for ax in axes[len(terms) :]:
        ax.remove()
    return fig


@_styled
def latent_scatter(codes, labels=None, classes=None):
    """Codes with two dimensions as points, coloured by class; short names stand at each class's median.

    Parameters
    ----------
    codes : Tensor or array, shape (N, 2)
    labels : Tensor or array of int, shape (N,), optional
        Index of the class of each code.
    classes : sequence of str, optional
        Names of the classes; by default their numbers.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        Codes without exactly two dimensions, or labels that do not fit.
    """
    codes = _numpy(codes)
    if codes.ndim != 2 or codes.shape[1] != 2 or not len(codes):
        raise ValueError(f"codes must have shape (N, 2), got {codes.shape}; choose two columns, as in codes[:, :2]")
    fig = Figure(figsize=(6.2, 5.4), layout="constrained")
    ax = fig.subplots()
    size = float(np.clip(8000 / len(codes), 3, 25))
    if labels is None:
        ax.scatter(*codes.T, s=size, color=COLORS[0], alpha=0.6, linewidths=0)
    else:
        labels = _numpy(labels)
        if labels.shape != (len(codes),) or not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0:
            raise ValueError(f"labels must be {len(codes)} class indices from 0, one per code")
        present = np.unique(labels)
        if classes is not None and present[-1] >= len(classes):
            raise ValueError(f"labels name class {present[-1]}, but there are {len(classes)} classes")
        names = {index: str(index if classes is None else classes[index]) for index in present}
        colors = {index: color for index, color in zip(range(present[-1] + 1), _cycle(), strict=False)}
        # In a shuffled order: sorted data would hide every class under the last.
        order = np.random.default_rng(0).permutation(len(codes))
        ax.scatter(*codes[order].T, s=size, c=[colors[index] for index in labels[order]], alpha=0.6, linewidths=0)
        outline = [matplotlib.patheffects.withStroke(linewidth=3, foreground="white")]
        for index in present:
            x, y = np.median(codes[labels == index], axis=0)
            if len(names[index]) <= 3:  # longer names would cover the points and each other
                ax.text(x, y, names[index], ha="center", va="center", fontsize=13, weight="bold", path_effects=outline)
        handles = [
            Line2D([], [], linestyle="", marker="o", markersize=7, color=colors[index], label=names[index])
            for index in present
        ]
        fig.legend(handles=handles, loc="outside right center")
    ax.set(xlabel="$z_1$", ylabel="$z_2$")
    ax.set_aspect("equal", adjustable="datalim")
    return fig


@_styled
def density_frame(x, p_data, p_g, d=None, d_star=None, *, arrows=None, title=None, top=None):
    """One moment of a one-dimensional GAN: densities, discriminator, and where the noise goes.

    Densities belong to the left axis, D and D* to the right one, from 0 to 1. Below, arrows lead from z
    up to x = G(z). Frames of one size, for `animation`: pass the same `x` and `top` to each.

    Parameters
    ----------
    x : Tensor or array, (M,)
        Grid, increasing.
    p_data, p_g : Tensor or array, (M,)
        Densities on the grid.
    d, d_star : Tensor or array, (M,), optional
        D(x), and the best D: p_data / (p_data + p_g) (eq-optimal-discriminator). NaN is left out.
    arrows : pair of Tensors or arrays, (A,) each, optional
        Some z, and G(z) for each of them.
    title : str, optional
    top : float, optional
        Upper end of the density axis. Default: just above both densities.

    Returns
    -------
    Figure
        540 x 400 pixels.

    Raises
    ------
    ValueError
        Curves or arrows whose lengths differ, or a grid that does not increase.

    References
    ----------
    Goodfellow et al. (2014), Generative Adversarial Nets, figure 1.
    """
    x = _numpy(x).astype(float)
    if x.ndim != 1 or len(x) < 2 or not (np.diff(x) > 0).all():
        raise ValueError("x must be an increasing grid of shape (M,)")
    curves = {"p_data": p_data, "p_g": p_g, "d": d, "d_star": d_star}
    curves = {name: _numpy(values) for name, values in curves.items() if values is not None}
    for name, values in curves.items():
        if values.shape != x.shape:
            raise ValueError(f"{name} must have one value for each of the {len(x)} points of x, got {values.shape}")
    if top is None:
        top = 1.15 * max(np.nanmax(curves["p_data"]), np.nanmax(curves["p_g"]))

    fig = Figure(figsize=(5.4, 4.0))
    bottom = 0.16 if arrows is None else 0.32
    ax = fig.add_axes((0.105, bottom, 0.80, 0.84 - bottom))
    ax.plot(x, curves["p_data"], ":", color=COLORS[4], linewidth=2.2, label=r"$p_\mathrm{data}$")
    ax.plot(x, curves["p_g"], color=COLORS[3], linewidth=2.2, label="$p_g$")
    ax.fill_between(x, curves["p_g"], color=COLORS[3], alpha=0.15, linewidth=0)
    ax.set(xlim=(x[0], x[-1]), ylim=(0, top), ylabel="density")
    ax.grid(False)
    if "d" in curves or "d_star" in curves:
        right = ax.twinx()
        right.axhline(0.5, color="#bbbbbb", linewidth=1)
        if "d_star" in curves:
            right.plot(x, curves["d_star"], color=COLORS[2], linewidth=1.3, label="$D^*$")
        if "d" in curves:
            right.plot(x, curves["d"], "--", color=COLORS[0], linewidth=2.2, label="$D$")
        right.set(ylim=(0, 1.05), ylabel="$D$", yticks=[0, 0.5, 1], yticklabels=["0", "½", "1"])
        right.spines["right"].set_visible(True)
        right.grid(False)
    handles = [line for axes in fig.axes for line in axes.get_lines() if not line.get_label().startswith("_")]
    fig.legend(handles=handles, loc="upper right", ncols=len(handles), bbox_to_anchor=(0.925, 0.945), columnspacing=1.2)
    if title:
        fig.text(0.105, 0.95, title, fontsize=11)
    if arrows is None:
        ax.set_xlabel("x")
    else:
        _draw_arrows(fig, ax, *(_numpy(values).reshape(-1).astype(float) for values in arrows))
    return fig


def _draw_arrows(fig, ax, z, x):
    """Under `ax`: a line for z, and an arrow from each z up to its x on the axis above."""
    if len(z) != len(x) or not len(z):
        raise ValueError(f"arrows must pair every z with its G(z), got {len(z)} and {len(x)}")
    left, floor, width, _ = ax.get_position().bounds
    strip = fig.add_axes((left, 0.05, width, floor - 0.105))
    low, high = ax.get_xlim()
    strip.set(xlim=(low, high), ylim=(0, 1))
    strip.axis("off")
    # The line of z has a scale of its own: 0 in the middle, the farthest arrow near an end.
    at = (low + high) / 2 + z / max(np.abs(z).max(), 1e-12) * 0.44 * (high - low)
    for start, end in zip(at, x, strict=True):
        if low <= end <= high:
            properties = dict(arrowstyle="->", color="#555555", linewidth=0.9, shrinkA=0, shrinkB=0)
            strip.annotate("", xy=(end, 1), xytext=(start, 0), arrowprops=properties, annotation_clip=False)
    strip.plot([low, high], [0, 0], color="#555555", linewidth=1, clip_on=False)
    for name, height in (("x", floor - 0.04), ("z", 0.05)):
        fig.text(left - 0.02, height, f"${name}$", ha="right", va="center", fontsize=11)


class Animation:
    """Pictures that play in a notebook and on a static page: HTML that holds its own frames and controls.

    Made by :func:`animation`. Nothing moves until the reader presses Play; it then runs once and stops, and
    can be paused or stepped through at any time, with the mouse or the keyboard.

    Attributes
    ----------
    frames : list of bytes
        PNG files of one size.
    labels : list of str
    alt : str
    seconds : float
        Between frames.
    """

    def __init__(self, frames, labels, alt, seconds):
        self.frames, self.labels, self.alt, self.seconds = frames, labels, alt, seconds

    def __repr__(self):
        return f"Animation of {len(self.frames)} frames: {self.alt}"

    def _repr_html_(self):
        width, height = Image.open(io.BytesIO(self.frames[0])).size
        frames = [base64.b64encode(frame).decode() for frame in self.frames]
        # "<" would let a label end the script element.
        data = json.dumps({"frames": frames[1:], "labels": self.labels, "seconds": self.seconds}).replace(
            "<", "\\u003c"
        )
        return _PLAYER.format(
            alt=html.escape(self.alt),
            width=width,
            height=height,
            first=frames[0],
            last=len(frames) - 1,
            label=html.escape(self.labels[0]),
            widest=max(map(len, self.labels)),
            data=data,
        )

    def save(self, path):
        """Write the HTML, a piece of a page and not a whole one, to a file."""
        with open(path, "w", encoding="utf-8") as file:
            file.write(self._repr_html_())


def animation(frames, alt, *, labels=None, seconds=0.3):
    """Figures as one animation with Play, Pause and a slider.

    Parameters
    ----------
    frames : iterable of Figure
        At least two, of one size in pixels. About 18 kB of HTML each.
    alt : str
        What happens in it, for those who cannot see it.
    labels : sequence of str, optional
        A name for each frame, shown beside the slider and read aloud. Default: "1 of 20" and so on.
    seconds : float
        Between frames.

    Returns
    -------
    Animation
        Shows itself in a notebook; ``save`` writes the HTML for a page.

    Raises
    ------
    ValueError
        Fewer than two frames, frames that differ in size, no description, or labels that do not fit.
    """
    if not isinstance(alt, str) or len(alt.split()) < 3:
        raise ValueError(f"alt must say in words what happens in the animation, got {alt!r}")
    if not 0 < seconds < math.inf:
        raise ValueError(f"seconds must be positive, got {seconds!r}")
    frames = [_small_png(frame) for frame in frames]
    if len(frames) < 2:
        raise ValueError(f"an animation needs at least 2 frames, got {len(frames)}")
    if len(sizes := {Image.open(io.BytesIO(frame)).size for frame in frames}) > 1:
        raise ValueError(f"frames must be of one size, got {sorted(sizes)}")
    labels = [f"{i} of {len(frames)}" for i in range(1, len(frames) + 1)] if labels is None else [*map(str, labels)]
    if len(labels) != len(frames):
        raise ValueError(f"labels must name {len(frames)} frames, got {len(labels)}")
    return Animation(frames, labels, alt, seconds)


def _small_png(figure):
    """The figure as a PNG of 32 colours: enough for curves, and a fraction of the size."""
    picture = Image.open(io.BytesIO(figure._repr_png_())).convert("RGB")
    png = io.BytesIO()
    picture.quantize(32, dither=Image.Dither.NONE).save(png, format="PNG", optimize=True)
    return png.getvalue()


# No ids: a script finds the players that are not at work yet, so one page can hold many, even twice the same.
# Colours are the page's own. Without scripts, and in print, a frame and the description remain. Screen readers hear
# where the button stopped, not every frame on the way; the slider speaks for itself. Where the reader has asked for
# less motion the button goes a frame on.
_PLAYER = """<figure class="coursekit-player" role="group" aria-label="Animation"
  style="margin: 0 auto; max-width: {width}px">
<style>
.coursekit-player > img {{ display: block; max-width: 100%; height: auto; background: #fff; }}
.coursekit-player > div {{ display: flex; flex-wrap: wrap; gap: 0.25rem 0.75rem; align-items: center;
  margin: 0.4rem 0; }}
.coursekit-player > div[hidden] {{ display: none; }}
.coursekit-player button {{ font: inherit; color: inherit; background: transparent; border: 1px solid currentColor;
  border-radius: 0.25rem; padding: 0.3rem 0; min-width: 4.5rem; cursor: pointer; }}
.coursekit-player input {{ flex: 1 1 6rem; min-width: 4rem; height: 1.75rem; accent-color: #3f90da; }}
.coursekit-player output {{ flex: none; color: inherit; font-variant-numeric: tabular-nums; }}
@media print {{ .coursekit-player > div {{ display: none; }} }}
</style>
<img src="data:image/png;base64,{first}" width="{width}" height="{height}" alt="{alt}">
<div hidden>
<button type="button">Play</button>
<input type="range" min="0" max="{last}" value="0" step="1" aria-label="Frame" aria-valuetext="{label}">
<output style="min-width: {widest}ch" aria-live="off">{label}</output>
</div>
<script type="application/json">{data}</script>
<script>
for (const player of document.querySelectorAll("figure.coursekit-player:not([data-ready])")) {{
  player.dataset.ready = "";
  const [image, button, slider, output, data] =
    ["img", "button", "input", "output", "script"].map(name => player.querySelector(name));
  const {{frames, labels, seconds}} = JSON.parse(data.textContent);
  const sources = [image.src, ...frames.map(frame => "data:image/png;base64," + frame)];
  const lessMotion = matchMedia("(prefers-reduced-motion: reduce)");
  let timer = null;
  const show = (index, live = "off") => {{
    output.setAttribute("aria-live", live);
    slider.value = index;
    image.src = sources[index];
    output.textContent = labels[index];
    slider.setAttribute("aria-valuetext", labels[index]);
  }};
  const atEnd = () => +slider.value === sources.length - 1;
  const pause = () => {{
    clearInterval(timer);
    timer = null;
    button.textContent = lessMotion.matches ? "Next" : "Play";
  }};
  const stop = () => {{ pause(); show(+slider.value, "polite"); }};
  const advance = () => {{
    show(+slider.value + 1);
    if (atEnd()) stop();
  }};
  button.addEventListener("click", () => {{
    if (timer !== null) return stop();
    if (lessMotion.matches) return show((+slider.value + 1) % sources.length, "polite");
    if (atEnd()) show(0);
    timer = setInterval(advance, seconds * 1000);
    button.textContent = "Pause";
  }});
  slider.addEventListener("input", () => {{ pause(); show(+slider.value); }});
  lessMotion.addEventListener("change", pause);
  slider.value = 0;
  pause();
  player.querySelector("div").hidden = false;
}}
</script>
</figure>"""


def _draw_images(
    images,
    columns,
    scale,
    gap=4,
    image_titles=None,
    column_titles=None,
    column_labels=None,
    row_labels=None,
    x_label="",
    y_label="",
):
    """Lay out uint8 images (N, H, W, 3) on one canvas whose units are screen pixels."""
    _, height, width, _ = images.shape
    rows = math.ceil(len(images) / columns)
    if scale is None:
        scale = min(max(_IMAGE_AREA_WIDTH // (columns * (width + gap // 2)), 1), 4, max(320 // width, 1))
    scale = _positive_int("scale", scale)

    fig = Figure()
    line, margin = 18, 6  # pixels for one line of text, and around everything
    text_width = _text_width(fig, image_titles or column_titles)
    cell_width = max(width * scale, text_width + 8 if text_width else 0) + gap
    cell_height = height * scale + gap + (line if image_titles else 0)
    left = margin + (line if y_label else 0) + (_text_width(fig, row_labels) + 8 if row_labels else 0)
    top = margin + (line if image_titles or column_titles else 0)
    bottom = margin + (line if column_labels else 0) + (line if x_label else 0)
    total_width = left + columns * cell_width - gap + margin
    total_height = top + rows * cell_height - gap - (line if image_titles else 0) + bottom

    canvas = np.full((total_height, total_width, 3), 255, dtype=np.uint8)
    corners = []
    for i, image in enumerate(images):
        row, column = divmod(i, columns)
        x = left + column * cell_width + (cell_width - gap - width * scale) // 2
        y = top + row * cell_height
        canvas[y : y + height * scale, x : x + width * scale] = image.repeat(scale, 0).repeat(scale, 1)
        corners.append((x, y))

    fig.set_size_inches(total_width / _DPI, total_height / _DPI)
    ax = fig.add_axes((0, 0, 1, 1))
    ax.imshow(canvas, interpolation="nearest", extent=(0, total_width, total_height, 0), aspect="auto")
    ax.set_axis_off()
    write = functools.partial(ax.text, fontsize=_STYLE["font.size"])
    half_width, half_height = width * scale / 2, height * scale / 2
    for (x, y), title in zip(corners, image_titles or (), strict=False):
        write(x + half_width, y - 4, title, ha="center", va="baseline")
    for (x, y), title in zip(corners, column_titles or (), strict=False):
        write(x + half_width, y - 4, title, ha="center", va="baseline")
    for (x, _), label in zip(corners, column_labels or (), strict=False):
        write(x + half_width, corners[-1][1] + 2 * half_height + line - 4, label, ha="center", va="baseline")
    for (_, y), label in zip(corners[::columns], row_labels or (), strict=False):
        write(left - 8, y + half_height, label, ha="right", va="center")
    if x_label:
        write(left + columns * cell_width / 2, total_height - margin, x_label, ha="center", va="baseline")
    if y_label:
        write(margin + line / 2, top + rows * cell_height / 2, y_label, ha="center", va="center", rotation=90)
    return fig


def _text_width(fig, strings):
    """Width in screen pixels of the widest of the strings, as figures write them."""
    renderer = fig.canvas.get_renderer()
    texts = [fig.text(0, 0, string, fontsize=_STYLE["font.size"]) for string in strings or ()]
    width = max((text.get_window_extent(renderer).width for text in texts), default=0)
    for text in texts:
        text.remove()
    return math.ceil(width)


def _as_images(name, images):
    """uint8 (N, H, W, 3) on the CPU."""
    images = torch.as_tensor(images).detach().cpu()
    if images.ndim != 4 or images.shape[1] not in (1, 3) or not images.numel():
        raise ValueError(f"{name} must have shape (N, C, H, W) with C = 1 or 3 and N >= 1, got {_shape(images)}")
    if images.is_floating_point():
        low, high = images.aminmax()
        if not (low >= -1e-3 and high <= 1 + 1e-3):
            raise ValueError(f"{name} must lie in [0, 1], got values from {low:.3g} to {high:.3g}")
        images = (images.float().clamp(0, 1) * 255).round().to(torch.uint8)
    elif images.dtype != torch.uint8:
        raise ValueError(f"{name} must be uint8, or floats in [0, 1]; got {images.dtype}")
    return images.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy()


def _decoded(decode, latents):
    with torch.no_grad():
        images = _as_images("the output of decode", decode(latents.float()))
    if len(images) != len(latents):
        raise ValueError(f"decode must return one image per latent: {len(latents)} in, {len(images)} out")
    return images


def arc(start, end, t):
    """Spherical interpolation, the length moving evenly from the one end's to the other's (thm-interpolation-norm).

    Parameters
    ----------
    start, end : Tensor, (..., K)
        Latents, not 0 and not in opposite directions.
    t : float or Tensor
        0 at the start, 1 at the end; a tensor must broadcast against (..., 1).

    Returns
    -------
    Tensor, (..., K)

    Raises
    ------
    ValueError
        When an end is 0, or the directions are opposite.
    """
    length_start, length_end = start.norm(dim=-1, keepdim=True), end.norm(dim=-1, keepdim=True)
    if not (length_start.all() and length_end.all()):
        raise ValueError("a spherical path needs ends that are not 0")
    u, v = start / length_start, end / length_end
    # Through the chords: exact for angles near 0, where arccos(u . v) is not.
    angle = 2 * torch.atan2((u - v).norm(dim=-1, keepdim=True), (u + v).norm(dim=-1, keepdim=True))
    if (angle > math.pi - 1e-3).any():
        raise ValueError("a spherical path is not defined between opposite directions")
    # sinc(a / pi) = sin(a) / a, which is 1 where the directions agree.
    sinc = lambda a: torch.sinc(a / math.pi)  # noqa: E731
    direction = ((1 - t) * sinc((1 - t) * angle) * u + t * sinc(t * angle) * v) / sinc(angle)
    return direction * torch.lerp(length_start, length_end, t)


def _curves(name, history, terms):
    """Steps, and the values of each term, as arrays of one length."""
    missing = [term for term in ("step", *terms) if term not in history]
    if missing:
        raise ValueError(f"{name} has no {', '.join(map(repr, missing))}; it has {', '.join(map(repr, history))}")
    step = np.asarray(history["step"])
    curves = {term: np.asarray(history[term], dtype=float) for term in terms}
    lengths = {len(step), *map(len, curves.values())}
    if lengths != {len(step)} or not len(step):
        raise ValueError(f"{name} must hold one value per step for each term, and at least one step")
    return step, curves


def _running_mean(values, window):
    """Mean of the last ``window`` values, of fewer at the start."""
    total = np.cumsum(np.concatenate([[0.0], values]))
    end = np.arange(1, len(values) + 1)
    start = np.maximum(end - window, 0)
    return (total[end] - total[start]) / (end - start)


def _as_labels(name, values, count):
    if values is None:
        return None
    values = [str(value.item() if isinstance(value, torch.Tensor) else value) for value in values]
    if len(values) != count:
        raise ValueError(f"{name} must name {count} images, got {len(values)}")
    return values


def _positive_int(name, value):
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{name} must be a positive whole number, got {value!r}")
    return int(value)


def _cycle():
    while True:
        yield from COLORS


def _numpy(values):
    return torch.as_tensor(values).detach().cpu().numpy()


def _shape(tensor):
    return tuple(tensor.shape)
