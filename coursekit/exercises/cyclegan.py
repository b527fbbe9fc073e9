"""Graded exercises on CycleGAN."""

import torch
from torch import nn

from coursekit.data import load_unpaired, to_float
from coursekit.exercises.gan_practice import waves
from coursekit.exercises.tasks import (
    ArtefactTask,
    Assignment,
    Case,
    FunctionTask,
    Misconception,
    TextTask,
    ValueTask,
)
from coursekit.metrics import retrieval_accuracy
from coursekit.networks.dcgan import normal_weights

# -- least squares ---------------------------------------------------------------------------------


def _pair(subject, scores_real, scores_fake, which=None):
    """The two losses, or one of them alone."""
    losses = subject(scores_real, scores_fake)
    is_pair = isinstance(losses, list) and len(losses) == 2
    return losses[which] if which is not None and is_pair else losses


def _squares_cases():
    return [
        Case((torch.tensor([0.8, 1.1]), torch.tensor([0.3, -0.1])), note="worked by hand in the chapter"),
        Case((torch.tensor([0.5]), torch.tensor([0.5, 2.0, -1.0])), note="one image, three translations"),
        Case(
            (torch.tensor([[[[0.9, 1.2], [0.4, 1.0]]]]), torch.tensor([[[[0.1, 0.6], [-0.2, 0.0]]]])),
            note="one image of four patches each",
        ),
    ]


def _squares_of_sigmoid(scores_real, scores_fake):
    d_real, d_fake = torch.sigmoid(scores_real), torch.sigmoid(scores_fake)
    return ((d_real - 1) ** 2).mean() + (d_fake**2).mean(), ((d_fake - 1) ** 2).mean()


def _squares_halved(scores_real, scores_fake):
    return (((scores_real - 1) ** 2).mean() + (scores_fake**2).mean()) / 2, ((scores_fake - 1) ** 2).mean()


def _squares_summed(scores_real, scores_fake):
    return ((scores_real - 1) ** 2).sum() + (scores_fake**2).sum(), ((scores_fake - 1) ** 2).sum()


def _squares_of_means(scores_real, scores_fake):
    return (scores_real.mean() - 1) ** 2 + scores_fake.mean() ** 2, (scores_fake.mean() - 1) ** 2


def _squares_swapped(scores_real, scores_fake):
    return (scores_real**2).mean() + ((scores_fake - 1) ** 2).mean(), ((scores_fake - 1) ** 2).mean()


def _squares_to_zero(scores_real, scores_fake):
    return ((scores_real - 1) ** 2).mean() + (scores_fake**2).mean(), (scores_fake**2).mean()


def _squares_minus(scores_real, scores_fake):
    return ((scores_real - 1) ** 2).mean() + (scores_fake**2).mean(), -(scores_fake**2).mean()


def _squares_absolute(scores_real, scores_fake):
    return (scores_real - 1).abs().mean() + scores_fake.abs().mean(), (scores_fake - 1).abs().mean()


