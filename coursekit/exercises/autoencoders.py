"""Graded exercises on autoencoders."""

import math

import numpy as np
import torch

from coursekit.data import load_images, to_float
from coursekit.exercises.tasks import ArtefactTask, Assignment, Case, FunctionTask, Misconception, ValueTask
from coursekit.networks import build_autoencoder

# -- one code for two numbers ----------------------------------------------------------------------


def variance_kept(numbers):
    covariance = [[numbers["var1"], numbers["cov"]], [numbers["cov"], numbers["var2"]]]
    return float(np.linalg.eigvalsh(covariance)[1])


def coordinate_dropped(numbers):
    return float(min(numbers["var1"], numbers["var2"]))


def share_lost(numbers):
    covariance = [[numbers["var1"], numbers["cov"]], [numbers["cov"], numbers["var2"]]]
    smallest, largest = np.linalg.eigvalsh(covariance)
    return float(smallest / (smallest + largest))


def averaged_over_coordinates(numbers):
    covariance = [[numbers["var1"], numbers["cov"]], [numbers["cov"], numbers["var2"]]]
    return float(np.linalg.eigvalsh(covariance)[0] / 2)


def predicted_from_the_other(numbers):
    return min(
        numbers["var1"] - numbers["cov"] ** 2 / numbers["var2"], numbers["var2"] - numbers["cov"] ** 2 / numbers["var1"]
    )


least_error = ValueTask(
    "least_error",
    title="What a linear autoencoder cannot keep",
    points=10,
    prompt=r"""
Points in the plane have mean 0, variances `var1` and `var2`, and covariance `cov` (yours are in `numbers`). A linear
autoencoder has one code, $K = 1$. Trained as far as possible, what squared error $\lVert x - \hat x \rVert^2$ per point
is left, summed over the two coordinates and averaged over the points?
""",
    starter="""
least_error = ...
""",
    hints=(
        "The chapter proves which subspace the best linear autoencoder keeps. What is left is the variance outside it.",
        "You need the eigenvalues of a symmetric 2 x 2 matrix: from trace and determinant, or torch.linalg.eigvalsh.",
    ),
    misconceptions=(
        Misconception(
            "variance-kept",
            "This is the variance along the direction that is kept. The error is what lies outside it.",
            variance_kept,
        ),
        Misconception(
            "coordinate-dropped",
            "You dropped the coordinate with the smaller variance. The two vary together, so a slanted direction keeps "
            "more than either axis.",
            coordinate_dropped,
        ),
        Misconception(
            "share-lost",
            "This is the share of the variance that is lost. Asked for is the squared error itself.",
            share_lost,
        ),
        Misconception(
            "averaged-over-coordinates",
            "This is half of it: the mean over the two coordinates, as nn.MSELoss has it. This course sums over the "
            "coordinates and averages over the points.",
            averaged_over_coordinates,
        ),
        Misconception(
            "predicted-from-the-other",
            "You kept one coordinate and predicted the other from it, as a regression does. The code may be any mixture "
            "of both, and a better one leaves less.",
            predicted_from_the_other,
        ),
    ),
)

# -- the best linear autoencoder -------------------------------------------------------------------


def pca_without_mean(x, k):
    _, _, directions = torch.linalg.svd(x, full_matrices=False)
    return x @ directions[:k].T @ directions[:k]


def pca_mean_not_added(x, k):
    centred = x - x.mean(0)
    _, _, directions = torch.linalg.svd(centred, full_matrices=False)
    return centred @ directions[:k].T @ directions[:k]


def pca_smallest(x, k):
    mean = x.mean(0)
    _, vectors = torch.linalg.eigh((x - mean).T @ (x - mean) / len(x))
    return mean + (x - mean) @ vectors[:, :k] @ vectors[:, :k].T


