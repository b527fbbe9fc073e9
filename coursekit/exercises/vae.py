"""Graded exercises on variational autoencoders."""

import math

import numpy as np
import torch
from torch.nn import functional as F

from coursekit.data import binarize, load_images, to_float
from coursekit.exercises.tasks import (
    ArtefactTask,
    Assignment,
    Case,
    FunctionTask,
    Misconception,
    TextTask,
    ValueTask,
)
from coursekit.losses.reconstruction import bernoulli_nll
from coursekit.losses.vae import kl_standard_normal
from coursekit.networks import build_vae

# -- the KL term -----------------------------------------------------------------------------------


def _kl_cases():
    return [
        Case((torch.zeros(1, 2), torch.zeros(1, 2)), note="q is the prior itself"),
        Case(
            (torch.tensor([[1.0]]), torch.tensor([[math.log(0.25)]])), note="one dimension, worked by hand in the book"
        ),
        Case(
            (
                torch.tensor([[0.0, 1.0], [-2.0, 0.5], [3.0, 0.0]]),
                torch.tensor([[0.0, -1.0], [1.0, 0.5], [-2.0, 0.0]]),
            ),
            note="three images, two dimensions: one number for each image",
        ),
        Case(
            (torch.tensor([[0.1, -0.2, 0.3]]), torch.tensor([[-9.0, -4.0, 2.0]])),
            note="an encoder that is very sure in one dimension",
        ),
    ]


def _kl_mean_over_dimensions(mu, log_var):
    return -0.5 * (1 + log_var - mu**2 - log_var.exp()).mean(dim=1)


def _kl_negative(mu, log_var):
    return 0.5 * (1 + log_var - mu**2 - log_var.exp()).sum(dim=1)


def _kl_log_var_as_sigma(mu, log_var):
    sigma = log_var
    return -0.5 * (1 + torch.log(sigma**2) - mu**2 - sigma**2).sum(dim=1)


def _kl_log_var_as_log_sigma(mu, log_var):
    log_sigma = log_var
    return -0.5 * (1 + 2 * log_sigma - mu**2 - (2 * log_sigma).exp()).sum(dim=1)


def _kl_without_half(mu, log_var):
    return -(1 + log_var - mu**2 - log_var.exp()).sum(dim=1)


def _kl_batch_mean(mu, log_var):
    return -0.5 * (1 + log_var - mu**2 - log_var.exp()).sum(dim=1).mean()


def _kl_of_everything(mu, log_var):
    return -0.5 * (1 + log_var - mu**2 - log_var.exp()).sum()


def _kl_not_summed(mu, log_var):
    return -0.5 * (1 + log_var - mu**2 - log_var.exp())


kl = FunctionTask(
    "kl",
    title="The KL term",
    points=15,
    prompt=r"""
The encoder says for each image: the code has mean $\mu$ and log-variance $\log \sigma^2$ in each of $K$ dimensions, independently. So $q(z \mid x) = \mathcal{N}(\mu, \operatorname{diag}(\sigma^2))$, and what it pays is

$$
\mathrm{KL}\bigl(q(z \mid x) \,\Vert\, \mathcal{N}(0, I)\bigr) .
$$

Work out the integral for one dimension on paper. Then write it as a function of `mu` and `log_var`, both of shape (N, K). It returns one number for each image, shape (N,), in nats.
""",
    starter='''
def kl(mu, log_var):
    """KL(N(mu, diag(sigma²)) ‖ N(0, I)) for each image, (N,); mu and log_var are (N, K)."""
    return ...
''',
    cases=_kl_cases,
    hints=(
        "Start from the definition, the mean of log q(z) − log p(z) under q. The factors 1/√(2π) cancel.",
        "You need two means under q: that of (z − mu)² and that of z². Each is a sum of mu² and sigma², or one of them.",
        "The dimensions are independent, so log q is a sum over them. What does that make of the KL?",
        "Test yourself: the result is never negative, and 0 exactly where mu = 0 and log_var = 0.",
    ),
    misconceptions=(
        Misconception(
            "mean-over-dimensions",
            "You averaged over the K latent dimensions. They are independent, so log q is a sum over them, and the KL "
            "is too: sum. Averaging divides the KL by K, and the VAE trains as if beta were 1/K.",
            _kl_mean_over_dimensions,
        ),
        Misconception(
            "negative-kl",
            "This is −KL. The paper's appendix writes −KL because it maximises; a KL is never negative.",
            _kl_negative,
        ),
        Misconception(
            "log-var-as-sigma",
            "You used log_var as if it were sigma. It is log σ²: the variance is exp(log_var), and its logarithm is "
            "log_var itself.",
            _kl_log_var_as_sigma,
        ),
        Misconception(
            "log-var-as-log-sigma",
            "You used log_var as if it were log σ. It is log σ² = 2 log σ, so no further factor 2 belongs before it.",
            _kl_log_var_as_log_sigma,
        ),
        Misconception(
            "without-half",
            "This is twice the KL. The ½ comes from the exponent of the Gaussian, and from the square root in front of it.",
            _kl_without_half,
        ),
        Misconception(
            "mean-over-batch",
            "You averaged over the batch. Here each image keeps its own number, shape (N,); the training step averages.",
            _kl_batch_mean,
        ),
        Misconception(
            "sum-over-batch",
            "You summed over images and dimensions alike. Sum over the dimensions only, so that shape (N,) is left.",
            _kl_of_everything,
        ),
        Misconception(
            "not-summed",
            "These are the KLs of the single dimensions. An image pays for all of them: sum over the dimensions.",
            _kl_not_summed,
        ),
    ),
    implementations=("coursekit.losses.vae.kl_standard_normal", "coursekit.metrics.latent.kl_per_dimension"),
)

