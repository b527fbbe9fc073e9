"""Graded exercises on DCGAN."""

import torch
from torch import nn
from torch.nn import functional

from coursekit.data import load_images, to_float
from coursekit.exercises.gan_practice import waves
from coursekit.exercises.tasks import ArtefactTask, Assignment, Case, FunctionTask, Misconception, ValueTask
from coursekit.metrics import frechet_distance_of
from coursekit.networks.dcgan import DCGANGenerator

# -- sizes -----------------------------------------------------------------------------------------


def _size_cases():
    return [
        Case((7, 4, 2, 1, 0), note="the tutorials' way to double a side"),
        Case((7, 5, 2, 2, 1), note="the paper's way: output_padding 1"),
        Case((7, 5, 2, 2, 0), note="the same without it"),
        Case((5, 3, 1, 1, 0), note="stride 1"),
        Case((4, 3, 4, 0, 2), note="windows that do not touch, and output_padding 2"),
    ]


def _size_down(m, kernel_size, stride, padding, output_padding):
    return (m + 2 * padding - kernel_size) // stride + 1


def _size_without_r(m, kernel_size, stride, padding, output_padding):
    return (m - 1) * stride + kernel_size - 2 * padding


def _size_m_windows(m, kernel_size, stride, padding, output_padding):
    return m * stride + kernel_size - 2 * padding + output_padding


def _size_padding_added(m, kernel_size, stride, padding, output_padding):
    return (m - 1) * stride + kernel_size + 2 * padding + output_padding


def _size_one_side(m, kernel_size, stride, padding, output_padding):
    return (m - 1) * stride + kernel_size - padding + output_padding


def _size_both_ends(m, kernel_size, stride, padding, output_padding):
    return (m - 1) * stride + kernel_size - 2 * padding + 2 * output_padding


def _size_stride_only(m, kernel_size, stride, padding, output_padding):
    return m * stride


upsampled_size = FunctionTask(
    "upsampled_size",
    title="How long is the way back?",
    points=10,
    prompt=r"""
A convolution with kernel length $k$, stride $s$ and padding $p$ turns length $n$ into

$$
m = \Bigl\lfloor \frac{n + 2p - k}{s} \Bigr\rfloor + 1 .
$$

A transposed convolution with the same settings goes from $m$ back to one of the lengths $n$ that become $m$: the smallest of them if `output_padding` is 0, the next if it is 1, and so on up to $s - 1$. Return its length, a whole number.
""",
    starter='''
def upsampled_size(m, kernel_size, stride, padding, output_padding):
    """Length of a transposed convolution's output, an int, for an input of length m."""
    return ...
''',
    cases=_size_cases,
    hints=(
        "Solve the formula for n. The floor throws a remainder away, and the remainder is what output_padding gives back.",
        "m windows, each s further than the last: the first covers k places, and each of the others adds s.",
        "Test yourself with k = 4, s = 2, p = 1: the length must double.",
    ),
    misconceptions=(
        Misconception(
            "going-down",
            "This is the length of the convolution itself, which goes down. Its transpose goes up: solve that formula for n.",
            _size_down,
        ),
        Misconception(
            "output-padding-left-out",
            "output_padding makes no difference in your formula. It says which of the s lengths that become m you want.",
            _size_without_r,
        ),
        Misconception(
            "one-window-too-many",
            "You count m steps between m windows. There are m − 1: the first window covers k places, the others add s each.",
            _size_m_windows,
        ),
        Misconception(
            "padding-added",
            "Your padding makes the output longer. In the convolution it lengthens the input, so on the way back it is cut "
            "off.",
            _size_padding_added,
        ),
        Misconception(
            "padding-at-one-end",
            "You cut the padding off at one end. It is at both.",
            _size_one_side,
        ),
        Misconception(
            "output-padding-at-both-ends",
            "You add output_padding at both ends. It counts once: 0 to s − 1 are the s lengths that become m.",
            _size_both_ends,
        ),
        Misconception(
            "stride-alone",
            "m · s is right only for a kernel and a padding that are chosen for it, such as k = 4, s = 2, p = 1.",
            _size_stride_only,
        ),
    ),
    implementations=("coursekit.theory.convolution.transposed_size", "coursekit.theory.convolution.sizes_before"),
)