least_squares = FunctionTask(
    "least_squares",
    title="Squares in place of logarithms",
    points=15,
    prompt=r"""
CycleGAN's discriminators give plain scores, without a sigmoid, one for each patch. $D_Y$ wants 1 on images of $Y$ and 0 on translations $G(x)$; $G$ wants 1 on its translations. Write the two losses, both minimised:

$$
L_D = \mathbb{E}_y\bigl[ (D_Y(y) - 1)^2 \bigr] + \mathbb{E}_x\bigl[ D_Y(G(x))^2 \bigr], \qquad
L_G = \mathbb{E}_x\bigl[ (D_Y(G(x)) - 1)^2 \bigr] .
$$

`scores_real` is $D_Y(y)$ and `scores_fake` is $D_Y(G(x))$, of any shape, such as (n, 1, h, w) and (m, 1, h, w); $n$ and $m$ may differ. Expectations are means over all scores, of all images and patches. Return the pair `(loss_D, loss_G)`, two scalars.
""",
    starter='''
def least_squares(scores_real, scores_fake):
    """What D and G minimise, (loss_D, loss_G)."""
    loss_D = ...
    loss_G = ...
    return loss_D, loss_G
''',
    cases=_squares_cases,
    hints=(
        "Three terms, each a squared distance from a number, and a mean of its own.",
        "First the square of each score's distance, then the mean.",
        "Test yourself: scores of ½ everywhere must give 0.5 and 0.25.",
    ),
    misconceptions=(
        Misconception(
            "sigmoid",
            "You put the scores through a sigmoid. Least squares wants plain scores: with a sigmoid, D can never reach its "
            "aims of 0 and 1.",
            _squares_of_sigmoid,
        ),
        Misconception(
            "half-the-sum",
            "Your L_D is half of what is asked. The factor ½ of the paper belongs to the training step, and with Adam it "
            "hardly matters.",
            _squares_halved,
        ),
        Misconception(
            "sums-for-means",
            "You summed over scores. Means are asked, so that neither the batch nor the number of patches sets the weight.",
            _squares_summed,
        ),
        Misconception(
            "square-of-the-mean",
            "You square after the mean. Then a patch at 2 and one at 0 would count as two at 1: square each score first.",
            _squares_of_means,
        ),
        Misconception(
            "codes-swapped",
            "Your D aims at 0 on data and at 1 on translations. It is the other way round.",
            _squares_swapped,
        ),
        Misconception(
            "G-aims-at-zero",
            "Your G wants its translations to score 0. That is D's aim for them. G wants 1.",
            _squares_to_zero,
        ),
        Misconception(
            "minus-the-loss-of-D",
            "Your L_G is minus D's term on translations. It has no minimum: scores would run away. G aims at 1.",
            _squares_minus,
        ),
        Misconception(
            "absolute-values",
            "You take absolute values. The adversarial losses are squares; the absolute value belongs to the cycle.",
            _squares_absolute,
        ),
    ),
    implementations=(
        "coursekit.losses.cyclegan.least_squares_discriminator",
        "coursekit.losses.cyclegan.least_squares_generator",
    ),
    probe=_pair,
)

# -- cycle and identity ----------------------------------------------------------------------------


def _way_and_back(subject, x, y, lambda_cycle, lambda_identity, weights_G, weights_F, gradients=True):
    """The loss for two small networks, and its gradients in both."""
    layers = [["Conv2d", weights_G[0].shape[1], weights_G[0].shape[0], 1], ["Tanh"]]
    G, F = subject.build(layers, weights_G), subject.build(layers, weights_F)
    if not gradients:
        return subject(G, F, x, y, lambda_cycle, lambda_identity)
    loss, (into_G, into_F) = subject.gradients([G, F, x, y, lambda_cycle, lambda_identity], of=[0, 1])
    return {"loss": loss, "gradient in G": into_G, "gradient in F": into_F}


def _cycle_cases():
    G = [torch.tensor([[[[1.5]]]]), torch.tensor([0.2])]
    F = [torch.tensor([[[[0.8]]]]), torch.tensor([-0.1])]
    x, y = torch.tensor([[[[0.5, -0.4]]]]), torch.tensor([[[[0.9, -0.7]]], [[[0.1, 0.3]]]])
    wide = [waves(2, 2, 1, 1, start=0.4), waves(2, start=1.5)], [waves(2, 2, 1, 1, start=2.6), waves(2, start=0.7)]
    return [
        Case((x, y, 1.0, 0.0, G, F), note="one image of two pixels in X, two in Y; the cycle alone, with weight 1"),
        Case((x, y, 10.0, 0.0, G, F), note="the weight of the paper"),
        Case((x, y, 10.0, 0.5, G, F), note="with the identity loss"),
        Case(
            (waves(1, 2, 1, 2, start=0.3), waves(1, 2, 1, 2, start=1.1), 5.0, 0.2, *wide),
            note="images of two channels",
        ),
    ]


def _cycle_one_way(G, F, x, y, lambda_cycle, lambda_identity):
    cycle = (F(G(x)) - x).abs().mean()
    same = (G(y) - y).abs().mean() + (F(x) - x).abs().mean()
    return lambda_cycle * cycle + lambda_cycle * lambda_identity * same


def _cycle_squares(G, F, x, y, lambda_cycle, lambda_identity):
    cycle = ((F(G(x)) - x) ** 2).mean() + ((G(F(y)) - y) ** 2).mean()
    same = ((G(y) - y) ** 2).mean() + ((F(x) - x) ** 2).mean()
    return lambda_cycle * cycle + lambda_cycle * lambda_identity * same