# -- the draw --------------------------------------------------------------------------------------


def _value_and_gradients(subject, mu, log_var, eps):
    value, (in_mu, in_log_var) = subject.gradients((mu, log_var, eps), of=[0, 1])
    return {"value": value, "gradient of the sum in mu": in_mu, "gradient of the sum in log_var": in_log_var}


def _reparameterise_cases():
    return [
        Case((torch.tensor([[1.0, -2.0]]), torch.zeros(1, 2), torch.tensor([[0.5, 1.0]])), note="standard deviation 1"),
        Case(
            (
                torch.tensor([[0.5, 1.0], [0.0, -1.0]]),
                torch.tensor([[math.log(4.0), -1.0], [2.0, 0.3]]),
                torch.tensor([[1.0, -1.0], [0.2, 2.0]]),
            ),
            note="two images; the first standard deviation is 2",
        ),
        Case(
            (torch.tensor([[3.0]]), torch.tensor([[-6.0]]), torch.tensor([[[1.0]], [[-1.0]], [[0.0]]])),
            note="three draws for one image: eps has one axis more",
        ),
    ]


def _draw_with_variance(mu, log_var, eps):
    return mu + log_var.exp() * eps


def _draw_with_log_var(mu, log_var, eps):
    return mu + log_var * eps


def _draw_detached(mu, log_var, eps):
    with torch.no_grad():
        z = mu + torch.exp(0.5 * log_var) * eps
    return z


def _draw_through_numpy(mu, log_var, eps):
    sigma = np.exp(0.5 * log_var.detach().numpy())
    return mu + torch.tensor(sigma) * eps


def _draw_without_scale(mu, log_var, eps):
    return mu + eps