# -- the adjoint -----------------------------------------------------------------------------------


def _adjoint_cases():
    kernel = torch.tensor([1.0, 2.0, 3.0])
    return [
        Case((torch.tensor([1.0, 10.0]), kernel, 2, 0, 5), note="the chapter's matrix: no padding"),
        Case((torch.tensor([1.0, 10.0, 100.0]), kernel, 2, 1, 5), note="with padding"),
        Case((torch.tensor([1.0, 10.0, 100.0]), kernel, 2, 1, 6), note="the same v, and n one larger"),
        Case((torch.tensor([1.0, 10.0]), torch.tensor([1.0, 2.0, 3.0, 4.0]), 2, 1, 5), note="a kernel of four, n = 5"),
        Case((torch.tensor([1.0, 10.0]), torch.tensor([1.0, 2.0]), 3, 0, 7), note="windows that do not touch"),
        Case((torch.tensor([1.0, 10.0, 100.0]), torch.tensor([2.0, 1.0, -1.0]), 1, 1, 3), note="stride 1"),
    ]


def _adjoint_flipped(v, kernel, stride, padding, n):
    full = torch.zeros((len(v) - 1) * stride + len(kernel) + n)
    for i in range(len(v)):
        full[i * stride : i * stride + len(kernel)] += v[i] * kernel.flip(0)
    return full[padding : padding + n]


def _adjoint_not_cropped(v, kernel, stride, padding, n):
    full = torch.zeros((len(v) - 1) * stride + len(kernel) + n)
    for i in range(len(v)):
        full[i * stride : i * stride + len(kernel)] += v[i] * kernel
    return full[:n]


def _adjoint_shortest(v, kernel, stride, padding, n):
    return nn.functional.conv_transpose1d(v[None, None], kernel[None, None], stride=stride, padding=padding)[0, 0]


def _adjoint_zeros_behind(v, kernel, stride, padding, n):
    shortest = nn.functional.conv_transpose1d(v[None, None], kernel[None, None], stride=stride, padding=padding)[0, 0]
    return torch.cat([shortest, torch.zeros(n - len(shortest))])


def _adjoint_overwritten(v, kernel, stride, padding, n):
    full = torch.zeros((len(v) - 1) * stride + len(kernel) + n)
    for i in range(len(v)):
        full[i * stride : i * stride + len(kernel)] = v[i] * kernel
    return full[padding : padding + n]


def _adjoint_inverse(v, kernel, stride, padding, n):
    A = torch.zeros(len(v), n + 2 * padding)
    for i in range(len(v)):
        A[i, i * stride : i * stride + len(kernel)] = kernel
    return torch.linalg.pinv(A[:, padding : padding + n]) @ v


def _adjoint_without_stride(v, kernel, stride, padding, n):
    full = torch.zeros(len(v) + len(kernel) + n + padding)
    for i in range(len(v)):
        full[i : i + len(kernel)] += v[i] * kernel
    return full[padding : padding + n]


