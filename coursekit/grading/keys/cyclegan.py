"""Reference answers and hidden cases of the exercises on CycleGAN."""

import torch
from torch import nn

from coursekit.exercises import cyclegan
from coursekit.exercises.tasks import Case
from coursekit.grading.key import Key, normal


def least_squares(scores_real, scores_fake):
    def distance(scores, aim):
        return nn.functional.mse_loss(scores, torch.full_like(scores, aim))

    return distance(scores_real, 1.0) + distance(scores_fake, 0.0), distance(scores_fake, 1.0)


def cycle_loss(G, F, x, y, lambda_cycle, lambda_identity):
    l1 = nn.functional.l1_loss
    there_and_back = l1(F(G(x)), x) + l1(G(F(y)), y)
    nothing_to_do = l1(G(y), y) + l1(F(x), x)
    return lambda_cycle * (there_and_back + lambda_identity * nothing_to_do)


class ImagePool:
    def __init__(self, size):
        self.size = size
        self.kept = []

    def query(self, images, numbers):
        shown = images.clone()
        for row in range(len(images)):
            u = float(numbers[row])
            if len(self.kept) < self.size:
                self.kept.append(images[row].clone())
            elif u >= 0.5 and self.size > 0:
                place = int((u - 0.5) * 2 * self.size)
                shown[row] = self.kept[place]
                self.kept[place] = images[row].clone()
        return shown


def patch_side(kernels, strides):
    side = 1
    for kernel, stride in zip(reversed(kernels), reversed(strides)):
        side = (side - 1) * stride + kernel
    return side


def learning_rate(numbers):
    last_full = numbers["epochs"] - numbers["decay_epochs"]
    first_without = numbers["epochs"] + 1
    return numbers["lr"] * (first_without - numbers["epoch"]) / (first_without - last_full)


def _draw(rng, low, high):
    """A whole number from `low` to `high`."""
    return int(rng.integers(low, high + 1))


def _hidden_least_squares(rng, numbers):
    def scores(n, *shape):
        return (0.5 + normal(rng, n, *shape), 0.3 + normal(rng, n + _draw(rng, 1, 4), *shape))

    cases = []
    for which, part in ((0, "L_D"), (1, "L_G")):
        cases += [Case(scores(_draw(rng, 2, 7)), {"which": which}, part=part) for _ in range(2)]
        shape = (1, _draw(rng, 2, 5), _draw(rng, 2, 5))
        cases.append(Case(scores(_draw(rng, 1, 3), *shape), {"which": which}, part=part))
        cases.append(Case((normal(rng, 5, 1, 3, 3), normal(rng, 1, 1, 2, 4)), {"which": which}, part=part))
    return cases


def _hidden_cycle_loss(rng, numbers):
    def one(with_identity):
        channels, n = _draw(rng, 1, 3), _draw(rng, 1, 3)
        sides = _draw(rng, 1, 3), _draw(rng, 2, 3)
        x, y = (torch.tensor(rng.uniform(-1, 1, size=(m, channels, *sides))).float() for m in (n, n + _draw(rng, 1, 2)))
        networks = [[normal(rng, channels, channels, 1, 1), normal(rng, channels)] for _ in range(2)]
        weights = round(float(rng.uniform(2, 12)), 2), round(float(rng.uniform(0.2, 2)), 2) if with_identity else 0.0
        return (x, y, *weights, *networks)

    alone, both = {"gradients": False}, {"gradients": True}
    return [
        *(Case(one(with_identity=False), alone, part="cycle") for _ in range(3)),
        *(Case(one(with_identity=True), alone, part="identity") for _ in range(3)),
        Case(one(with_identity=False), both, part="gradients"),
        Case(one(with_identity=True), both, part="gradients"),
        Case(one(with_identity=True), both, part="gradients"),
    ]


def _hidden_pool(rng, numbers):
    shape = (_draw(rng, 1, 3), _draw(rng, 1, 2), _draw(rng, 2, 3))

    def heads():
        return float(rng.uniform(0.02, 0.48))

    def tails(place, size):
        """A number for this place, away from the borders to its neighbours."""
        return 0.5 + (place + float(rng.uniform(0.2, 0.8))) / (2 * size)

    def query(*drawn):
        return [normal(rng, len(drawn), *shape), torch.tensor(drawn, dtype=torch.float64)]

    def swaps(size):
        """One by one: filled with heads and tails, then the same place twice, heads, another place."""
        place = _draw(rng, 1, size - 1)
        filling = [query(heads() if i % 2 == 0 else tails(0, size)) for i in range(size)]
        return (
            size,
            [
                *filling,
                query(tails(place, size)),
                query(tails(place, size)),
                query(heads()),
                query(tails(0, size)),
                query(tails(place, size)),
            ],
        )

    def in_batches(size):
        """The same with several images a query; the pool gets full within one."""
        place = _draw(rng, 1, size - 1)
        return (
            size,
            [
                query(heads(), tails(0, size)),
                query(*(heads() if i % 2 else tails(size - 1, size) for i in range(size - 1)), tails(place, size)),
                query(tails(place, size), heads(), tails(place, size), tails(0, size), tails(place, size)),
                query(heads(), tails(0, size)),
            ],
        )

    def filling():
        size = _draw(rng, 5, 8)
        return (size, [query(tails(1, size), heads()), query(heads(), tails(2, size), heads())])

    return [
        Case(swaps(_draw(rng, 2, 3)), part="one image at a time"),
        Case(swaps(_draw(rng, 4, 6)), part="one image at a time"),
        Case(filling(), part="one image at a time"),
        Case(in_batches(_draw(rng, 3, 4)), part="several at once"),
        Case(in_batches(_draw(rng, 5, 6)), part="several at once"),
        Case((1, [query(heads(), tails(0, 1)), query(heads(), tails(0, 1), tails(0, 1))]), part="sizes 0, 1 and 3"),
        Case((0, [query(tails(0, 1), heads()), query(tails(0, 1))]), part="sizes 0, 1 and 3"),
        Case(swaps(3), part="sizes 0, 1 and 3"),
    ]