reparameterise = FunctionTask(
    "reparameterise",
    title="A draw you can differentiate",
    points=15,
    prompt=r"""
A draw from $q(z \mid x) = \mathcal{N}(\mu, \operatorname{diag}(\sigma^2))$ is not a formula, so there is nothing to differentiate. Write it as one: a function of $\mu$, $\log \sigma^2$ and of standard normal noise `eps` that somebody else has drawn.

`mu` and `log_var` are (N, K). `eps` is (N, K), or (k, N, K) for k draws of each code; the result has the shape of `eps`. The check compares the values **and** the gradients of their sum: the encoder learns from nothing else.
""",
    starter='''
def reparameterise(mu, log_var, eps):
    """z with distribution N(mu, diag(sigma²)), the shape of eps, differentiable in mu and log_var."""
    return ...
''',
    cases=_reparameterise_cases,
    hints=(
        "Shift and scale the noise. Which scale gives the standard deviation sigma?",
        "log_var is log σ². Halve it before you take the exponential.",
        "If a gradient is None, some step has cut the graph: no_grad, detach, .data, .item, or a round trip over numpy.",
    ),
    misconceptions=(
        Misconception(
            "variance-as-scale",
            "You scaled the noise by the variance σ² = exp(log_var). Scaling by c multiplies the variance by c², so the "
            "scale is σ = exp(½ log_var).",
            _draw_with_variance,
        ),
        Misconception(
            "log-var-as-scale",
            "You scaled the noise by log_var itself. That is log σ² and may be negative; σ is exp(½ log_var).",
            _draw_with_log_var,
        ),
        Misconception(
            "detached",
            "The values are right, but no gradient reaches mu and log_var: the draw is detached from the graph, and the "
            "encoder would never learn. Remove no_grad, detach or .data.",
            _draw_detached,
        ),
        Misconception(
            "detached-sigma",
            "The gradient reaches mu but not log_var: sigma has left the graph, through numpy or detach. Compute it with "
            "torch, from log_var.",
            _draw_through_numpy,
        ),
        Misconception(
            "no-scale",
            "You shifted the noise and did not scale it. So every code has variance 1 whatever the encoder says.",
            _draw_without_scale,
        ),
    ),
    implementations=("coursekit.losses.vae.reparameterise",),
    probe=_value_and_gradients,
)

# -- the loss --------------------------------------------------------------------------------------


def _loss_cases():
    x = torch.tensor([[[[1.0, 0.0], [0.0, 1.0]]], [[[1.0, 1.0], [0.0, 0.0]]], [[[0.0, 0.0], [0.0, 1.0]]]])
    logits = torch.tensor([[[[2.0, -1.0], [0.5, 0.0]]], [[[0.1, 3.0], [-2.0, 1.0]]], [[[-1.0, 0.3], [0.0, 0.7]]]])
    mu = torch.tensor([[0.5, -1.0], [0.0, 2.0], [1.0, 1.0]])
    log_var = torch.tensor([[0.0, -0.5], [1.0, -2.0], [0.2, 0.0]])
    still = torch.zeros(1, 2)
    return [
        Case((x[:1], logits[:1], still, still), note="the KL is 0: only the reconstruction is left"),
        Case((x, logits, mu, log_var), note="three images of 2 × 2 pixels"),
        Case((x, logits, mu, log_var, 4.0), note="beta = 4"),
        Case(
            (x[:1], torch.tensor([[[[150.0, -150.0], [-150.0, 150.0]]]]), still, still),
            note="a decoder that is sure, and right",
        ),
    ]


def _loss_pixel_mean(x, logits, mu, log_var, beta=1.0):
    nll = F.binary_cross_entropy_with_logits(logits, x)
    kl = -0.5 * (1 + log_var - mu**2 - log_var.exp()).sum(dim=1).mean()
    return nll + beta * kl


def _loss_batch_sum(x, logits, mu, log_var, beta=1.0):
    nll = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    kl = -0.5 * (1 + log_var - mu**2 - log_var.exp()).sum()
    return nll + beta * kl


def _loss_minus_kl(x, logits, mu, log_var, beta=1.0):
    nll = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
    kl = -0.5 * (1 + log_var - mu**2 - log_var.exp()).sum(dim=1).mean()
    return nll - beta * kl


def _loss_elbo(x, logits, mu, log_var, beta=1.0):
    nll = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
    kl = -0.5 * (1 + log_var - mu**2 - log_var.exp()).sum(dim=1).mean()
    return -nll - beta * kl


def _loss_beta_on_reconstruction(x, logits, mu, log_var, beta=1.0):
    nll = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
    kl = -0.5 * (1 + log_var - mu**2 - log_var.exp()).sum(dim=1).mean()
    return beta * nll + kl


def _loss_two_sigmoids(x, logits, mu, log_var, beta=1.0):
    nll = F.binary_cross_entropy_with_logits(logits.sigmoid(), x, reduction="sum") / len(x)
    kl = -0.5 * (1 + log_var - mu**2 - log_var.exp()).sum(dim=1).mean()
    return nll + beta * kl


def _loss_squared_error(x, logits, mu, log_var, beta=1.0):
    error = (logits.sigmoid() - x).square().sum() / len(x)
    kl = -0.5 * (1 + log_var - mu**2 - log_var.exp()).sum(dim=1).mean()
    return error + beta * kl