transposed_convolution = FunctionTask(
    "transposed_convolution",
    title="The adjoint of a convolution",
    points=20,
    prompt=r"""
On one axis, a convolution with kernel $w$, stride $s$ and padding $p$ is

$$
(A x)_i = \sum_{t=0}^{k-1} w_t \, x_{s i + t - p} ,
$$

where $x_j$ counts as 0 outside its ends. Let $x$ have length $n$ and $A x$ length $m$. Write the linear map from length $m$ to length $n$ with

$$
\langle A x, v \rangle = \langle x, A^\top v \rangle \quad \text{for all } x \text{ and } v .
$$

`v` has shape (m,), `kernel` (k,). Return $A^\top v$, shape (n,). Any way of computing it will do, by hand or by torch. Mind that several $n$ belong to one $m$: `n` says which.
""",
    starter='''
def transposed_convolution(v, kernel, stride, padding, n):
    """The transpose of a convolution of inputs of length n, applied to v, (m,) -> (n,)."""
    return ...
''',
    cases=_adjoint_cases,
    hints=(
        "Which entries of x does window i see, and with which weights? In the transpose v_i paints the same places with the "
        "same weights.",
        "Paint on a strip that is long enough, with its padding; then cut p places off at the front and keep n.",
        "torch.nn.functional.conv_transpose1d wants shapes (1, 1, m) and (1, 1, k), and needs output_padding for the larger "
        "n.",
        "Test yourself: draw x and v at random, compute A x by conv1d, and compare both inner products.",
    ),
    misconceptions=(
        Misconception(
            "kernel-flipped",
            "Your kernel is flipped. Window i sees x with weights w_0, w_1, …, and v_i paints them in the same order.",
            _adjoint_flipped,
        ),
        Misconception(
            "padding-not-cut-off",
            "You ignore the padding. The first p places that are painted belong to the zeros outside: cut them off.",
            _adjoint_not_cropped,
        ),
        Misconception(
            "shortest-only",
            "You always give the shortest length that becomes m. Here n is given, and may be up to s − 1 longer: that is "
            "output_padding.",
            _adjoint_shortest,
        ),
        Misconception(
            "zeros-behind",
            "You reach length n by putting zeros behind. output_padding pads nothing: it cuts less off, and what was painted "
            "there stays.",
            _adjoint_zeros_behind,
        ),
        Misconception(
            "overwritten",
            "Where two copies of the kernel overlap, yours keeps the last. They add up.",
            _adjoint_overwritten,
        ),
        Misconception(
            "inverse",
            "This undoes A as well as it can: it is an inverse, the mistake in the word deconvolution. The transpose does "
            "not undo A.",
            _adjoint_inverse,
        ),
        Misconception(
            "stride-left-out",
            "Your copies of the kernel lie one place apart. They lie s places apart.",
            _adjoint_without_stride,
        ),
    ),
    implementations=("coursekit.theory.convolution.convolution_matrix",),
    atol=1e-5,
)

# -- checkerboards ---------------------------------------------------------------------------------


def _overlap_cases():
    return [
        Case((5, 2), note="the paper's kernel"),
        Case((4, 2), note="the tutorials' kernel"),
        Case((3, 2), note="a classifier's kernel"),
        Case((7, 3), note="three phases"),
        Case((2, 3), note="a kernel shorter than the stride"),
    ]