def _cycle_sums(G, F, x, y, lambda_cycle, lambda_identity):
    cycle = (F(G(x)) - x).abs().sum() + (G(F(y)) - y).abs().sum()
    same = (G(y) - y).abs().sum() + (F(x) - x).abs().sum()
    return lambda_cycle * cycle + lambda_cycle * lambda_identity * same


def _cycle_wrong_order(G, F, x, y, lambda_cycle, lambda_identity):
    cycle = (G(F(x)) - x).abs().mean() + (F(G(y)) - y).abs().mean()
    same = (G(y) - y).abs().mean() + (F(x) - x).abs().mean()
    return lambda_cycle * cycle + lambda_cycle * lambda_identity * same


def _cycle_own_domain(G, F, x, y, lambda_cycle, lambda_identity):
    cycle = (F(G(x)) - x).abs().mean() + (G(F(y)) - y).abs().mean()
    same = (G(x) - x).abs().mean() + (F(y) - y).abs().mean()
    return lambda_cycle * cycle + lambda_cycle * lambda_identity * same


def _cycle_mu_alone(G, F, x, y, lambda_cycle, lambda_identity):
    cycle = (F(G(x)) - x).abs().mean() + (G(F(y)) - y).abs().mean()
    same = (G(y) - y).abs().mean() + (F(x) - x).abs().mean()
    return lambda_cycle * cycle + lambda_identity * same


def _cycle_detached(G, F, x, y, lambda_cycle, lambda_identity):
    cycle = (F(G(x).detach()) - x).abs().mean() + (G(F(y).detach()) - y).abs().mean()
    same = (G(y) - y).abs().mean() + (F(x) - x).abs().mean()
    return lambda_cycle * cycle + lambda_cycle * lambda_identity * same


def _cycle_halved(G, F, x, y, lambda_cycle, lambda_identity):
    cycle = ((F(G(x)) - x).abs().mean() + (G(F(y)) - y).abs().mean()) / 2
    same = ((G(y) - y).abs().mean() + (F(x) - x).abs().mean()) / 2
    return lambda_cycle * cycle + lambda_cycle * lambda_identity * same


cycle_loss = FunctionTask(
    "cycle_loss",
    title="There and back, and nothing to do",
    points=20,
    prompt=r"""
`G` translates from $X$ to $Y$ and `F` from $Y$ to $X$. Both are modules on images (N, C, H, W). Return what the cycle and the identity loss add to the objective of $G$ and $F$, a scalar,

$$
\lambda \, L_{\text{cyc}} + \lambda \, \mu \, L_{\text{id}}, \qquad \lambda = \texttt{lambda\_cycle}, \quad \mu = \texttt{lambda\_identity} .
$$

- $L_{\text{cyc}}$: translated there and back, an image should be where it was. There is a term for the way from $X$ and one for the way from $Y$.
- $L_{\text{id}}$: shown an image that is in its target domain already, a translator should leave it alone. A term for $G$ and one for $F$.

Each of the four terms is a mean absolute difference, over images, channels and pixels; each $L$ is the sum of its two. The gradient of what you return must reach `G` and `F` through every term in which they occur. (Inside this function `F` is the translator and hides `torch.nn.functional`; write `nn.functional.`) `x` and `y` may hold different numbers of images.
""",
    starter='''
def cycle_loss(G, F, x, y, lambda_cycle, lambda_identity):
    """Weighted sum of the cycle loss and the identity loss of G: X -> Y and F: Y -> X, a scalar."""
    return ...
''',
    cases=_cycle_cases,
    hints=(
        "Which network sees x first on the way there and back? Write that term, and then the one from Y.",
        "For the identity: which images are in G's target domain?",
        "The identity loss has the product of both weights. No detach anywhere: the cycle is a loss of both networks.",
    ),
    misconceptions=(
        Misconception(
            "one-way-only",
            "Your cycle runs from X only. A G that merges two images of Y has no way back: there is a term from Y as well.",
            _cycle_one_way,
        ),
        Misconception(
            "squared-differences",
            "You square the differences. The cycle and the identity loss are mean absolute differences.",
            _cycle_squares,
        ),
        Misconception(
            "sums-for-means",
            "You summed over pixels and images. Means are asked, so that the weight does not depend on the size of an image.",
            _cycle_sums,
        ),
        Misconception(
            "wrong-way-round",
            "You show x to F first and y to G. From X the way there is G, and the way back is F: F(G(x)).",
            _cycle_wrong_order,
        ),
        Misconception(
            "identity-on-the-wrong-domain",
            "Your identity loss asks G to leave images of X alone, which is to translate nothing. It is shown y, an image "
            "of its target domain.",
            _cycle_own_domain,
        ),
        Misconception(
            "identity-without-lambda",
            "Your identity loss has the weight μ. lambda_identity is a share of the cycle's weight: λ μ.",
            _cycle_mu_alone,
        ),
        Misconception(
            "detach-in-the-cycle",
            "You detach the translation before it goes back. The cycle is a loss of both networks: G has to translate so "
            "that F can undo it.",
            _cycle_detached,
        ),
        Misconception(
            "averaged-over-the-ways",
            "You average over the two ways. Each loss is the sum of its two terms.",
            _cycle_halved,
        ),
    ),
    implementations=("coursekit.losses.cyclegan.cycle_consistency", "coursekit.losses.cyclegan.identity"),
    probe=_way_and_back,
    rtol=1e-3,
    atol=1e-5,
)