def pca_rows_for_columns(x, k):
    mean = x.mean(0)
    _, _, directions = torch.linalg.svd(x - mean, full_matrices=False)
    return mean + (x - mean) @ directions[:, :k] @ directions[:, :k].T


def pca_codes(x, k):
    centred = x - x.mean(0)
    _, _, directions = torch.linalg.svd(centred, full_matrices=False)
    return centred @ directions[:k].T


def pca_uncentred_directions(x, k):
    mean = x.mean(0)
    _, _, directions = torch.linalg.svd(x, full_matrices=False)
    return mean + (x - mean) @ directions[:k].T @ directions[:k]


def pca_cases():
    four = torch.tensor([[2.0, 2.0], [-2.0, -2.0], [1.0, -1.0], [-1.0, 1.0]])
    points = torch.tensor([[4.0, 1.0, 0.5], [6.0, 2.5, 0.0], [1.0, 0.5, 1.5], [7.0, 3.0, 2.0], [2.0, -1.0, 1.0]])
    return [
        Case((four, 1), note="the four points worked by hand in the chapter"),
        Case((four + torch.tensor([5.0, -1.0]), 1), note="the same points, moved"),
        Case((points, 2), note="five points in space, two codes"),
    ]


linear_autoencoder = FunctionTask(
    "linear_autoencoder",
    title="The best linear autoencoder, without training",
    points=15,
    prompt=r"""
A linear autoencoder with biases is trained until its squared error is as small as it can be. You can do without the
training. You get `x`, shape (N, D), and the number of codes `k`, $1 \le k \le D$. The data need not be centred. Return
the reconstructions $\hat x$ of the same N points, shape (N, D).
""",
    starter='''
def linear_autoencoder(x, k):
    """Reconstructions of x, (N, D), by the best linear autoencoder with k codes."""
    return ...
''',
    hints=(
        "Its weights are not unique, but its reconstructions are: the theorem says onto which subspace each point is "
        "projected. And what do the biases do?",
        "Subtract the mean, project onto the k directions of largest variance, add the mean again.",
        "torch.linalg.svd(centred, full_matrices=False) returns U, S, Vh: the directions are the *rows* of Vh, largest "
        "first. torch.linalg.eigh sorts its eigenvalues the other way round.",
    ),
    cases=pca_cases,
    rtol=1e-3,
    atol=1e-3,
    misconceptions=(
        Misconception(
            "not-centred",
            "You projected onto directions through the origin. The biases centre the data: take the directions of the "
            "centred points, and project from the mean.",
            pca_without_mean,
        ),
        Misconception(
            "mean-not-added",
            "You centred the data and left it so. The decoder's bias adds the mean again.",
            pca_mean_not_added,
        ),
        Misconception(
            "smallest-directions",
            "These are the directions of *least* variance. torch.linalg.eigh sorts upwards: the principal ones are the "
            "last columns.",
            pca_smallest,
        ),
        Misconception(
            "columns-of-vh",
            "You took columns of Vh. torch.linalg.svd returns the transposed matrix: the principal directions are its "
            "rows.",
            pca_rows_for_columns,
        ),
        Misconception(
            "codes",
            "These are the codes, k numbers a point. Asked for is what the decoder makes of them, D numbers a point.",
            pca_codes,
        ),
        Misconception(
            "directions-not-centred",
            "You centred the points, but took the directions from the data as they are. Those lean towards the mean; "
            "centre before the SVD.",
            pca_uncentred_directions,
        ),
    ),
)

# -- the best denoiser -----------------------------------------------------------------------------


def denoise_nearest(x_noisy, points, sigma):
    return points[torch.cdist(x_noisy, points).argmin(1)]


def denoise_without_half(x_noisy, points, sigma):
    squared = (x_noisy[:, None] - points).square().sum(2)
    return torch.softmax(-squared / sigma**2, 1) @ points


def denoise_sigma_for_variance(x_noisy, points, sigma):
    squared = (x_noisy[:, None] - points).square().sum(2)
    return torch.softmax(-squared / (2 * sigma), 1) @ points