def _overlap_floor(kernel_size, stride):
    return [kernel_size // stride] * stride


def _overlap_ceil(kernel_size, stride):
    return [-(-kernel_size // stride)] * stride


def _overlap_kernel(kernel_size, stride):
    return [kernel_size] * stride


def _overlap_backwards(kernel_size, stride):
    return [(kernel_size + phase) // stride for phase in range(stride)]


def _overlap_per_place(kernel_size, stride):
    return [len(range(place % stride, kernel_size, stride)) for place in range(kernel_size)]


def _overlap_on_images(kernel_size, stride):
    return [len(range(phase, kernel_size, stride)) ** 2 for phase in range(stride)]


overlaps = FunctionTask(
    "overlaps",
    title="Where checkerboards come from",
    points=10,
    prompt=r"""
In a transposed convolution, input $i$ paints the places $s i + t$ with $t = 0, \dots, k - 1$ (no padding, one axis). Far from the ends, how many inputs paint a place $j$? That depends only on its *phase* $j \bmod s$.

Return the list of these counts for the phases $0, 1, \dots, s - 1$: `stride` whole numbers.
""",
    starter='''
def overlaps(kernel_size, stride):
    """How many inputs paint a place of each phase 0, ..., stride - 1: a list of ints."""
    return ...
''',
    cases=_overlap_cases,
    hints=(
        "Draw it for k = 3 and s = 2: where do the kernels of neighbouring inputs overlap?",
        "Place j is painted with weight t by an input exactly if t and j leave the same remainder on division by s.",
        "So count, for each remainder, the numbers from 0 to k − 1 that leave it. Together they are k.",
    ),
    misconceptions=(
        Misconception(
            "all-even",
            "You give all phases the same count, rounded down. It is the same only if s divides k; otherwise some phases "
            "are painted once more, and that is the checkerboard. All counts together must be k.",
            _overlap_floor,
        ),
        Misconception(
            "all-even-rounded-up",
            "You give all phases the same count, rounded up. It is the same only if s divides k. All counts together must "
            "be k.",
            _overlap_ceil,
        ),
        Misconception(
            "whole-kernel",
            "k is how many places one input paints. Asked is how many inputs paint one place.",
            _overlap_kernel,
        ),
        Misconception(
            "phases-backwards",
            "Your counts are right and in the wrong order: the lower phases have one more, since the weights start at "
            "t = 0.",
            _overlap_backwards,
        ),
        Misconception(
            "a-count-for-each-weight",
            "You give one count for each place of the kernel. There are only s different phases: return s counts.",
            _overlap_per_place,
        ),
        Misconception(
            "on-images",
            "You squared the counts, as for images, where both axes have a phase. One axis is asked.",
            _overlap_on_images,
        ),
    ),
    implementations=("coursekit.theory.convolution.overlap_counts",),
)

# -- a block ---------------------------------------------------------------------------------------


def _block(subject, c_in, c_out, last, tensors, x):
    """Shapes of the block's tensors; if they are those of `tensors`, what it makes of `x` with these."""
    block = subject.new(c_in, c_out, last)
    shapes = block.shapes()
    if shapes != [list(tensor.shape) for tensor in tensors]:
        return {"shapes of weights": shapes, "training mode": None, "evaluation mode": None}
    block.load(tensors)
    block.train(True)
    in_training = block(x)
    block.train(False)
    return {"shapes of weights": shapes, "training mode": in_training, "evaluation mode": block(x)}


def _block_tensors(c_in, c_out, last, start):
    """What the block's tensors are set to: weights, then the running statistics."""
    weight = waves(c_in, c_out, 4, 4, start=start)
    if last:
        return [weight, waves(c_out, start=start + 1)]
    scale, shift, mean = (waves(c_out, start=start + i) for i in (1, 2, 3))
    return [weight, 1 + 0.5 * scale, shift, mean, 1 + 0.5 * waves(c_out, start=start + 4), torch.tensor(0)]


def _block_cases():
    return [
        Case((2, 1, False, _block_tensors(2, 1, False, 0.3), waves(2, 2, 1, 1, start=0.8)), note="a hidden block"),
        Case((1, 2, False, _block_tensors(1, 2, False, 1.7), waves(3, 1, 2, 2, start=2.5)), note="another one"),
        Case((2, 1, True, _block_tensors(2, 1, True, 0.6), waves(1, 2, 1, 1, start=1.4)), note="the last block"),
    ]


def _block_with_bias(c_in, c_out, last=False):
    up = nn.ConvTranspose2d(c_in, c_out, 4, 2, 1)
    return nn.Sequential(up, nn.Tanh()) if last else nn.Sequential(up, nn.BatchNorm2d(c_out), nn.ReLU())


def _block_norm_everywhere(c_in, c_out, last=False):
    up = nn.ConvTranspose2d(c_in, c_out, 4, 2, 1, bias=False)
    return nn.Sequential(up, nn.BatchNorm2d(c_out), nn.Tanh() if last else nn.ReLU())


def _block_without_norm(c_in, c_out, last=False):
    return nn.Sequential(nn.ConvTranspose2d(c_in, c_out, 4, 2, 1), nn.Tanh() if last else nn.ReLU())


def _block_leaky(c_in, c_out, last=False):
    up = nn.ConvTranspose2d(c_in, c_out, 4, 2, 1, bias=last)
    return nn.Sequential(up, nn.Tanh()) if last else nn.Sequential(up, nn.BatchNorm2d(c_out), nn.LeakyReLU(0.2))


def _block_relu_first(c_in, c_out, last=False):
    up = nn.ConvTranspose2d(c_in, c_out, 4, 2, 1, bias=last)
    return nn.Sequential(up, nn.Tanh()) if last else nn.Sequential(up, nn.ReLU(), nn.BatchNorm2d(c_out))


def _block_sigmoid(c_in, c_out, last=False):
    up = nn.ConvTranspose2d(c_in, c_out, 4, 2, 1, bias=last)
    return nn.Sequential(up, nn.Sigmoid()) if last else nn.Sequential(up, nn.BatchNorm2d(c_out), nn.ReLU())


def _block_no_bias_at_all(c_in, c_out, last=False):
    up = nn.ConvTranspose2d(c_in, c_out, 4, 2, 1, bias=False)
    return nn.Sequential(up, nn.Tanh()) if last else nn.Sequential(up, nn.BatchNorm2d(c_out), nn.ReLU())


def _block_downwards(c_in, c_out, last=False):
    down = nn.Conv2d(c_in, c_out, 4, 2, 1, bias=last)
    return nn.Sequential(down, nn.Tanh()) if last else nn.Sequential(down, nn.BatchNorm2d(c_out), nn.ReLU())


def _block_without_padding(c_in, c_out, last=False):
    up = nn.ConvTranspose2d(c_in, c_out, 4, 2, bias=last)
    return nn.Sequential(up, nn.Tanh()) if last else nn.Sequential(up, nn.BatchNorm2d(c_out), nn.ReLU())


generator_block = FunctionTask(
    "generator_block",
    title="A block of the generator",
    points=20,
    prompt=r"""
Write a factory for the blocks of DCGAN's generator, by the paper's guidelines. Each doubles both sides, (N, c_in, H, W) to (N, c_out, 2H, 2W), by a transposed convolution with kernels of 4 × 4, stride 2 and padding 1. Then come:

- in a hidden block: batch normalisation and the generator's activation;
- in the last block (`last=True`): no normalisation, and the activation that puts pixels into $[-1, 1]$.

A layer has a bias only where it is of use. Return an `nn.Sequential` of these layers, in the order in which they are applied. The check sets its weights and compares what it computes, in training and in evaluation mode; it shows the shapes of weights, in their order.
""",
    starter='''
def generator_block(c_in, c_out, last=False):
    """A block of DCGAN's generator, (N, c_in, H, W) -> (N, c_out, 2H, 2W), as nn.Sequential."""
    return ...
''',
    cases=_block_cases,
    hints=(
        "Three layers in a hidden block, two in the last: nn.ConvTranspose2d, perhaps nn.BatchNorm2d, and an activation.",
        "Batch normalisation subtracts each channel's mean. What does that leave of a bias before it? In the last block "
        "nothing subtracts it.",
        "LeakyReLU is for the discriminator. And which function has its values in [-1, 1]?",
    ),
    misconceptions=(
        Misconception(
            "bias-before-batch-norm",
            "Your hidden block has a bias before batch normalisation, which subtracts it again. Leave it out: bias=False.",
            _block_with_bias,
        ),
        Misconception(
            "norm-in-the-last-block",
            "Your last block has batch normalisation. At the generator's output it fixes mean and spread of each batch of "
            "images, and the samples oscillate: the guidelines leave it out there.",
            _block_norm_everywhere,
        ),
        Misconception(
            "no-norm",
            "There is no batch normalisation in your hidden block. Without it in G alone, training breaks in the chapter's "
            "table.",
            _block_without_norm,
        ),
        Misconception(
            "leaky-relu",
            "Your hidden block ends in LeakyReLU. In the paper's guidelines that is for D; G has ReLU.",
            _block_leaky,
        ),
        Misconception(
            "activation-before-norm",
            "You normalise after the activation. Batch normalisation comes between convolution and activation.",
            _block_relu_first,
        ),
        Misconception(
            "sigmoid-at-the-end",
            "Your last block ends in a sigmoid, with values in [0, 1]. Pixels are in [-1, 1] here: tanh.",
            _block_sigmoid,
        ),
        Misconception(
            "no-bias-at-the-end",
            "Your last block has no bias. No normalisation follows there, so nothing would subtract it: keep it.",
            _block_no_bias_at_all,
        ),
        Misconception(
            "downwards",
            "This is a block of the discriminator: a convolution of stride 2 halves the sides. The generator doubles them, by "
            "nn.ConvTranspose2d.",
            _block_downwards,
        ),
        Misconception(
            "padding-missing",
            "Your block does not double the sides: 1 becomes 4. Without padding 1, one row too many stays at each end.",
            _block_without_padding,
        ),
    ),
    probe=_block,
    rtol=1e-3,
    atol=1e-5,
)

# -- paths between samples -------------------------------------------------------------------------


def _arc_cases():
    return [
        Case((torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 4.0]]), 0.5), note="a right angle; lengths 2 and 4"),
        Case((torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 4.0]]), 0.25), note="a quarter of the way"),
        Case((2 * waves(3, 4, start=0.4), waves(3, 4, start=1.9), 0.3), note="three pairs in four dimensions"),
        Case((torch.tensor([[3.0, 0.0, 0.0]]), torch.tensor([[5.0, 0.0, 0.0]]), 0.5), note="two ends in one direction"),
    ]