# -- the pool --------------------------------------------------------------------------------------


def _pool(subject, size, queries):
    """What a pool shows to one query after another, each of images and of random numbers.

    Images of one pixel are given, and seen, as that pixel: (n,) stands for (n, 1, 1, 1).
    """
    pool, shown = subject.new(size), []
    for images, numbers in queries:
        of_one_pixel = images.dim() == 1
        found = pool.method("query", images[:, None, None, None] if of_one_pixel else images, numbers)
        is_like_images = isinstance(found, torch.Tensor) and found.shape == (len(images), 1, 1, 1)
        shown.append(found.flatten() if of_one_pixel and is_like_images else found)
    return shown


def _pool_cases():
    def query(values, numbers):
        return [torch.tensor(values, dtype=torch.float32), torch.tensor(numbers)]

    return [
        Case(
            (3, [query((1,), (0.9,)), query((2, 3), (0.1, 0.7))]),
            note="images of one pixel, with values 1, 2 and 3; not full yet: every image is stored and shown",
        ),
        Case((2, [query((1, 2), (0.3, 0.8)), query((3,), (0.2,)), query((4,), (0.4,))]), note="full; heads twice"),
        Case(
            (2, [query((1, 2), (0.3, 0.8)), query((3,), (0.85,)), query((4,), (0.9,)), query((5,), (0.6,))]),
            note="full; tails for place 1, again for place 1, then for place 0",
        ),
        Case((1, [query((1, 2, 3, 4), (0.2, 0.7, 0.1, 0.9))]), note="four images at once, a pool of one"),
        Case((0, [query((1, 2), (0.9, 0.3))]), note="a pool of size 0"),
    ]


class _PoolKeepsOld:
    def __init__(self, size):
        self.size, self.images = size, []

    def query(self, images, numbers):
        shown = []
        for image, number in zip(images, numbers.tolist()):
            if len(self.images) < self.size:
                self.images.append(image)
                shown.append(image)
            elif number < 0.5 or not self.size:
                shown.append(image)
            else:
                shown.append(self.images[int((number - 0.5) * 2 * self.size)])
        return torch.stack(shown)


class _PoolShowsNew:
    def __init__(self, size):
        self.size, self.images = size, []

    def query(self, images, numbers):
        for image, number in zip(images, numbers.tolist()):
            if len(self.images) < self.size:
                self.images.append(image)
            elif number >= 0.5 and self.size:
                self.images[int((number - 0.5) * 2 * self.size)] = image
        return images


class _PoolCoinReversed:
    def __init__(self, size):
        self.size, self.images = size, []

    def query(self, images, numbers):
        shown = []
        for image, number in zip(images, numbers.tolist()):
            if len(self.images) < self.size:
                self.images.append(image)
                shown.append(image)
            elif number >= 0.5 or not self.size:
                shown.append(image)
            else:
                place = int(number * 2 * self.size)
                shown.append(self.images[place])
                self.images[place] = image
        return torch.stack(shown)


class _PoolWithoutCoin:
    def __init__(self, size):
        self.size, self.images = size, []

    def query(self, images, numbers):
        shown = []
        for image, number in zip(images, numbers.tolist()):
            if len(self.images) < self.size:
                self.images.append(image)
                shown.append(image)
            elif not self.size:
                shown.append(image)
            else:
                place = int(number * self.size)
                shown.append(self.images[place])
                self.images[place] = image
        return torch.stack(shown)