def denoise_distance(x_noisy, points, sigma):
    return torch.softmax(-torch.cdist(x_noisy, points) / (2 * sigma**2), 1) @ points


def denoise_score(x_noisy, points, sigma):
    squared = (x_noisy[:, None] - points).square().sum(2)
    return (torch.softmax(-squared / (2 * sigma**2), 1) @ points - x_noisy) / sigma**2


def denoise_not_normalised(x_noisy, points, sigma):
    squared = (x_noisy[:, None] - points).square().sum(2)
    return torch.exp(-squared / (2 * sigma**2)) @ points


def denoise_underflow(x_noisy, points, sigma):
    squared = (x_noisy[:, None] - points).square().sum(2)
    weights = torch.exp(-squared / (2 * sigma**2))
    return weights @ points / weights.sum(1, keepdim=True)


def denoise_cases():
    two = torch.tensor([[-1.0], [1.0]])
    corners = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    noisy = torch.tensor([[0.5, 0.4], [1.5, -1.0], [1.2, 0.6]])
    return [
        Case((torch.tensor([[0.5], [-2.0], [0.0]]), two, 1.5), note="x is 1 or -1"),
        Case((noisy, corners, 0.5), note="three points in the plane"),
        Case((torch.tensor([[4.0, 3.0], [-1.0, 6.0]]), corners, 0.1), note="little noise, yet far from every point"),
    ]


best_denoiser = FunctionTask(
    "best_denoiser",
    title="The best denoiser there is",
    points=15,
    prompt=r"""
A clean $x$ is one of M known points, each equally often. You see $\tilde x = x + \sigma\varepsilon$ with
$\varepsilon \sim \mathcal{N}(0, I)$. Which guess $r(\tilde x)$ has the least mean squared error
$\mathbb{E} \lVert x - r(\tilde x) \rVert^2$? A denoising autoencoder that could learn any function of $\tilde x$ would
learn this one.

You get `x_noisy`, shape (N, D), the M `points`, shape (M, D), and `sigma`, a positive number. Return $r(\tilde x_n)$
for each row, shape (N, D). It must work where $\sigma$ is small beside the distances.
""",
    starter='''
def best_denoiser(x_noisy, points, sigma):
    """The best guess of the clean x for each row of x_noisy, (N, D); points is (M, D)."""
    return ...
''',
    hints=(
        "Under squared error the best guess is a mean: that of x, given what you saw. It need not be one of the points.",
        "Bayes' rule gives each point a weight: its density of noise at the difference, divided by the sum of all. The "
        "constant of the Gaussian cancels.",
        "Weights that are exponentials divided by their sum: torch has a function for that, which does not underflow.",
    ),
    cases=denoise_cases,
    rtol=1e-3,
    atol=1e-4,
    misconceptions=(
        Misconception(
            "nearest-point",
            "You return the nearest point, the most probable one. Squared error asks for the *mean*, given the noisy "
            "input: between two points it hedges.",
            denoise_nearest,
        ),
        Misconception(
            "no-half",
            "Your weights are too sharp: the exponent of a Gaussian density is the squared distance over 2 sigma^2. The "
            "2 is missing.",
            denoise_without_half,
        ),
        Misconception(
            "sigma-for-variance",
            "You divided by 2 sigma. The exponent has the variance, sigma squared.",
            denoise_sigma_for_variance,
        ),
        Misconception(
            "distance-not-squared",
            "Your exponent has the distance. A Gaussian has its square.",
            denoise_distance,
        ),
        Misconception(
            "score",
            "This is the score, the gradient of the log density of noisy data. The best guess is the noisy input plus "
            "sigma^2 times that.",
            denoise_score,
        ),
        Misconception(
            "not-normalised",
            "Your weights do not add up to 1, so this is no mean of the points. Bayes' rule divides by the sum of the "
            "weights.",
            denoise_not_normalised,
        ),
        Misconception(
            "underflow",
            "Right in theory, but far from every point all your exponentials are 0, and 0 / 0 is NaN. Only differences "
            "between the exponents matter: a softmax takes the largest out first.",
            denoise_underflow,
        ),
    ),
)