def _hidden_patch_side(rng, numbers):
    def chain(layers):
        return [_draw(rng, 2, 7) for _ in range(layers)], [_draw(rng, 1, 3) for _ in range(layers)]

    halvings = _draw(rng, 4, 6)
    return [
        *(Case(chain(_draw(rng, 2, 6)), part="chains") for _ in range(4)),
        Case(([_draw(rng, 2, 4), 3, 6], [3, 2, 1]), part="chains"),
        Case(([4] * (halvings + 2), [2] * halvings + [1, 1]), part="chains"),
        Case(([_draw(rng, 2, 9)], [_draw(rng, 2, 4)]), part="edges"),
        Case(([1, _draw(rng, 2, 5), 1, 3], [2, 3, 2, 1]), part="edges"),
        Case(([_draw(rng, 2, 5) for _ in range(4)], [1, 1, 1, 1]), part="edges"),
    ]


def _score(network, rng):
    x, y = cyclegan.held_out_pairs()
    scores = []
    for _ in range(3):
        chosen = torch.tensor(rng.permutation(len(x))[:300])
        shift = (_draw(rng, -2, 2), _draw(rng, -2, 2))
        scores.append(cyclegan.found(network, *(part[chosen].roll(shift, dims=(2, 3)) for part in (x, y))))
    return sum(scores) / len(scores)


key = Key(
    cyclegan.assignment,
    answers={
        "least_squares": least_squares,
        "cycle_loss": cycle_loss,
        "ImagePool": ImagePool,
        "patch_side": patch_side,
        "learning_rate": learning_rate,
    },
    hidden={
        "least_squares": _hidden_least_squares,
        "cycle_loss": _hidden_cycle_loss,
        "ImagePool": _hidden_pool,
        "patch_side": _hidden_patch_side,
    },
    solutions={
        "learning_rate": """
into_decay = numbers["epoch"] - (numbers["epochs"] - numbers["decay_epochs"])
learning_rate = numbers["lr"] * (1 - into_decay / (numbers["decay_epochs"] + 1))
""",
        "open_solutions": r"""
$G(x)$ with uniform $x$ gives the point $y$ the mass (number of points that go to $y$) $/\, n$. At the best $D_Y$ the loss of
$G$ is least only if this is the distribution of $Y$, so exactly one point goes to each $y$: $G$ is a bijection, one of $n!$.
The loss of $F$ says the same of $F$, and neither loss knows the other network: $n! \cdot n!$ pairs.

The cycle loss is 0 exactly if $F(G(x)) = x$ and $G(F(y)) = y$ everywhere. So $F = G^{-1}$, and $G$ leaves no choice for $F$.
Any of the $n!$ bijections has an inverse and so a cycle loss of 0, and the adversarial losses stay least, as both maps are
bijections.

A cycle loss of 0 says that $F$ undoes $G$, and not that $G(x)$ is the zebra that belongs to this horse. What picks one of the
$n!$ is what the network can easily be, and the identity loss, if it is used. Only known pairs can tell whether it is right.
""",
        "translator": """
from coursekit.data import load_unpaired
from coursekit.networks.dcgan import normal_weights
from coursekit.trainers import CycleGANTrainer


def network():
    layers = [nn.Conv2d(3, 16, 3, padding=1, padding_mode="reflect"), nn.ReLU(), nn.Conv2d(16, 3, 1), nn.Tanh()]
    return normal_weights(nn.Sequential(*layers), 0.02)


torch.manual_seed(0)
pair = load_unpaired("coloured_digits")
settings = dict(norm="none", discriminator_width=8, discriminator_layers=1, batch_size=8, lr=1e-3)
translator = CycleGANTrainer(G=network(), F=network(), device="cpu", **settings)
translator.fit(pair, max_steps=150)
""",
    },
    scores={"translator": _score},
)
