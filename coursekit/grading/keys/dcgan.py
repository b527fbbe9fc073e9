"""Reference answers and hidden cases of the exercises on DCGAN."""

import torch
from torch import nn

from coursekit.data import load_images, to_float
from coursekit.exercises import dcgan
from coursekit.exercises.tasks import Case
from coursekit.grading.key import Key, normal


def upsampled_size(m, kernel_size, stride, padding, output_padding):
    last_window_starts_at = (m - 1) * stride - padding
    return last_window_starts_at + kernel_size - padding + output_padding


def transposed_convolution(v, kernel, stride, padding, n):
    out = torch.zeros(n)
    for i, value in enumerate(v):
        for t, weight in enumerate(kernel):
            j = stride * i + t - padding
            if 0 <= j < n:
                out[j] += weight * value
    return out


def overlaps(kernel_size, stride):
    counts = [0] * stride
    for t in range(kernel_size):
        counts[t % stride] += 1
    return counts


def generator_block(c_in, c_out, last=False):
    layers = [nn.ConvTranspose2d(c_in, c_out, kernel_size=4, stride=2, padding=1, bias=bool(last))]
    layers += [nn.Tanh()] if last else [nn.BatchNorm2d(c_out), nn.ReLU()]
    return nn.Sequential(*layers)


def spherical(start, end, t):
    lengths = start.norm(dim=1, keepdim=True), end.norm(dim=1, keepdim=True)
    u, v = start / lengths[0], end / lengths[1]
    angle = 2 * torch.atan2((u - v).norm(dim=1, keepdim=True), (u + v).norm(dim=1, keepdim=True))
    same = angle < 1e-4
    safe = torch.where(same, torch.ones_like(angle), angle)
    first = torch.where(same, 1 - t, torch.sin((1 - t) * safe) / torch.sin(safe))
    second = torch.where(same, t, torch.sin(t * safe) / torch.sin(safe))
    return (first * u + second * v) * torch.lerp(*lengths, t)


