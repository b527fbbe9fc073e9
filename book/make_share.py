"""Draw what stands for the course elsewhere: the card of a shared link, and the icon of a tab.

    python book/make_share.py

The digits of the card are those of the VAE chapter's figure, as `book/results/vae.py` made it.
"""

import math
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from PIL import Image  # noqa: E402

STATIC = Path(__file__).parent / "_static"
SHARE = STATIC / "share"
WIDTH, HEIGHT = 1200, 630
INK, PAPER, ACCENT = "#ffffff", "#14304f", "#ffb454"


def draw_card(path):
    """1200 by 630 pixels: the title, and a grid of decoded digits."""
    digits = Image.open(STATIC / "figures" / "vae-manifold.png").convert("L")
    # Without axes and margins: the grid itself is black.
    digits = digits.crop(digits.point(lambda grey: 255 * (grey < 30)).getbbox())
    digits = digits.resize((HEIGHT, HEIGHT), Image.Resampling.LANCZOS)

    figure = plt.figure(figsize=(WIDTH / 100, HEIGHT / 100), dpi=100, facecolor=PAPER)
    figure.figimage(digits, xo=WIDTH - HEIGHT, yo=0, cmap="gray", origin="upper")
    words = {"color": INK, "ha": "left"}
    figure.text(
        0.05, 0.66, "Generative\nmodels,\nchecked", size=52, weight="bold", va="center", linespacing=1.15, **words
    )
    figure.text(
        0.05,
        0.3,
        "Every theorem proved and tested.\nEvery number measured.",
        size=20,
        va="center",
        linespacing=1.5,
        **words,
    )
    figure.text(0.05, 0.12, "From autoencoders to CycleGAN", size=20, va="center", ha="left", color=ACCENT)
    figure.savefig(path, facecolor=PAPER)
    plt.close(figure)
    # Few colours are needed: a third of the size.
    Image.open(path).convert("RGB").quantize(64).save(path, optimize=True)


def favicon():
    """SVG: the density of the data, and a model's beside it."""

    def curve(centre, width, height):
        points = ((x, 54 - height * math.exp(-(((x - centre) / width) ** 2) / 2)) for x in range(6, 59, 2))
        return " ".join(f"{x},{y:.1f}" for x, y in points)

    line = '<polyline fill="none" stroke="{}" stroke-width="5" stroke-linecap="round" points="{}"/>'
    return "\n".join(
        [
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">',
            f'<rect width="64" height="64" rx="12" fill="{PAPER}"/>',
            line.format(INK, curve(26, 8, 40)),
            line.format(ACCENT, curve(39, 8, 30)),
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    SHARE.mkdir(exist_ok=True)
    draw_card(SHARE / "card.png")
    (SHARE / "favicon.svg").write_text(favicon(), encoding="utf-8")