# -- a sparse code ---------------------------------------------------------------------------------


def sparsity_reversed(code, target):
    rate = code.mean(0)
    return (rate * (rate / target).log() + (1 - rate) * ((1 - rate) / (1 - target)).log()).sum()


def sparsity_mean_over_units(code, target):
    rate = code.mean(0)
    return (target * (target / rate).log() + (1 - target) * ((1 - target) / (1 - rate)).log()).mean()


def sparsity_image_by_image(code, target):
    each = target * (target / code).log() + (1 - target) * ((1 - target) / (1 - code)).log()
    return each.mean(0).sum()


def sparsity_rate_of_images(code, target):
    rate = code.mean(1)
    return (target * (target / rate).log() + (1 - target) * ((1 - target) / (1 - rate)).log()).sum()


def sparsity_half_forgotten(code, target):
    return (target * (target / code.mean(0)).log()).sum()


def sparsity_cases():
    code = torch.tensor([[0.1, 0.9, 0.02], [0.3, 0.4, 0.04], [0.2, 0.8, 0.09]])
    return [
        Case((torch.tensor([[0.1], [0.3]]), 0.05), note="one unit with the rate 0.2: the chapter's example"),
        Case((code, 0.05), note="three images, three units"),
        Case((code[:2, :2], 0.2)),
    ]


sparsity = FunctionTask(
    "sparsity",
    title="Few units at a time",
    points=15,
    prompt=r"""
The penalty that makes a sigmoid code sparse compares how often each unit is on with a small target rate $\rho$. You get
`code`, shape (N, K), with entries in (0, 1): the activations of K units on N images; and `target`, the number $\rho$ in
(0, 1). With $\hat\rho_k$ the rate of unit $k$, return $\sum_k \mathrm{KL}(\rho \,\Vert\, \hat\rho_k)$ in nats, a tensor
without dimensions. Here $\mathrm{KL}(\rho \,\Vert\, \hat\rho)$ is the divergence between two coins that show "on" with
the probabilities $\rho$ and $\hat\rho$.
""",
    starter='''
def sparsity(code, target):
    """Sum over the units of KL(target ‖ rate), a scalar; code is (N, K)."""
    return ...
''',
    hints=(
        "The rate of a unit is its mean activation. Over what do you average, and what shape is left?",
        "A coin has two sides, so each KL has two terms. The first distribution is the one that weighs them.",
    ),
    cases=sparsity_cases,
    implementations=("coursekit.losses.autoencoder.kl_sparsity",),
    misconceptions=(
        Misconception(
            "arguments-exchanged",
            "This is KL from the rate to the target. The target comes first here: it is the target that weighs the two "
            "logarithms, and a unit that is never on costs without limit.",
            sparsity_reversed,
        ),
        Misconception(
            "mean-over-units",
            "You averaged over the units; sum them. With a mean, a wide code would pay no more than a narrow one.",
            sparsity_mean_over_units,
        ),
        Misconception(
            "image-by-image",
            "You compared every single activation with the target and averaged then. The penalty is on the *rate*: "
            "average over the images first. A unit may be fully on for a few of them.",
            sparsity_image_by_image,
        ),
        Misconception(
            "rate-of-images",
            "You averaged over the units of each image. The rate belongs to a unit: average over the images, and K "
            "numbers are left.",
            sparsity_rate_of_images,
        ),
        Misconception(
            "off-forgotten",
            "You have the term for on, and not the one for off: (1 - rho) log((1 - rho) / (1 - rate)). Alone, the first "
            "rewards rates above the target.",
            sparsity_half_forgotten,
        ),
    ),
)

