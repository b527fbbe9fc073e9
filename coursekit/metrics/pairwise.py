"""Squared distances between two sets of points, block by block: what Parzen windows and neighbours need."""

import torch

BLOCK = 2**23  # entries of a distance matrix held at once: 64 MiB in float64
CANCELLATION = 1e-4


def as_rows(**sets):
    """Each set as a tensor (N, d) on one device, one flattened point a row.

    Raises
    ------
    ValueError
        If a set is empty, is not (N, ...), holds bytes, NaN or infinity, or differs from the first in d.
    """
    rows = []
    for name, points in sets.items():
        points = torch.as_tensor(points)
        if points.dtype == torch.uint8:
            raise ValueError(f"{name} are bytes: scale them to [0, 1] first, with coursekit.data.to_float")
        if points.ndim < 2 or points.numel() == 0:
            raise ValueError(f"{name} must be a non-empty tensor (N, ...), got shape {tuple(points.shape)}")
        if not points.isfinite().all():
            raise ValueError(f"{name} must be finite: there is a NaN or an infinity")
        rows.append((points if points.is_floating_point() else points.double()).detach().flatten(1))
        first, width = next(iter(sets)), rows[0].shape[1]
        if rows[-1].shape[1] != width:
            raise ValueError(f"{first} have {width} values each, {name} have {rows[-1].shape[1]}: they must agree")
    device = torch.device("cpu") if rows[0].device.type == "mps" else rows[0].device  # mps has no float64
    return [points.to(device) for points in rows]


def squared_distances(x, points):
    r"""Squared Euclidean distances from each of `x` to each of `points`, some rows of `x` at a time.

    .. math:: \lVert x - y \rVert^2 = \lVert x \rVert^2 + \lVert y \rVert^2 - 2 x^\top y

    is one matrix product where differences would need a third axis. Its terms cancel where x and y are close, so
    both sets are moved to put the mean of `points` at 0, products are in float64, and the distances that are still
    small beside their terms are computed again from differences.

    Parameters
    ----------
    x, points : Tensor (N, d), (n, d)
        Finite.

    Yields
    ------
    rows, block : slice, float64 Tensor (len(rows), n)
        Each block is the caller's to overwrite.
    """
    centre = points.mean(dim=0, dtype=torch.float64)
    points = points - centre
    point_norms = points.square().sum(dim=1)
    step = max(1, BLOCK // max(len(points), points.shape[1]))
    for start in range(0, len(x), step):
        rows = slice(start, min(start + step, len(x)))
        part = x[rows] - centre
        terms = part.square().sum(dim=1)[:, None] + point_norms
        block = torch.addmm(terms, part, points.T, alpha=-2)
        close = (block <= terms.mul_(CANCELLATION)).nonzero()
        for pairs in close.split(max(1, BLOCK // points.shape[1])):
            i, j = pairs.unbind(1)
            block[i, j] = (part[i] - points[j]).square().sum(dim=1)
        yield rows, block