def _arc_line(start, end, t):
    return (1 - t) * start + t * end


def _arc_line_lengthened(start, end, t):
    line = (1 - t) * start + t * end
    length = (1 - t) * start.norm(dim=1, keepdim=True) + t * end.norm(dim=1, keepdim=True)
    return line / line.norm(dim=1, keepdim=True) * length


def _arc_unit_length(start, end, t):
    u, v = start / start.norm(dim=1, keepdim=True), end / end.norm(dim=1, keepdim=True)
    angle = torch.acos((u * v).sum(dim=1, keepdim=True).clamp(-1 + 1e-7, 1 - 1e-7))
    return (torch.sin((1 - t) * angle) * u + torch.sin(t * angle) * v) / torch.sin(angle)


def _arc_of_the_ends(start, end, t):
    u, v = start / start.norm(dim=1, keepdim=True), end / end.norm(dim=1, keepdim=True)
    angle = torch.acos((u * v).sum(dim=1, keepdim=True).clamp(-1 + 1e-7, 1 - 1e-7))
    return (torch.sin((1 - t) * angle) * start + torch.sin(t * angle) * end) / torch.sin(angle)


def _arc_zero_by_zero(start, end, t):
    length, other = start.norm(dim=1, keepdim=True), end.norm(dim=1, keepdim=True)
    u, v = start / length, end / other
    angle = torch.acos((u * v).sum(dim=1, keepdim=True).clamp(-1, 1))
    direction = (torch.sin((1 - t) * angle) * u + torch.sin(t * angle) * v) / torch.sin(angle)
    return direction * ((1 - t) * length + t * other)