# -- a contractive code ----------------------------------------------------------------------------


def contractive_not_squared(x, weight, bias):
    z = torch.sigmoid(x @ weight.T + bias)
    return (z * (1 - z)) @ weight.square().sum(1)


def contractive_weights_alone(x, weight, bias):
    return weight.square().sum().expand(len(x))


def contractive_root(x, weight, bias):
    z = torch.sigmoid(x @ weight.T + bias)
    return ((z * (1 - z)).square() @ weight.square().sum(1)).sqrt()


def contractive_of_sum(x, weight, bias):
    z = torch.sigmoid(x @ weight.T + bias)
    return ((z * (1 - z)) @ weight).square().sum(1)


def contractive_preactivation(x, weight, bias):
    a = x @ weight.T + bias
    return (a * (1 - a)).square() @ weight.square().sum(1)


def contractive_mean(x, weight, bias):
    z = torch.sigmoid(x @ weight.T + bias)
    return ((z * (1 - z)).square() @ weight.square().sum(1)).mean()


def contractive_cases():
    weight, bias = torch.tensor([[3.0, 4.0], [-1.0, 0.5], [0.2, -2.0]]), torch.tensor([0.0, 0.3, -0.5])
    x = torch.tensor([[0.0, 0.0], [1.0, -0.2], [-0.5, 1.5], [0.3, 0.4]])
    return [
        Case((x[:1], weight[:1], bias[:1]), note="one unit with the weights (3, 4) at z = 1/2, as in the chapter"),
        Case((x, weight, bias), note="four inputs, three units"),
    ]


contractive = FunctionTask(
    "contractive",
    title="A contractive layer, in closed form",
    points=15,
    prompt=r"""
An encoder is one sigmoid layer, $z = \sigma(W x + b)$. Return the contractive penalty
$\lVert J(x_n) \rVert_F^2 = \sum_k \sum_d (\partial z_k / \partial x_d)^2$ of each input, **in closed form**: without
asking autograd for a Jacobian. You get `x`, shape (N, D), `weight`, shape (K, D), and `bias`, shape (K,), laid out as in
`nn.Linear`. Return shape (N,). It must also be quick for N = 200, D = 784 and K = 200, where autograd's
Jacobian of the whole batch, shape (N, K, N, D), takes 25 GB.
""",
    starter='''
def contractive(x, weight, bias):
    """Squared Frobenius norm of the Jacobian of sigmoid(W x + b) at each row of x, (N,)."""
    return ...
''',
    hints=(
        "First one entry on paper: the derivative of z_k with respect to x_d, by the chain rule.",
        "Square it and sum over d. What depends on d, and what can be taken out of that sum?",
        "What is left is a sum over k of a number of the input times a number of the unit: a product of a matrix (N, K) "
        "with a vector (K,).",
    ),
    cases=contractive_cases,
    implementations=(
        "coursekit.losses.autoencoder.contractive_sigmoid",
        "coursekit.losses.autoencoder.contractive_penalty",
    ),
    misconceptions=(
        Misconception(
            "slope-not-squared",
            "You squared the weights, but not z (1 - z). The whole entry z_k (1 - z_k) W_kd is squared.",
            contractive_not_squared,
        ),
        Misconception(
            "weights-alone",
            "This is the norm of the weights, as weight decay has it. The slope of the sigmoid belongs to the "
            "derivative too, and it depends on x.",
            contractive_weights_alone,
        ),
        Misconception(
            "norm-not-squared",
            "This is the norm of the Jacobian; the penalty is its square.",
            contractive_root,
        ),
        Misconception(
            "sum-of-units",
            "You summed over the units before you squared, which is the gradient of the *sum* of the code. Units of "
            "opposite slopes cancel there; square first, then sum.",
            contractive_of_sum,
        ),
        Misconception(
            "slope-at-the-logit",
            "You put a = W x + b into s (1 - s). The derivative of the sigmoid is z (1 - z), with z = sigmoid(a).",
            contractive_preactivation,
        ),
        Misconception(
            "mean-over-inputs",
            "You averaged over the inputs. Return one number for each; the mean over a batch comes later.",
            contractive_mean,
        ),
    ),
)