def weights(numbers):
    noise_dim, width, channels = numbers["noise_dim"], numbers["width"], numbers["channels"]
    generator = nn.Sequential(
        nn.Linear(noise_dim, 2 * width * 7 * 7, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ConvTranspose2d(width, channels, 4, 2, 1),
    )
    return sum(weight.numel() for weight in generator.parameters())


def _draw(rng, low, high):
    """A whole number from `low` to `high`."""
    return int(rng.integers(low, high + 1))


def _hidden_upsampled_size(rng, numbers):
    cases = []
    for part, least in (("output_padding 0", 0), ("output_padding above 0", 1)):
        for _ in range(5):
            stride, padding = _draw(rng, 2, 5), _draw(rng, 1, 3)
            kernel_size = 2 * padding + _draw(rng, 1, 4)
            extra = _draw(rng, 1, stride - 1) if least else 0
            cases.append(Case((_draw(rng, 3, 20), kernel_size, stride, padding, extra), part=part))
    return [
        *cases,
        Case((_draw(rng, 4, 30), _draw(rng, 1, 7), 1, 0, 0), part="output_padding 0"),
        Case((1, _draw(rng, 2, 7), _draw(rng, 2, 5), 0, 0), part="output_padding 0"),
    ]


def _hidden_transposed_convolution(rng, numbers):
    def one(m, k, stride, padding, extra):
        n = (m - 1) * stride + k - 2 * padding + extra
        return (normal(rng, m), normal(rng, k), stride, padding, n)

    stride = _draw(rng, 2, 3)
    return [
        Case(one(_draw(rng, 3, 6), stride + _draw(rng, 1, 2), stride, 0, 0), part="no padding"),
        Case(one(_draw(rng, 3, 6), 4, 2, 0, 0), part="no padding"),
        Case(one(_draw(rng, 2, 5), 2, _draw(rng, 3, 4), 0, 0), part="no padding"),
        Case(one(_draw(rng, 3, 6), _draw(rng, 4, 6), 2, 1, 0), part="padding"),
        Case(one(_draw(rng, 4, 6), 5, _draw(rng, 2, 3), 2, 0), part="padding"),
        Case(one(_draw(rng, 4, 8), 3, 1, 1, 0), part="padding"),
        Case(one(_draw(rng, 3, 6), 5, 2, 2, 1), part="longer n"),
        Case(one(_draw(rng, 3, 5), 6, 3, _draw(rng, 1, 2), _draw(rng, 1, 2)), part="longer n"),
        Case(one(_draw(rng, 2, 5), 3, 3, 0, _draw(rng, 1, 2)), part="longer n"),
    ]


def _hidden_overlaps(rng, numbers):
    cases = []
    for _ in range(4):
        stride = _draw(rng, 3, 7)
        cases.append(Case((stride * _draw(rng, 1, 4) + _draw(rng, 1, stride - 1), stride), part="longer kernels"))
    for _ in range(2):
        stride = _draw(rng, 3, 9)
        cases.append(Case((_draw(rng, 2, stride - 1), stride), part="shorter and longer kernels"))
    stride = _draw(rng, 3, 8)
    return [
        *cases,
        Case((1, stride), part="shorter and longer kernels"),
        Case((2 * stride + 1, stride), part="shorter and longer kernels"),
        Case((stride * _draw(rng, 2, 4), stride), part="longer kernels"),
        Case((_draw(rng, 4, 9), 1), part="longer kernels"),
    ]


def _hidden_generator_block(rng, numbers):
    def one(last, n, side):
        c_in, c_out = _draw(rng, 2, 4), _draw(rng, 2, 4)
        tensors = [normal(rng, c_in, c_out, 4, 4, scale=0.3)]
        if last:
            tensors.append(normal(rng, c_out))
        else:
            tensors += [1 + normal(rng, c_out, scale=0.2), normal(rng, c_out), normal(rng, c_out)]
            tensors += [torch.tensor(rng.uniform(0.5, 2, size=c_out), dtype=torch.float32), torch.tensor(0)]
        return (c_in, c_out, last, tensors, normal(rng, n, c_in, side, side + 1))

    return [
        Case(one(False, _draw(rng, 3, 6), _draw(rng, 2, 4)), part="hidden block"),
        Case(one(False, _draw(rng, 3, 6), _draw(rng, 2, 4)), part="hidden block"),
        Case(one(True, _draw(rng, 2, 5), _draw(rng, 2, 4)), part="last block"),
        Case(one(True, 1, _draw(rng, 2, 4)), part="last block"),
    ]


def _hidden_spherical(rng, numbers):
    def share():
        return round(float(rng.uniform(0.15, 0.4)), 3)

    def along_an_axis(n, k):
        axis = torch.zeros(n, k)
        axis[torch.arange(n), torch.tensor(rng.integers(0, k, size=n))] = 1.0
        return [axis * torch.tensor(rng.uniform(0.5, 3, size=(n, 1)), dtype=torch.float32) for _ in range(2)]

    n, k = _draw(rng, 2, 6), _draw(rng, 3, 9)
    first, second = normal(rng, n, k), normal(rng, n, k, scale=3.0)
    one_way = along_an_axis(n, k)
    return [
        Case((first, second, share()), part="pairs"),
        Case((second, first, 1 - share()), part="pairs"),
        Case((normal(rng, 1, 100), normal(rng, 1, 100), share()), part="pairs"),
        Case((normal(rng, 2, 64), normal(rng, 2, 64), 0.5), part="pairs"),
        Case((first, second, 0.0), part="pairs"),
        Case((first, second, 1.0), part="pairs"),
        Case((*one_way, share()), part="the same direction"),
        Case((torch.cat([first, one_way[0]]), torch.cat([second, one_way[1]]), share()), part="the same direction"),
    ]


def _score(network, rng):
    images = to_float(load_images("digits", "test").images)
    scores = []
    for _ in range(4):
        chosen = torch.tensor(rng.permutation(len(images))[:300])
        scores.append(dcgan.likeness(network, int(rng.integers(1, 2**31)), images[chosen]))
    return sum(scores) / len(scores)


key = Key(
    dcgan.assignment,
    answers={
        "upsampled_size": upsampled_size,
        "transposed_convolution": transposed_convolution,
        "overlaps": overlaps,
        "generator_block": generator_block,
        "spherical": spherical,
        "weights": weights,
    },
    hidden={
        "upsampled_size": _hidden_upsampled_size,
        "transposed_convolution": _hidden_transposed_convolution,
        "overlaps": _hidden_overlaps,
        "generator_block": _hidden_generator_block,
        "spherical": _hidden_spherical,
    },
    solutions={
        "weights": """
K, w, C = numbers["noise_dim"], numbers["width"], numbers["channels"]
weights = K * 2 * w * 7 * 7 + 2 * 2 * w + 2 * w * w * 16 + 2 * w + w * C * 16 + C
""",
        "slim_dcgan": """
from coursekit.data import load_images
from coursekit.trainers import DCGANTrainer

digits = load_images("digits")
settings = dict(lr=1e-3, batch_size=64)
slim_dcgan = DCGANTrainer(width=8, noise_dim=16, device="cpu", **settings)
slim_dcgan.fit(digits, max_steps=250)
""",
    },
    scores={"slim_dcgan": _score},
)