def _loss_log_of_sigmoid(x, logits, mu, log_var, beta=1.0):
    p = torch.sigmoid(logits)
    nll = -(x * torch.log(p) + (1 - x) * torch.log(1 - p)).sum() / len(x)
    kl = -0.5 * (1 + log_var - mu**2 - log_var.exp()).sum(dim=1).mean()
    return nll + beta * kl


def _loss_logits_as_probabilities(x, logits, mu, log_var, beta=1.0):
    nll = F.binary_cross_entropy(logits, x, reduction="sum") / len(x)
    kl = -0.5 * (1 + log_var - mu**2 - log_var.exp()).sum(dim=1).mean()
    return nll + beta * kl


def _loss_kl_mean(x, logits, mu, log_var, beta=1.0):
    nll = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
    kl = -0.5 * (1 + log_var - mu**2 - log_var.exp()).mean()
    return nll + beta * kl


def _loss_per_image(x, logits, mu, log_var, beta=1.0):
    nll = F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(dim=1)
    kl = -0.5 * (1 + log_var - mu**2 - log_var.exp()).sum(dim=1)
    return nll + beta * kl


loss = FunctionTask(
    "loss",
    title="What Adam minimises",
    points=15,
    prompt=r"""
Put the loss of a training step together: minus the ELBO, with a weight $\beta$ before the KL,

$$
-\log p(x \mid z) + \beta\, \mathrm{KL}\bigl(q(z \mid x) \,\Vert\, \mathcal{N}(0, I)\bigr) ,
$$

for black-and-white images `x` of shape (N, C, H, W), and the `logits` that the decoder gives for one draw of $z$. Each pixel is 1 with probability $1/(1 + e^{-\text{logit}})$, independently. Return one number: the **mean over the N images** of the loss of an image, in nats. Mind what is summed within an image.

You may call your `kl` from above. A wrong one would then cost you points twice.
""",
    starter='''
def loss(x, logits, mu, log_var, beta=1.0):
    """-log p(x | z) + beta * KL, per image, averaged over the images: one number."""
    return ...
''',
    cases=_loss_cases,
    hints=(
        "log p(x | z) of an image is a sum over its pixels, because given z they are independent.",
        "torch.nn.functional.binary_cross_entropy_with_logits takes logits, not probabilities. Look at its reduction.",
        "Both terms are sums within an image: over pixels there, over latent dimensions here. Only images are averaged.",
        "If you get NaN or inf where the decoder is sure, you compute log(0): let the function with logits do it.",
    ),
    misconceptions=(
        Misconception(
            "mean-over-pixels",
            "You averaged the cross-entropy over the pixels; sum them. With 784 pixels your KL weighs 784 times too much, "
            "and the posterior collapses.",
            _loss_pixel_mean,
        ),
        Misconception(
            "sum-over-batch",
            "You summed over the images too. Then the learning rate means something else for every batch size: average "
            "over the images.",
            _loss_batch_sum,
        ),
        Misconception(
            "kl-subtracted",
            "You subtracted the KL. The ELBO subtracts it; this is minus the ELBO, and both terms are costs.",
            _loss_minus_kl,
        ),
        Misconception(
            "elbo-itself",
            "This is the ELBO, which is maximised. Adam minimises: change the sign of the whole.",
            _loss_elbo,
        ),
        Misconception(
            "beta-on-reconstruction",
            "Your beta weighs the reconstruction. It belongs before the KL: beta > 1 makes the code dearer.",
            _loss_beta_on_reconstruction,
        ),
        Misconception(
            "two-sigmoids",
            "The sigmoid is applied twice: you give probabilities to a function that takes logits.",
            _loss_two_sigmoids,
        ),
        Misconception(
            "squared-error",
            "This is a squared error. It belongs to a Gaussian p(x | z); these pixels are 0 or 1, so −log p is the "
            "cross-entropy.",
            _loss_squared_error,
        ),
        Misconception(
            "logits-as-probabilities",
            "binary_cross_entropy takes probabilities, and these are logits. There is a function with logits.",
            _loss_logits_as_probabilities,
        ),
        Misconception(
            "kl-mean-over-dimensions",
            "You averaged the KL over the latent dimensions as well. Average over the images only, or the code is too cheap.",
            _loss_kl_mean,
        ),
        Misconception(
            "per-image",
            "This is the loss of each image. Adam minimises one number: their mean.",
            _loss_per_image,
        ),
        Misconception(
            "log-of-zero",
            "The formula is right, and the computer gets log(0): for a large logit the sigmoid rounds to 1. The function "
            "binary_cross_entropy_with_logits computes the same without it.",
            _loss_log_of_sigmoid,
        ),
    ),
    implementations=(
        "coursekit.losses.vae.negative_elbo",
        "coursekit.losses.vae.kl_standard_normal",
        "coursekit.losses.reconstruction.bernoulli_nll",
    ),
)