def _arc_batch_as_one(start, end, t):
    u, v = start / start.norm(), end / end.norm()
    angle = torch.acos((u * v).sum().clamp(-1 + 1e-7, 1 - 1e-7))
    direction = (torch.sin((1 - t) * angle) * u + torch.sin(t * angle) * v) / torch.sin(angle)
    return direction * ((1 - t) * start.norm() + t * end.norm())


def _arc_other_way(start, end, t):
    length, other = start.norm(dim=1, keepdim=True), end.norm(dim=1, keepdim=True)
    u, v = start / length, end / other
    angle = torch.acos((u * v).sum(dim=1, keepdim=True).clamp(-1 + 1e-7, 1 - 1e-7))
    direction = (torch.sin(t * angle) * u + torch.sin((1 - t) * angle) * v) / torch.sin(angle)
    return direction * (t * length + (1 - t) * other)


spherical = FunctionTask(
    "spherical",
    title="A path that stays where the prior lives",
    points=15,
    prompt=r"""
The straight line between two draws from $\mathcal{N}(0, I)$ in many dimensions leads through a middle where the prior has no mass. Take the *arc* instead. With $u = z / \lVert z \rVert$ and $u' = z' / \lVert z' \rVert$, at an angle $\theta$,

$$
z_t = \bigl( (1 - t) \lVert z \rVert + t \lVert z' \rVert \bigr) \; \frac{\sin((1 - t)\, \theta)\, u + \sin(t\, \theta)\, u'}{\sin \theta} .
$$

`start` and `end` hold the $z$ and $z'$, shape (N, K): row $i$ of both is one pair with its own angle. `t` is a number from 0 to 1. Return $z_t$, shape (N, K). Where both point in the *same* direction, the fraction is its limit, $u$. (Opposite directions do not occur.)
""",
    starter='''
def spherical(start, end, t):
    """Points at the share t of the arcs from start to end, (N, K)."""
    return ...
''',
    cases=_arc_cases,
    hints=(
        "Keep the axis of the rows in every norm and inner product: dim=1, keepdim=True.",
        "The cosine of θ is the inner product of the unit vectors. Rounding may push it a hair beyond 1.",
        "At θ = 0 the fraction is 0 / 0. Keep the cosine a little below 1, or use torch.where.",
        "Test yourself: the length of the result is (1 − t)‖z‖ + t‖z'‖, at every t.",
    ),
    misconceptions=(
        Misconception(
            "line",
            "This is the straight line. In many dimensions its middle is shorter than both ends by a factor of about √2, "
            "where the prior has no mass.",
            _arc_line,
        ),
        Misconception(
            "line-with-length",
            "You walk on the line and correct its length. The direction is then not at the share t of the angle, unless "
            "t = ½ and both ends are of one length.",
            _arc_line_lengthened,
        ),
        Misconception(
            "unit-length",
            "Your points have length 1. The direction is right; give it the length (1 − t)‖z‖ + t‖z'‖.",
            _arc_unit_length,
        ),
        Misconception(
            "sines-on-the-ends",
            "You weigh z and z' themselves with the sines. With ends of different lengths the longer one pulls the direction "
            "towards it: weigh the unit vectors, and give the length after.",
            _arc_of_the_ends,
        ),
        Misconception(
            "zero-by-zero",
            "For two ends in the same direction your result is NaN: θ and its sine are 0. The limit is that direction.",
            _arc_zero_by_zero,
        ),
        Misconception(
            "batch-as-one-vector",
            "You take norms and angle of the whole batch at once. Each row is a pair with its own: dim=1, keepdim=True.",
            _arc_batch_as_one,
        ),
        Misconception(
            "from-the-other-end",
            "At t = 0 you are at end, not at start.",
            _arc_other_way,
        ),
    ),
    implementations=("coursekit.plots.arc",),
    rtol=1e-3,
    atol=1e-4,
)