# -- any encoder -----------------------------------------------------------------------------------


def with_encoder(subject, layers, weights, x):
    encode = subject.build(layers, weights)
    return subject(encode, x)


def jacobian_of_sum(encode, x):
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(encode(x).sum(), x)
    return gradient.square().sum(1)


def jacobian_norm_unsquared(encode, x):
    rows = [torch.autograd.functional.jacobian(lambda one: encode(one[None])[0], row) for row in x]
    return torch.stack([row.square().sum().sqrt() for row in rows])


def jacobian_of_squared_code(encode, x):
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(encode(x).square().sum(), x)
    return gradient.square().sum(1)


def jacobian_mean_of_entries(encode, x):
    rows = [torch.autograd.functional.jacobian(lambda one: encode(one[None])[0], row) for row in x]
    return torch.stack([row.square().mean() for row in rows])


def jacobian_of_batch(encode, x):
    return torch.autograd.functional.jacobian(encode, x).square().sum()


def jacobian_spectral(encode, x):
    rows = [torch.autograd.functional.jacobian(lambda one: encode(one[None])[0], row) for row in x]
    return torch.stack([torch.linalg.matrix_norm(row, 2) ** 2 for row in rows])


def jacobian_cases():
    line = [torch.tensor([[3.0, 4.0], [1.0, -1.0]]), torch.tensor([0.5, 0.0])]
    deep = [
        torch.tensor([[1.0, -0.5], [0.3, 0.8], [-1.2, 0.4]]),
        torch.tensor([0.1, 0.0, -0.2]),
        torch.tensor([[0.7, -1.0, 0.5], [0.2, 0.6, -0.9]]),
        torch.tensor([0.0, 0.1]),
    ]
    x = torch.tensor([[0.5, -1.0], [2.0, 0.3], [0.0, 0.0]])
    return [
        Case(([["Linear", 2, 2]], line, x), note="a linear encoder: the sum of the squared weights, at every x"),
        Case(([["Linear", 2, 3], ["Tanh"], ["Linear", 3, 2]], deep, x), note="two layers with tanh between"),
    ]


jacobian_norm = FunctionTask(
    "jacobian_norm",
    title="A contractive penalty for any encoder",
    points=15,
    prompt=r"""
Deeper encoders have no closed form; autograd has to do it. You get `encode`, a module that maps (N, D) to codes (N, K),
each row on its own, and `x`, shape (N, D). Return $\lVert J(x_n) \rVert_F^2$ for each row, the sum of all squared
derivatives of its K codes in its D inputs, shape (N,).

(The test builds `encode` of linear layers and activations. In the notebook you can try
`jacobian_norm(nn.Linear(2, 2), torch.randn(3, 2))`.)
""",
    starter='''
def jacobian_norm(encode, x):
    """Squared Frobenius norm of the Jacobian of encode at each row of x, (N,)."""
    return ...
''',
    hints=(
        "torch.autograd.grad gives the gradient of *one* number. A code has K of them, so one call is not enough.",
        "Code k of row n depends on row n alone. So the gradient of encode(x)[:, k].sum() holds, row by row, the "
        "derivatives of code k: one call for each k.",
        "Before the calls x.requires_grad_() (of a copy), and retain_graph=True in all calls that share one forward pass. "
        "Square, sum over d, add up over k.",
    ),
    cases=jacobian_cases,
    probe=with_encoder,
    implementations=("coursekit.losses.autoencoder.contractive_penalty",),
    misconceptions=(
        Misconception(
            "gradient-of-the-sum",
            "This is the squared gradient of the sum of all codes. Derivatives of different units are added there before "
            "they are squared, and may cancel. Take the units one by one.",
            jacobian_of_sum,
        ),
        Misconception(
            "norm-not-squared",
            "This is the norm of the Jacobian; the penalty is its square.",
            jacobian_norm_unsquared,
        ),
        Misconception(
            "gradient-of-the-squared-code",
            "This is the gradient of the squared length of the code. It is small wherever the code is small, however "
            "steep the encoder is there.",
            jacobian_of_squared_code,
        ),
        Misconception(
            "mean-of-entries",
            "You averaged over the K D entries of the Jacobian; sum them.",
            jacobian_mean_of_entries,
        ),
        Misconception(
            "whole-batch",
            "This is one number for the whole batch. Return one for each row, shape (N,).",
            jacobian_of_batch,
        ),
        Misconception(
            "largest-stretch",
            "This is the square of the largest singular value, the most that any one direction is stretched. The "
            "Frobenius norm adds the squares of all of them.",
            jacobian_spectral,
        ),
    ),
)

