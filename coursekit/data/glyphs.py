"""Letters in two typefaces that come with matplotlib: a translation whose truth is known."""

from pathlib import Path

import numpy as np
import torch

from coursekit.data.ordering import shuffled

TYPEFACES = ("DejaVuSans", "DejaVuSerif")
SIDE, OVERSAMPLING = 32, 4
TEST = 105  # a fifth
_FONT_SIZE, _BASELINE = 100, 96  # of 128 pixels: the largest at which every letter fits

# Digits and letters that both typefaces have, without composed ones. Besides ASCII only letters that differ between
# the typefaces, and from the letters before them: of Latin, Greek and Cyrillic A there is one.
_RANGES = (
    "30-39 41-5a 61-7a c6 d0 d8 de-df e6 f0 f8 fe 126 138 141 14a-14b 152-153 166-167 180-184 186-188 18a-195 198-199 "
    "19b-19f 1a2-1ab 1ad-1ae 1b1-1b5 1b7-1c2 1dd 1f6-1f7 21d 220-225 234-236 238-23c 23e-244 246-247 24a 24e-258 "
    "25a-260 262-267 26c-272 274-2a0 2a3-2ae 370-373 376-377 393-394 39e 3a0 3a6 3a8-3a9 3b1-3b4 3b6 3ba 3bc-3be 3c0 "
    "3c2-3c3 3c6-3c9 3cf 3d7-3db 3dd-3de 3e0-3e1 3fa-3fc 402 404 409-40b 40f 413-414 416-417 41a-41b 423-424 426-428 "
    "42a-42b 42d-42f 431 433-434 436 43b-43c 43f 442 444 446-448 44a-44f 452 459-45b 45f 462-465 46a-46b 46d 470-471 "
    "474-475 48d 492-496 498-499 49f-4a1 4a3-4a7 4aa-4ac 4b0-4b1 4b4-4b7 4ba 4c3-4c4 4c7-4c8 4cb-4cc 4f6 512-515 "
    "531-53b 53d-548 54a-54c 54e-554 556 562-56b 56d 56f 571 573-574 576-577 579-57c 57e-580 583-584 586 10a0-10c5 "
    "10d1-10d7 10d9-10fa"
)


def characters():
    """The 527 characters, in the order of Unicode."""
    chosen = ""
    for part in _RANGES.split():
        first, _, last = part.partition("-")
        chosen += "".join(map(chr, range(int(first, 16), int(last or first, 16) + 1)))
    return chosen


def glyphs(split):
    """Characters in DejaVu Sans and in DejaVu Serif, black on white, 32 x 32 pixels.

    Each is drawn on a common baseline at four times the size, centred by its width, and reduced by averaging.
    Training sets share no character: each typeface has one half of them. Test sets are aligned: row i of both is the
    same character, and training has seen it in neither typeface.

    Parameters
    ----------
    split : {"train", "test"}

    Returns
    -------
    x, y : tuple of torch.Tensor
        Images, uint8, (N, 1, 32, 32), and which of `characters` each shows, int64, (N,). N is 211 when training and
        105 when testing.

    Notes
    -----
    Grey values may differ by a few levels between versions of FreeType.

    References
    ----------
    DejaVu fonts, version 2.37, https://dejavu-fonts.github.io; changes are in the public domain, and Bitstream Vera,
    which they extend, may be embedded and redistributed freely.
    """
    chosen = characters()
    order = shuffled(chosen, seed=0)
    x_rows = y_rows = sorted(order[:TEST])
    if split == "train":
        middle = (TEST + len(order)) // 2
        x_rows, y_rows = sorted(order[TEST:middle]), sorted(order[middle:])
    return tuple(
        (_draw([chosen[i] for i in rows], typeface), torch.tensor(rows))
        for typeface, rows in zip(TYPEFACES, (x_rows, y_rows))
    )


def _draw(chosen, typeface):
    from matplotlib import get_data_path
    from PIL import Image, ImageDraw, ImageFont

    path = Path(get_data_path(), "fonts", "ttf", f"{typeface}.ttf")
    # The basic layout needs no shaping library, which not every Pillow has.
    font = ImageFont.truetype(path, _FONT_SIZE, layout_engine=ImageFont.Layout.BASIC)
    large = SIDE * OVERSAMPLING
    images = np.empty((len(chosen), 1, SIDE, SIDE), dtype=np.uint8)
    for i, character in enumerate(chosen):
        paper = Image.new("L", (large, large), 255)
        ImageDraw.Draw(paper).text((large // 2, _BASELINE), character, font=font, fill=0, anchor="ms")
        images[i, 0] = np.asarray(paper.resize((SIDE, SIDE), Image.Resampling.BOX))
    return torch.from_numpy(images)