class _PoolTossesAtOnce:
    def __init__(self, size):
        self.size, self.images = size, []

    def query(self, images, numbers):
        shown = []
        for image, number in zip(images, numbers.tolist()):
            if number < 0.5 or not self.size:
                shown.append(image)
            elif len(self.images) < self.size:
                self.images.append(image)
                shown.append(image)
            else:
                place = int((number - 0.5) * 2 * self.size)
                shown.append(self.images[place])
                self.images[place] = image
        return torch.stack(shown)


class _PoolOldestLeaves:
    def __init__(self, size):
        self.size, self.images = size, []

    def query(self, images, numbers):
        shown = []
        for image, number in zip(images, numbers.tolist()):
            if len(self.images) < self.size:
                self.images.append(image)
                shown.append(image)
            elif number < 0.5 or not self.size:
                shown.append(image)
            else:
                shown.append(self.images[int((number - 0.5) * 2 * self.size)])
                self.images = [*self.images[1:], image]
        return torch.stack(shown)


class _PoolReadsFirst:
    def __init__(self, size):
        self.size, self.images = size, []

    def query(self, images, numbers):
        shown, stored = [], list(self.images)
        for image, number in zip(images, numbers.tolist()):
            if len(self.images) < self.size:
                self.images.append(image)
                stored.append(image)
                shown.append(image)
            elif number < 0.5 or not self.size:
                shown.append(image)
            else:
                place = int((number - 0.5) * 2 * self.size)
                shown.append(stored[place])
                self.images[place] = image
        return torch.stack(shown)


class _PoolNeedsSize:
    def __init__(self, size):
        self.size, self.images = size, []

    def query(self, images, numbers):
        shown = []
        for image, number in zip(images, numbers.tolist()):
            if len(self.images) < self.size:
                self.images.append(image)
                shown.append(image)
            elif number < 0.5:
                shown.append(image)
            else:
                place = int((number - 0.5) * 2 * self.size)
                shown.append(self.images[place])
                self.images[place] = image
        return torch.stack(shown)


ImagePool = FunctionTask(
    "ImagePool",
    title="A pool of fifty",
    points=20,
    prompt=r"""
CycleGAN's discriminators are shown a history of translations. Write the class `ImagePool` that keeps it:

- `ImagePool(size)` makes an empty pool for up to `size` images;
- `query(images, numbers)` takes images (n, C, H, W) and as many random numbers in $[0, 1)$, shape (n,). It returns the n images that D is shown, (n, C, H, W).

It deals with the images *in turn*, each with its own number $u$:

- while the pool is not full, the image is stored and shown, whatever $u$ is;
- once it is full: if $u < 0.5$ the image is shown, and the pool stays as it is. Otherwise the image at place $\lfloor (u - 0.5) \cdot 2 \cdot \text{size} \rfloor$ of the pool is shown, and the new one takes its place.

Places count from 0 in the order in which the pool was filled. A pool of size 0 shows every image and keeps none.
""",
    starter='''
class ImagePool:
    """Up to `size` earlier images; query shows new ones or swaps them for old ones."""

    def __init__(self, size):
        self.size = size

    def query(self, images, numbers):
        """Images (n, C, H, W) to show in place of `images`, by the random `numbers` (n,)."""
        return ...
''',
    cases=_pool_cases,
    hints=(
        "A list is a good pool. Go through zip(images, numbers), and collect what is shown; torch.stack makes one tensor of "
        "it.",
        "Three branches for each image: not full, heads, tails. Which of them change the pool?",
        "For tails, take the old image out before you write the new one to its place. And what if size is 0?",
    ),
    misconceptions=(
        Misconception(
            "never-replaced",
            "With tails you show an old image and leave it in the pool. The new one takes its place, or the pool never "
            "changes once it is full.",
            _PoolKeepsOld,
        ),
        Misconception(
            "always-the-new-one",
            "You show every new image itself. With tails D sees the old one from the pool; that is what the pool is for.",
            _PoolShowsNew,
        ),
        Misconception(
            "coin-reversed",
            "You swap when u is below 0.5 and show the new image otherwise. It is the other way round.",
            _PoolCoinReversed,
        ),
        Misconception(
            "no-coin",
            "Once your pool is full, you swap every image. Half of them, those with u < 0.5, are shown as they are.",
            _PoolWithoutCoin,
        ),
        Misconception(
            "coin-before-it-is-full",
            "You toss the coin while the pool is still being filled. Until it is full, every image is stored and shown.",
            _PoolTossesAtOnce,
        ),
        Misconception(
            "oldest-leaves",
            "You throw out the oldest image and put the new one at the end. The new one takes the place of the one that is "
            "shown.",
            _PoolOldestLeaves,
        ),
        Misconception(
            "not-in-turn",
            "Within one query you read the pool as it was at the start. Images are dealt with in turn: a later one may get "
            "one that was stored just before.",
            _PoolReadsFirst,
        ),
        Misconception(
            "size-zero",
            "With size 0 there is no image to swap with, and your code looks for one. Such a pool shows every new image.",
            _PoolNeedsSize,
        ),
    ),
    implementations=("coursekit.trainers.pool.ImagePool",),
    probe=_pool,
)

