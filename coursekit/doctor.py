"""What this machine has, and what to make of it: the report of ``coursekit doctor``, the offer of a GPU."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("coursekit", "torch", "torchvision", "lightning-fabric", "numpy", "matplotlib", "scikit-learn")


def offer_gpu(scale, device="cuda", **sizes):
    """Say, where torch has CUDA, what to set in a lesson's first cells; elsewhere nothing.

    Parameters
    ----------
    scale : int
        What the lesson's ``SCALE`` may be there.
    device : str, optional
        What its ``DEVICE`` has to be. None: the lesson uses a GPU unasked.
    **sizes : int
        What other names of that cell may be there.
    """
    import torch

    if torch.cuda.is_available():
        settings = [f"{name} = {value}" for name, value in {"SCALE": scale, **sizes}.items()]
        settings += [] if device is None else [f'DEVICE = "{device}"']
        found = (
            "There is a GPU. To use it" if device else "There is a GPU, and this lesson uses it. To give it more to do"
        )
        together = f"{', '.join(settings[:-1])} and {settings[-1]}" if len(settings) > 1 else settings[0]
        print(f"{found}, set {together} in this cell, and run all cells again.")


def lines(report, problems):
    """The report as lines of text, in two columns, with what to fix under it."""
    width = max(len(name) for name, _ in report)
    return [*(f"{name:{width}}  {value}" for name, value in report), *(f"to fix: {problem}" for problem in problems)]


def examine():
    """Look at versions, device, precision and data.

    Returns
    -------
    report : list of (str, str)
        What was found, in the order to print.
    problems : list of str
        One sentence each, saying what to do.
    """
    problems = []
    report = [("python", platform.python_version()), *_versions(problems), *_device(problems), *_data(problems)]
    return report, problems


def _versions(problems):
    rows = []
    for package in _PACKAGES:
        try:
            rows.append((package, version(package)))
        except PackageNotFoundError:
            rows.append((package, "missing"))
            problems.append(f"{package} is not installed: pip install coursekit")
    return rows


def _device(problems):
    import torch

    from coursekit.trainers.config import choose_device, choose_precision
    from coursekit.trainers.runtime import keep_freed_memory, medium_is_as_exact

    device = choose_device("auto")
    name = device
    if device == "cuda":
        name = f"cuda ({torch.cuda.get_device_name()}, {torch.cuda.device_count()} in all)"
    elif device == "cpu":
        name = f"cpu ({torch.get_num_threads()} threads)"
        if torch.version.cuda and os.path.exists("/proc/driver/nvidia/version"):
            problems.append(
                f"there is an NVIDIA driver, but torch (CUDA {torch.version.cuda}) cannot use it: update the driver, "
                "or install the torch build for its CUDA version"
            )
    rows = [("device", name), ("precision", choose_precision("auto", device))]
    if device == "cpu":
        kept = "keeps freed memory" if keep_freed_memory() else "as the system sets it"
        exact = "medium (as exact as highest here)" if medium_is_as_exact() else "highest"
        rows += [("allocator", kept), ("float32 products", exact)]
    return rows


def _data(problems):
    from coursekit.data import EMBEDDED, EMBEDDED_UNPAIRED, IMAGE_SETS, SPLITS, UNPAIRED_SETS, data_folder, is_available
    from coursekit.data.availability import is_downloaded
    from coursekit.data.download import downloads_forbidden

    rows = [("data folder", str(data_folder()))]
    for name in IMAGE_SETS + UNPAIRED_SETS:
        if name in EMBEDDED + EMBEDDED_UNPAIRED:
            rows.append((f"data {name}", "embedded"))
            continue
        missing = [split for split in SPLITS if not is_available(name, split)]
        rows.append((f"data {name}", f"no {' or '.join(missing)} split" if missing else "found"))
        if missing and is_downloaded(name) and downloads_forbidden():
            problems.append(
                f"{name} is not there and COURSEKIT_OFFLINE forbids downloading it: unset COURSEKIT_OFFLINE, or point "
                "COURSEKIT_DATA at a folder that has it"
            )
    return rows