# -- the gap, in numbers ---------------------------------------------------------------------------


def draw_numbers(rng):
    """Numbers of the value task: a model on the line, an observation, and a poor guess of the posterior.

    From lists, so that no usual wrong answer comes near the right one for any student.
    """
    return {
        "w": (0.6, 0.65, 0.9, 1.2)[rng.integers(4)],
        "s": (0.5, 0.6, 0.7, 0.8)[rng.integers(4)],
        "x": (-2.4, -1.7, 1.6, 2.2, 2.6)[rng.integers(5)],
        "m": (-0.2, 0.25, 0.35, 0.5)[rng.integers(4)],
        "v": (0.03, 0.05, 0.12, 0.3)[rng.integers(4)],
    }


def _gaussian_kl(mean_1, var_1, mean_2, var_2):
    return 0.5 * (math.log(var_2 / var_1) + (var_1 + (mean_1 - mean_2) ** 2) / var_2 - 1)


def _to_the_prior(n):
    return _gaussian_kl(n["m"], n["v"], 0.0, 1.0)


def _to_the_likelihood(n):
    return _gaussian_kl(n["m"], n["v"], n["x"] / n["w"], n["s"] ** 2 / n["w"] ** 2)


def _s_as_variance(n):
    precision = 1 + n["w"] ** 2 / n["s"]
    return _gaussian_kl(n["m"], n["v"], n["w"] * n["x"] / n["s"] / precision, 1 / precision)


def _v_as_deviation(n):
    precision = 1 + n["w"] ** 2 / n["s"] ** 2
    return _gaussian_kl(n["m"], n["v"] ** 2, n["w"] * n["x"] / n["s"] ** 2 / precision, 1 / precision)


def _reverse(n):
    precision = 1 + n["w"] ** 2 / n["s"] ** 2
    return _gaussian_kl(n["w"] * n["x"] / n["s"] ** 2 / precision, 1 / precision, n["m"], n["v"])


gap = ValueTask(
    "gap",
    title="The gap, to the last nat",
    points=15,
    prompt=r"""
Here the integral can be done, so you can see what the bound loses. On the line let

$$
z \sim \mathcal{N}(0, 1), \qquad x \mid z \sim \mathcal{N}(w z, s^2),
$$

with standard deviation $s$. You observe $x$. Somebody hands you the encoder's answer $q(z \mid x) = \mathcal{N}(m, v)$, with *variance* $v$; it is not a good one. The values of `w`, `s`, `x`, `m` and `v` are in `numbers`, and they are your own.

By how many nats is the ELBO of this $q$ below $\log p(x)$? Assign the number to `gap`. You may compute it in the cell. The check says whether the form is right and knows the usual wrong ways, but not whether your number is right.
""",
    starter="""
gap = ...
""",
    hints=(
        "The gap has a name, and you need neither log p(x) nor the ELBO to compute it.",
        "Prior times likelihood, as a function of z, is e to a quadratic. So the posterior is Gaussian: its precision is "
        "the sum of the prior's and the likelihood's.",
        "Then you need the KL between two Gaussians on the line. Which of the two comes first?",
    ),
    misconceptions=(
        Misconception(
            "to-the-prior",
            "It is the KL from q to the prior. That is a term of the ELBO; the gap is the KL to the posterior p(z | x).",
            _to_the_prior,
        ),
        Misconception(
            "reversed",
            "It is the KL from the posterior to q. The expectation in the ELBO is under q, so q comes first.",
            _reverse,
        ),
        Misconception(
            "prior-forgotten",
            "Your posterior is the likelihood alone, with mean x / w. The prior pulls it towards 0 and adds its own "
            "precision 1.",
            _to_the_likelihood,
        ),
        Misconception(
            "s-as-variance",
            "You took s for the variance of x given z. It is the standard deviation: the variance is s².",
            _s_as_variance,
        ),
        Misconception(
            "v-as-deviation",
            "You took v for the standard deviation of q. It is the variance.",
            _v_as_deviation,
        ),
    ),
)