# -- what one score sees ---------------------------------------------------------------------------


def _field_cases():
    return [
        Case(([4, 4, 4, 4, 4], [2, 2, 2, 1, 1]), note="the paper's discriminator"),
        Case(([4, 4, 4], [2, 1, 1]), note="with one halving"),
        Case(([3], [2]), note="one layer"),
        Case(([3, 5, 3], [1, 2, 3]), note="kernels of different sizes"),
        Case(([7, 1], [1, 2]), note="the last layer sees one place"),
    ]


def _field_without_strides(kernels, strides):
    return 1 + sum(kernel - 1 for kernel in kernels)


def _field_own_stride(kernels, strides):
    field, jump = 1, 1
    for kernel, stride in zip(kernels, strides):
        jump *= stride
        field += (kernel - 1) * jump
    return field


def _field_whole_kernels(kernels, strides):
    field, jump = 0, 1
    for kernel, stride in zip(kernels, strides):
        field += kernel * jump
        jump *= stride
    return field


def _field_backwards(kernels, strides):
    field, jump = 1, 1
    for kernel, stride in zip(kernels[::-1], strides[::-1]):
        field += (kernel - 1) * jump
        jump *= stride
    return field


def _field_last_stride(kernels, strides):
    field, before = 1, 1
    for kernel, stride in zip(kernels, strides):
        field += (kernel - 1) * before
        before = stride
    return field


def _field_without_one(kernels, strides):
    field, jump = 0, 1
    for kernel, stride in zip(kernels, strides):
        field += (kernel - 1) * jump
        jump *= stride
    return field


patch_side = FunctionTask(
    "patch_side",
    title="What one score sees",
    points=10,
    prompt=r"""
A chain of convolutions has kernels $k_1, \dots, k_L$ and strides $s_1, \dots, s_L$, from the image on. One number of its output depends on a square of the image. How many pixels has its side, if the image is large enough?

`kernels` and `strides` are lists of whole numbers. Return a whole number.
""",
    starter='''
def patch_side(kernels, strides):
    """Side in pixels of the square that one output of a chain of convolutions sees, an int."""
    return ...
''',
    cases=_field_cases,
    hints=(
        "Go backwards: one output sees k_L values of the layer before. How many of the layer before that do r neighbouring "
        "values see?",
        "Neighbouring windows are s apart. So r of them cover (r − 1) · s + k places.",
        "Test yourself: five layers of 4 with strides 2, 2, 2, 1, 1 see 70.",
    ),
    misconceptions=(
        Misconception(
            "strides-left-out",
            "Your result does not depend on the strides. Behind a layer of stride 2, neighbouring values lie two pixels "
            "apart: each later layer sees twice as far.",
            _field_without_strides,
        ),
        Misconception(
            "own-stride-counted",
            "You multiply each k − 1 by the layer's own stride as well. How far its window reaches depends on the strides "
            "before it only.",
            _field_own_stride,
        ),
        Misconception(
            "whole-kernels",
            "You add whole kernels. Neighbouring windows overlap: a layer widens the field by k − 1 steps, starting from 1.",
            _field_whole_kernels,
        ),
        Misconception(
            "from-the-wrong-end",
            "You multiply by the strides behind each layer. Those before it count, from the image on.",
            _field_backwards,
        ),
        Misconception(
            "one-stride-back",
            "You multiply by the stride of one layer before. The strides of all layers before multiply.",
            _field_last_stride,
        ),
        Misconception(
            "one-too-few",
            "You are one pixel short. Without any layer, an output sees one pixel: start from 1.",
            _field_without_one,
        ),
    ),
    implementations=("coursekit.networks.cyclegan.receptive_field",),
)

