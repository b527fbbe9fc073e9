"""Whether our loss curves are the plain loop's, within what another seed changes.

Slim networks, a few hundred steps on the digits that the package carries, three seeds a side. The seeds give each side
other weights, other noise and another order of the data. The curves are means of windows of 25 steps, and the distance
of two curves is the mean distance of their points.
"""

import itertools
import random

import cyclegan_step
import dcgan_step

CASES = ("curves-dcgan", "curves-cyclegan")
SEEDS, STEPS, WINDOW = (0, 1, 2), 300, 25
SLIM = {"curves-dcgan": dict(width=8, batch_size=32), "curves-cyclegan": dict(width=8, blocks=2)}


def rows(case, on="cpu", steps=STEPS):
    """One row a seed: distances of its curves to those of the other seeds, between the sides and within each."""
    plain, ours = ({seed: side(case, seed, steps, on) for seed in SEEDS} for side in (plain_curves, our_curves))
    found = []
    for seed in SEEDS:
        others = [other for other in SEEDS if other != seed]
        metrics = {
            "between_sides": _mean(distance(ours[seed], plain[other]) for other in others),
            "between_seeds": _mean(distance(plain[seed], plain[other]) for other in others),
            "between_our_seeds": _mean(distance(ours[seed], ours[other]) for other in others),
        }
        for side, curves in (("plain", plain[seed]), ("coursekit", ours[seed])):
            metrics |= {f"{side}_{name}_at_the_end": curve[-1] for name, curve in curves.items()}
        row = {"seed": seed, "seconds": 0.0, "metrics": metrics}
        found.append(row | {"curves": {"plain": plain[seed], "coursekit": ours[seed]}})
    return found


def distance(one, other):
    """Mean over losses and windows of the distance of two sets of curves."""
    return _mean(abs(a - b) for name in one for a, b in zip(one[name], other[name], strict=True))


def plain_curves(case, seed, steps, on):
    import torch

    random.seed(seed)
    slim, (x, y) = SLIM[case], _images(case, on)
    shape = tuple(x.shape[1:])
    if case == "curves-dcgan":
        loop = dcgan_step.PlainLoop(*_to(on, dcgan_step.networks(shape, slim["width"], seed)))
        names = ("loss_D", "loss_G")
    else:
        loop = cyclegan_step.PlainLoop(*_to(on, cyclegan_step.networks(shape, **slim, seed=seed)))
        names = ("loss_G", "loss_D_X", "loss_D_Y")
    losses = []
    for rows_x, rows_y in itertools.islice(_rows(x, y, slim.get("batch_size", 1)), steps):
        if case == "curves-dcgan":
            losses.append(loop.step(x[rows_x], torch.randn(len(rows_x), dcgan_step.NOISE_DIM, device=on)))
        else:
            losses.append(loop.step(x[rows_x], y[rows_y]))
    return {name: _windows(curve) for name, curve in zip(names, zip(*losses))}


def _rows(x, y, batch_size):
    """Rows of minibatches of both, in a new order each time round, without end."""
    import torch

    while True:
        yield from zip(*(torch.randperm(len(part)).split(batch_size) for part in (x, y)))


def our_curves(case, seed, steps, on):
    from coursekit.trainers import CycleGANTrainer, DCGANTrainer

    trainer, names = {
        "curves-dcgan": (DCGANTrainer, ("loss_D", "loss_G")),
        "curves-cyclegan": (CycleGANTrainer, ("loss_G", "loss_D_X", "loss_D_Y")),
    }[case]
    x, y = ((part.cpu() + 1) / 2 for part in _images(case, on))
    trainer = trainer(**SLIM[case], seed=seed, device=on, precision="32-true")
    trainer.fit(x if case == "curves-dcgan" else (x, y), max_steps=steps, progress=False)
    return {name: _windows(trainer.history[name]) for name in names}


def _images(case, on):
    """X and Y in [-1, 1]: grey digits, or digits in two colourings."""
    from coursekit.data import load_images, load_unpaired, to_float

    if case == "curves-dcgan":
        sets = (load_images("digits"),) * 2
    else:
        sets = load_unpaired("coloured_digits")
    return [2 * to_float(part.images).to(on) - 1 for part in sets]


def _to(on, networks):
    return [network.to(on) for network in networks]


def _windows(curve):
    return [_mean(curve[start : start + WINDOW]) for start in range(0, len(curve) - WINDOW + 1, WINDOW)]


def _mean(values):
    values = list(values)
    return sum(values) / len(values)