# -- a denoising autoencoder -----------------------------------------------------------------------

_NOISE = 0.5


def _public_score(module):
    x = to_float(load_images("digits", "test").images)
    mean = to_float(load_images("digits").images).mean(0)
    noise = _NOISE * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits, _ = module(x + noise)
    return 1 - float((logits.sigmoid() - x).square().sum() / (mean - x).square().sum())


denoiser = ArtefactTask(
    "denoiser",
    title="Train one that undoes noise",
    points=15,
    prompt=r"""
Train an autoencoder on the set `"digits"` that repairs noisy images. It is shown test images plus Gaussian noise of
standard deviation 0.5 on every pixel, and must return the clean ones. Use `AutoencoderTrainer` with `latent_dim=64` and
`hidden=(128,)`, and leave `reconstruction` as it is; every other setting is yours, and so is the number of steps. Ten
seconds are enough. The score is the share of the variance that is explained, with the mean image $\bar x$:

$$
1 - \sum_n \lVert x_n - \hat x_n \rVert^2 \Big/ \sum_n \lVert x_n - \bar x \rVert^2 .
$$

Always answering the mean image scores 0.
""",
    starter="""
from coursekit.data import load_images
from coursekit.trainers import AutoencoderTrainer

digits = load_images("digits")

denoiser = ...  # an AutoencoderTrainer(latent_dim=64, hidden=(128,), …), fitted to digits
""",
    hints=(
        "An autoencoder that never saw noise in training copies as much of it as its bottleneck lets through; trained "
        "for long, it is worse than the mean image. Which variant of the chapter shows it noise?",
        "See noise_std in help(AutoencoderTrainer.Config). With the default learning rate it is still improving after "
        "400 steps: take more steps, or larger ones.",
    ),
    architecture=lambda: build_autoencoder((1, 28, 28), 64, hidden=(128,)),
    public_score=_public_score,
    thresholds={0.65: 0.5, 0.72: 0.75, 0.76: 1.0},
)


def draw_numbers(rng):
    """Variances and a positive covariance of points in the plane."""
    var1, var2 = round(float(rng.uniform(3, 9)), 1), round(float(rng.uniform(3, 9)), 1)
    return {"var1": var1, "var2": var2, "cov": round(float(rng.uniform(0.45, 0.8)) * math.sqrt(var1 * var2), 1)}


assignment = Assignment(
    "autoencoders",
    title="Autoencoders",
    intro=r"""
Seven tasks on the chapter "Autoencoders". You will find out what a linear autoencoder loses, and write it down without
training it; write the best denoiser there is, a sparse and two contractive penalties; and train a network that undoes
noise.
""",
    tasks=(least_error, linear_autoencoder, best_denoiser, sparsity, contractive, jacobian_norm, denoiser),
    numbers=draw_numbers,
)
start, progress, submit = assignment.start, assignment.progress, assignment.submit