# -- the schedule ----------------------------------------------------------------------------------


def draw_numbers(rng):
    """Numbers of the value task: a schedule, and an epoch in its falling part."""
    decay_epochs = int(rng.integers(20, 101))
    constant = int(rng.integers(20, 101))
    into_decay = int(rng.integers(decay_epochs // 4 + 1, 2 * decay_epochs // 5 + 1))  # not half-way
    return {
        "lr": (0.0002, 0.0004, 0.0006, 0.001)[rng.integers(4)],
        "epochs": constant + decay_epochs,
        "decay_epochs": decay_epochs,
        "epoch": constant + into_decay,
    }


def _into(n):
    return n["epoch"] - (n["epochs"] - n["decay_epochs"])


learning_rate = ValueTask(
    "learning_rate",
    title="The rate falls in a line",
    points=10,
    prompt=r"""
A CycleGAN is trained for `epochs` epochs in all, counted 1, 2, 3, … The learning rate is `lr` at first. In the last `decay_epochs` of them it falls by the same amount from one epoch to the next: the first of these epochs already has a smaller rate, and the rate would be 0 in epoch `epochs` + 1, which is not run. So no epoch is wasted on a rate of 0.

What is the rate in epoch number `epoch`? All four are in `numbers`. Assign it to `learning_rate`.
""",
    starter="""
learning_rate = ...
""",
    hints=(
        "Which is the last epoch at the full rate? Which is the first that would have none? How many steps lie between them?",
        "From the full rate to 0 there are decay_epochs + 1 equal steps.",
        "Try it on a small case: epochs = 3, decay_epochs = 1. The rates are 1, 1 and ½ times lr.",
    ),
    misconceptions=(
        Misconception(
            "zero-in-the-last-epoch",
            "Your rate is 0 in the last epoch, which would then change nothing. It reaches 0 one epoch later: there are "
            "decay_epochs + 1 steps.",
            lambda n: n["lr"] * (1 - _into(n) / n["decay_epochs"]),
        ),
        Misconception(
            "counted-from-zero",
            "You are one epoch late: your first epoch of the fall still has the full rate. Epochs count from 1 here, and that "
            "one already has less.",
            lambda n: n["lr"] * (1 - (_into(n) - 1) / (n["decay_epochs"] + 1)),
        ),
        Misconception(
            "late-and-short",
            "Your fall starts one epoch late, with the full rate in its first epoch. The first of the last decay_epochs already "
            "has a smaller one.",
            lambda n: n["lr"] * (1 - (_into(n) - 1) / n["decay_epochs"]),
        ),
        Misconception(
            "falls-from-the-start",
            "Your rate falls from the first epoch on. It is constant until the last decay_epochs.",
            lambda n: n["lr"] * (1 - n["epoch"] / (n["epochs"] + 1)),
        ),
        Misconception(
            "constant",
            "This is the rate at the start. Your epoch lies in the part where it falls.",
            lambda n: n["lr"],
        ),
        Misconception(
            "share-that-is-gone",
            "This is what has been taken off the rate, not what is left.",
            lambda n: n["lr"] * _into(n) / (n["decay_epochs"] + 1),
        ),
    ),
    rtol=5e-4,
)

# -- in words --------------------------------------------------------------------------------------

open_solutions = TextTask(
    "open_solutions",
    title="What the losses leave open",
    points=15,
    prompt=r"""
$X$ and $Y$ are sets of $n$ points with uniform distributions. $G : X \to Y$ and $F : Y \to X$ may be any maps, and both discriminators are at their best.

Show that the two adversarial losses together leave $n!^2$ pairs $(G, F)$, and that adding the cycle loss leaves $n!$. Then say in your own words what that means for a CycleGAN on horses and zebras: what does a cycle loss of 0 prove about a translation, and what decides which one you get? Half a page is enough.
""",
    starter="...",
    hints=(
        "Which distribution has G(x), if x is uniform? For which of them is the adversarial loss least?",
        "Both cycles are exact: what does F(G(x)) = x for all x say about G, and what about F once G is chosen?",
        "You have counted the pairs that are left. Does any loss see which of them you have?",
    ),
    rubric=(
        (
            "the adversarial loss of G is least exactly if G(x) is distributed as Y, so on uniform points G is a bijection",
            4,
        ),
        ("n! choices for G and, independently, n! for F, together n!²", 2),
        ("a cycle loss of 0 means that both ways are exact, so F is the inverse of G, and G determines F", 3),
        ("every bijection is still allowed, and at all n! pairs the adversarial losses are least too", 3),
        (
            "what follows: a cycle loss of 0 does not show the right partner; the network's bias or another loss decides",
            3,
        ),
    ),
)

# -- a model ---------------------------------------------------------------------------------------


def local_translator():
    """The network of the training task: a translation of colours that sees 3 x 3 pixels, with small weights."""
    layers = [nn.Conv2d(3, 16, 3, padding=1, padding_mode="reflect"), nn.ReLU(), nn.Conv2d(16, 3, 1), nn.Tanh()]
    return normal_weights(nn.Sequential(*layers), 0.02)


def found(network, x, y):
    """Share of translations of `x`, in [0, 1], to which their true partner in `y` is the nearest of all."""
    with torch.no_grad():
        translated = (network(2 * x - 1) + 1) / 2
    return retrieval_accuracy(translated.nan_to_num(), y)


def held_out_pairs():
    """Held-out digits in both colourings, in [0, 1]; row i of both is the same digit."""
    return [to_float(part.images) for part in load_unpaired("coloured_digits", "test")]


def _public_score(network):
    return found(network, *held_out_pairs())


translator = ArtefactTask(
    "translator",
    title="Translate without pairs",
    points=10,
    prompt=r"""
$X$ holds digits in dark, warm ink on light ground, $Y$ others in light, cool ink on dark ground: `"coloured_digits"`. Train a CycleGAN on the two sets, without a pair, and hand it in. What is scored is $G$, the translator to $Y$.

The score is the retrieval accuracy on held-out digits, whose true partners are known: how often is the right one of 360 the nearest to its translation? Guessing gives 0.003, leaving images as they are 0.

$G$ and $F$ are given: networks of a few hundred weights that see 3 × 3 pixels, so they can do little else than translate colours. That is a bias, and here it is the right one. They start from small weights, so that G is no nearer to the identity than to the negative. And keep `norm="none"`: instance norm, the default, takes the mean of every map away, and D has to tell light from dark without it. (The lesson's larger networks manage.) The rest is yours: `lr`, `batch_size`, `lambda_cycle`, `discriminator_width`, `discriminator_layers`, and `fit`'s `max_steps`. Ten seconds of a laptop are enough.
""",
    starter="""
from coursekit.data import load_unpaired
from coursekit.networks.dcgan import normal_weights
from coursekit.trainers import CycleGANTrainer


def network():
    layers = [nn.Conv2d(3, 16, 3, padding=1, padding_mode="reflect"), nn.ReLU(), nn.Conv2d(16, 3, 1), nn.Tanh()]
    return normal_weights(nn.Sequential(*layers), 0.02)


torch.manual_seed(0)
pair = load_unpaired("coloured_digits")
translator = ...  # a CycleGANTrainer(G=network(), F=network(), norm="none", device="cpu", …), fitted to pair
""",
    hints=(
        'Begin with translator = CycleGANTrainer(G=network(), F=network(), norm="none", device="cpu", batch_size=8, '
        "discriminator_width=8, discriminator_layers=1) and translator.fit(pair, max_steps=100).",
        "Look at translator.translate(x[:10]) beside x and y, with coursekit.plots.image_rows. Is the ground dark yet?",
        "The default learning rate is the paper's, for batches of one image and 200 epochs. Here a rate five times as large "
        "is fine.",
        "No identity loss: what would it ask of G here, where G must be the negative on X?",
    ),
    architecture=local_translator,
    public_score=_public_score,
    thresholds={0.1: 0.5, 0.5: 1.0},
)

assignment = Assignment(
    "cyclegan",
    title="CycleGAN",
    intro="The losses term by term, and what they leave open; the pool, the patches and the schedule; and a translation "
    "without pairs, scored against the truth.",
    tasks=(least_squares, cycle_loss, ImagePool, patch_side, learning_rate, open_solutions, translator),
    numbers=draw_numbers,
)
start, progress, submit = assignment.start, assignment.progress, assignment.submit
