"""Which data sets are here already."""

from coursekit.data.images import IMAGE_SETS, SPLITS, images_are_here, require_known
from coursekit.data.unpaired import UNPAIRED_SETS, unpaired_are_here
from coursekit.data.unpaired_folders import FOLDER_SETS


def is_available(name, split="train", *, root=None):
    """Whether a set can be loaded without downloading anything: embedded, or on disk and undamaged.

    Parameters
    ----------
    name : str
        One of `IMAGE_SETS` or `UNPAIRED_SETS`.
    split : {"train", "test"}
    root : path-like, optional
        The data folder, as for `load_images` and `load_unpaired`.

    Returns
    -------
    bool
        Of folders of images only their number is looked at; they are decoded when they are loaded.

    Raises
    ------
    ValueError
        If `name` or `split` is unknown.
    """
    require_known(name, dict.fromkeys(IMAGE_SETS + UNPAIRED_SETS), "data set")
    require_known(split, SPLITS, "split")
    here = images_are_here if name in IMAGE_SETS else unpaired_are_here
    return here(name, split, root)


def is_downloaded(name):
    """Whether loading this set downloads it where it is missing; of embedded sets that never comes up."""
    return name not in FOLDER_SETS or FOLDER_SETS[name].archive is not None
