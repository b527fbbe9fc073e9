"""Two sets of images without pairs: what a translator between two styles is trained on."""

from coursekit.data.coloured_digits import coloured_digits
from coursekit.data.images import SPLITS, ImageSet, require_known

UNPAIRED_SETS = ("coloured_digits",)
EMBEDDED_UNPAIRED = ("coloured_digits",)
_DIGITS = tuple("0123456789")


def load_unpaired(name, split="train", *, root=None, offline=None, size=None, stream=False):
    """Load two sets of images, X and Y, between which a translation is to be learned.

    Parameters
    ----------
    name : {"coloured_digits"}
    split : {"train", "test"}
        Test sets are aligned where the truth is known: row i of both shows the same thing.

    Returns
    -------
    x, y : ImageSet

    Raises
    ------
    ValueError
        If `name` or `split` is unknown.
    """
    require_known(name, UNPAIRED_SETS, "unpaired data set")
    require_known(split, SPLITS, "split")
    source = f"{name} (embedded)"
    return tuple(
        ImageSet(images, labels, name=f"{name}/{side}", classes=_DIGITS, source=source)
        for side, (images, labels) in zip("XY", coloured_digits(split))
    )