# -- counting --------------------------------------------------------------------------------------


def draw_numbers(rng):
    """Numbers of the value task: the size of a generator."""
    return {
        "noise_dim": int(rng.integers(16, 129)),
        "width": int(rng.integers(8, 65)),
        "channels": int((1, 3)[rng.integers(2)]),
    }


def _count(n, linear=49, kernel=16, first_bias=0, hidden_bias=0, norms=2, last_bias=1):
    k, w, c = n["noise_dim"], n["width"], n["channels"]
    first = k * 2 * w * linear + first_bias * 2 * w * 49 + norms * 2 * w
    hidden = 2 * w * w * kernel + hidden_bias * w + norms * w
    return first + hidden + w * c * kernel + last_bias * c


weights = ValueTask(
    "weights",
    title="How many weights?",
    points=10,
    prompt=r"""
A DCGAN generator for 28 × 28 pixels has these layers, with $w$ = `width`, $K$ = `noise_dim` and $C$ = `channels`, which are your own (in `numbers`):

1. linear, $K$ to $2w \times 7 \times 7$; batch normalisation of its $2w$ channels; ReLU;
2. transposed convolution, 4 × 4, $2w$ to $w$ channels; batch normalisation; ReLU;
3. transposed convolution, 4 × 4, $w$ to $C$ channels; tanh.

A layer that is followed by batch normalisation has no bias. How many numbers does the optimizer change? Count by hand first, then check in code if you like. Assign the number to `weights`.
""",
    starter="""
weights = ...
""",
    hints=(
        "A linear layer from a to b numbers has a · b weights. To how many numbers does the first one go?",
        "A convolution has one kernel for each pair of an input and an output channel. The size of the image does not matter.",
        "Batch normalisation learns two numbers for each channel. Its running means and variances are not learned by the "
        "optimizer.",
        "Does the last layer have a bias?",
    ),
    misconceptions=(
        Misconception(
            "biases-everywhere",
            "You count a bias in every layer. Those before batch normalisation have none.",
            lambda n: _count(n, first_bias=1, hidden_bias=1),
        ),
        Misconception(
            "running-statistics",
            "You count the running mean and variance of batch normalisation. They are buffers: the optimizer does not change "
            "them.",
            lambda n: _count(n, norms=4),
        ),
        Misconception(
            "norms-left-out",
            "You left out batch normalisation. It learns a scale and a shift for each channel.",
            lambda n: _count(n, norms=0),
        ),
        Misconception(
            "one-number-a-channel",
            "You count one number for each channel of batch normalisation. It learns two, a scale and a shift.",
            lambda n: _count(n, norms=1),
        ),
        Misconception(
            "last-bias-left-out",
            "You left out the bias of the last layer. No normalisation follows it, so it has one for each channel.",
            lambda n: _count(n, last_bias=0),
        ),
        Misconception(
            "places-left-out",
            "Your linear layer goes to 2w numbers. It goes to 2w × 7 × 7: each place of the map has weights of its own.",
            lambda n: _count(n, linear=1),
        ),
        Misconception(
            "kernels-of-four-numbers",
            "You count 4 weights in a kernel. It is 4 × 4, with 16.",
            lambda n: _count(n, kernel=4),
        ),
    ),
    rtol=1e-7,
)