# -- which dimensions survive ----------------------------------------------------------------------


def _surviving_cases():
    return [
        Case((torch.tensor([3.0, 1.0, 0.5]), 0.5, 1.0, 3), note="every direction of the data beats the noise"),
        Case((torch.tensor([3.0, 1.0, 0.2, 0.1]), 0.5, 1.0, 4), note="the noise has variance 0.25"),
        Case((torch.tensor([3.0, 1.0, 0.2, 0.1]), 0.5, 6.0, 4), note="beta = 6"),
        Case((torch.tensor([9.0, 8.0, 7.0, 6.0]), 0.5, 1.0, 2), note="two latent dimensions"),
        Case((torch.tensor([3.0, 1.0, 0.2, 0.1]), 0.5, 0.5, 4), note="beta = 0.5"),
        Case((torch.tensor([4.0, 2.0, 1.0]), 0.5, 8.0, 3), note="one eigenvalue meets the threshold exactly"),
    ]


def _surviving_sigma(eigenvalues, sigma, beta, latent_dim):
    return min(latent_dim, int((eigenvalues > beta * sigma).sum()))


def _surviving_beta_divides(eigenvalues, sigma, beta, latent_dim):
    return min(latent_dim, int((eigenvalues > sigma**2 / beta).sum()))


def _surviving_without_limit(eigenvalues, sigma, beta, latent_dim):
    return int((eigenvalues > beta * sigma**2).sum())


def _surviving_without_beta(eigenvalues, sigma, beta, latent_dim):
    return min(latent_dim, int((eigenvalues > sigma**2).sum()))


def _surviving_at_threshold(eigenvalues, sigma, beta, latent_dim):
    return min(latent_dim, int((eigenvalues >= beta * sigma**2).sum()))


def _collapsed(eigenvalues, sigma, beta, latent_dim):
    return latent_dim - min(latent_dim, int((eigenvalues > beta * sigma**2).sum()))


active_dimensions = FunctionTask(
    "active_dimensions",
    title="Who survives",
    points=10,
    prompt=r"""
In a linear VAE you can say beforehand which dimensions collapse. The decoder is $p(x \mid z) = \mathcal{N}(Wz, \sigma^2 I)$, the KL has the weight $\beta$, there are `latent_dim` latent dimensions, and the covariance of the centred data has these `eigenvalues`.

How many dimensions carry information at the minimum of the loss? Return a whole number. You find the theorem in the chapter's section on posterior collapse. Before you look, guess: does a larger $\beta$ keep more, or fewer?
""",
    starter='''
def active_dimensions(eigenvalues, sigma, beta, latent_dim):
    """How many latent dimensions of a linear VAE do not collapse: an int. eigenvalues is a tensor, (D,)."""
    return ...
''',
    cases=_surviving_cases,
    hints=(
        "A dimension explains one direction of the data. It is worth its nats only if the variance there exceeds something.",
        "That something is the noise of the decoder, as a variance, times the price of a nat.",
        "There are never more than latent_dim. And a dimension exactly at the threshold: is its column of W zero?",
    ),
    misconceptions=(
        Misconception(
            "sigma-not-squared",
            "You compare eigenvalues, which are variances, with a standard deviation. Compare with σ².",
            _surviving_sigma,
        ),
        Misconception(
            "beta-divides",
            "Your beta lowers the threshold. A large beta makes information dear: it raises it, so more dimensions collapse.",
            _surviving_beta_divides,
        ),
        Misconception(
            "more-than-latent-dim",
            "You count directions of the data that are worth a code. There are only latent_dim codes to give.",
            _surviving_without_limit,
        ),
        Misconception(
            "beta-forgotten",
            "Your number does not depend on beta. The weight of the KL decides what is worth its nats.",
            _surviving_without_beta,
        ),
        Misconception(
            "at-the-threshold",
            "At the threshold exactly, the column of W has length 0: that dimension has collapsed. Use >, not ≥.",
            _surviving_at_threshold,
        ),
        Misconception(
            "collapsed-counted",
            "You count the dimensions that collapse. Those that do not are asked for.",
            _collapsed,
        ),
    ),
)

