"""Images in, tensors out: embedded, downloaded, generated."""

from coursekit.data.availability import is_available
from coursekit.data.conversion import binarize, to_float
from coursekit.data.densities import (
    gaussian_mixture,
    gaussian_mixture_2d,
    heights,
    ring_modes,
    ring_of_gaussians,
)
from coursekit.data.download import data_folder
from coursekit.data.embedded import EMBEDDED
from coursekit.data.folder_images import FolderImages
from coursekit.data.images import IMAGE_SETS, SPLITS, ImageSet, load_images
from coursekit.data.unpaired import ALIGNED_TEST_SETS, EMBEDDED_UNPAIRED, UNPAIRED_SETS, load_unpaired
from coursekit.errors import DataUnavailable, OfflineFallbackWarning, SkippedFilesWarning

__all__ = [
    "ALIGNED_TEST_SETS",
    "EMBEDDED",
    "EMBEDDED_UNPAIRED",
    "IMAGE_SETS",
    "SPLITS",
    "UNPAIRED_SETS",
    "DataUnavailable",
    "FolderImages",
    "ImageSet",
    "OfflineFallbackWarning",
    "SkippedFilesWarning",
    "binarize",
    "data_folder",
    "gaussian_mixture",
    "gaussian_mixture_2d",
    "heights",
    "is_available",
    "load_images",
    "load_unpaired",
    "ring_modes",
    "ring_of_gaussians",
    "to_float",
]