# -- a model ---------------------------------------------------------------------------------------

NOISE_DIM = 16


def slim_generator():
    """The network of the training task: 16 numbers of noise to digits of 28 x 28 pixels in [-1, 1]."""
    return DCGANGenerator(NOISE_DIM, (1, 28, 28), 8)


def likeness(network, seed, images):
    """1 / (1 + d), with d the squared Fréchet distance of 500 samples to `images`, in means of 4 x 4 pixels."""
    noise = torch.randn(500, NOISE_DIM, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        samples = (network(noise) + 1) / 2
    features = [functional.avg_pool2d(part.double(), 4).flatten(1) for part in (samples, images)]
    return 1 / (1 + frechet_distance_of(*features))


def _public_score(network):
    return likeness(network, 0, to_float(load_images("digits", "test").images))


slim_dcgan = ArtefactTask(
    "slim_dcgan",
    title="A slim DCGAN",
    points=15,
    prompt=r"""
Train a DCGAN on the 1,437 training digits that come with the course, and hand it in.

The score is $1 / (1 + d)$, where $d$ is the squared Fréchet distance between 500 samples, drawn in evaluation mode, and the test digits, after both are shrunk to 7 × 7 pixels by averaging blocks of 4 × 4. Real digits get 0.97, the mean digit with no variety 0.46, an untrained generator 0.1.

Noise and width are fixed: `noise_dim=16` and `width=8`. The rest is yours: `lr`, `beta1`, `batch_size`, `discriminator_width`, and `fit`'s `max_steps`. Five to ten seconds of a laptop are enough. With the default learning rate 200 steps give about 0.3.
""",
    starter="""
from coursekit.data import load_images
from coursekit.trainers import DCGANTrainer

digits = load_images("digits")
slim_dcgan = ...  # a DCGANTrainer(width=8, noise_dim=16, device="cpu", …), fitted to digits
""",
    hints=(
        'Begin with slim_dcgan = DCGANTrainer(width=8, noise_dim=16, device="cpu") and '
        "slim_dcgan.fit(digits, max_steps=100). Look at slim_dcgan.sample(16) with coursekit.plots.image_grid.",
        "The guideline of 0.0002 for the learning rate is for long runs. The chapter's table has a row with another one.",
        "Leave beta1 at 0.5, and look at d_real and d_fake in slim_dcgan.history: is D far ahead?",
        "Batches of 64 are as good as 128 here, and twice as fast.",
    ),
    architecture=slim_generator,
    public_score=_public_score,
    thresholds={0.5: 0.5, 0.6: 1.0},
)

assignment = Assignment(
    "dcgan",
    title="DCGAN",
    intro="What a transposed convolution is and how long its output gets, where checkerboards come from, the generator's "
    "block with its guidelines, a path through the latent space, and a slim DCGAN of your own.",
    tasks=(upsampled_size, transposed_convolution, overlaps, generator_block, spherical, weights, slim_dcgan),
    numbers=draw_numbers,
)
start, progress, submit = assignment.start, assignment.progress, assignment.submit