# -- in words --------------------------------------------------------------------------------------

gap_proof = TextTask(
    "gap_proof",
    title="Why there is a gap, and which",
    points=15,
    prompt=r"""
Show that

$$
\log p(x) = \mathcal{L}(x) + \mathrm{KL}\bigl(q(z \mid x) \,\Vert\, p(z \mid x)\bigr), \qquad
\mathcal{L}(x) = \mathbb{E}_{q(z \mid x)}\left[ \log \frac{p(x, z)}{q(z \mid x)} \right] .
$$

Then say in your own words what follows: why $\mathcal{L}$ is a lower bound, when it is tight, and what training the encoder does for a fixed decoder. Half a page is enough.
""",
    starter="...",
    hints=(
        "p(x) does not depend on z, so log p(x) is its own mean under q. Then use p(x) = p(x, z) / p(z | x).",
        "Multiply and divide by q(z | x) inside the logarithm, and split it in two.",
    ),
    rubric=(
        ("log p(x) is written as an expectation under q, with the reason why that is allowed", 4),
        ("Bayes' rule and q inside the logarithm; the two terms are named as the ELBO and the KL to the posterior", 5),
        ("the KL is not negative, hence the bound; equality exactly if q is the posterior", 3),
        ("for a fixed decoder, raising the ELBO lowers the KL to the posterior, as log p(x) stays", 3),
    ),
)

# -- a model ---------------------------------------------------------------------------------------


def small_network():
    """The network of the training task: 8 latent dimensions, one hidden layer of 64."""
    return build_vae((1, 28, 28), 8, hidden=(64,))


def elbo(network, seed):
    """Mean ELBO, in nats an image, on the test digits: binarised, and coded with noise, by `seed`."""
    x = to_float(binarize(load_images("digits", "test"), seed=seed).images)
    eps = torch.randn(len(x), 8, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        logits, mu, log_var = network(x, eps)
    return float(-(bernoulli_nll(logits, x) + kl_standard_normal(mu, log_var)).mean())


def _public_score(network):
    return elbo(network, seed=0)


small_vae = ArtefactTask(
    "small_vae",
    title="Train one",
    points=15,
    prompt=r"""
Train a VAE on the 1,437 training digits that come with the course, made black and white, and hand it in. The score is the mean ELBO of test digits in nats an image, so it is negative, and larger is better.

Its size is fixed: `latent_dim=8` and `hidden=(64,)`. The other settings are yours: `lr`, `batch_size`, `beta`, and `fit`'s `epochs` or `max_steps`. With the settings that it comes with, ten epochs give about −240. A good model needs a few seconds on a laptop.
""",
    starter="""
from coursekit.data import binarize, load_images
from coursekit.trainers import VAETrainer

digits = binarize(load_images("digits"), seed=0)
small_vae = ...  # a VAETrainer(latent_dim=8, hidden=(64,), …), fitted to digits
""",
    hints=(
        "Write small_vae = VAETrainer(latent_dim=8, hidden=(64,)) and small_vae.fit(digits) first. Then look at "
        "small_vae.history: is the loss still falling at the end?",
        "More epochs help, and so does a larger learning rate: a step is small for so few images.",
        "After too many epochs the score falls again although the training loss goes down. That is overfitting: stop earlier.",
        "beta other than 1 trains something else than what is scored.",
    ),
    architecture=small_network,
    public_score=_public_score,
    thresholds={-230.0: 0.4, -212.0: 0.7, -200.0: 1.0},
)

assignment = Assignment(
    "vae",
    title="Variational autoencoders",
    intro="From the integral to the loss: the two formulas a VAE rests on, what the bound loses, which dimensions collapse, "
    "and a model of your own.",
    tasks=(kl, reparameterise, loss, gap, active_dimensions, gap_proof, small_vae),
    numbers=draw_numbers,
)
start, progress, submit = assignment.start, assignment.progress, assignment.submit
