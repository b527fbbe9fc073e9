"""Graded exercises of the chapter "Discriminative and generative"."""

import math

import torch

from coursekit.data import gaussian_mixture_2d
from coursekit.exercises.tasks import ArtefactTask, Assignment, Case, FunctionTask, Misconception, ValueTask
from coursekit.networks import build_classifier

# -- range and distribution ------------------------------------------------------------------------


def density_for_share(numbers):
    def density(mean, std):
        return math.exp(-0.5 * ((numbers["threshold"] - mean) / std) ** 2) / (std * math.sqrt(2 * math.pi))

    women = density(numbers["mean_women"], numbers["std_women"])
    men = density(numbers["mean_men"], numbers["std_men"])
    return 1 / (numbers["high"] - numbers["low"]) / (0.5 * women + 0.5 * men)


def one_gaussian(numbers):
    mean = (numbers["mean_women"] + numbers["mean_men"]) / 2
    std = (numbers["std_women"] + numbers["std_men"]) / 2
    share = 0.5 * math.erfc((numbers["threshold"] - mean) / std / math.sqrt(2))
    return (numbers["high"] - numbers["threshold"]) / (numbers["high"] - numbers["low"]) / share


def shares_below(numbers):
    def below(mean, std):
        return 0.5 * math.erfc((mean - numbers["threshold"]) / std / math.sqrt(2))

    women = below(numbers["mean_women"], numbers["std_women"])
    men = below(numbers["mean_men"], numbers["std_men"])
    even = (numbers["threshold"] - numbers["low"]) / (numbers["high"] - numbers["low"])
    return even / (0.5 * women + 0.5 * men)


def shares_added(numbers):
    def above(mean, std):
        return 0.5 * math.erfc((numbers["threshold"] - mean) / std / math.sqrt(2))

    women = above(numbers["mean_women"], numbers["std_women"])
    men = above(numbers["mean_men"], numbers["std_men"])
    return (numbers["high"] - numbers["threshold"]) / (numbers["high"] - numbers["low"]) / (women + men)


def upside_down(numbers):
    def above(mean, std):
        return 0.5 * math.erfc((numbers["threshold"] - mean) / std / math.sqrt(2))

    women = above(numbers["mean_women"], numbers["std_women"])
    men = above(numbers["mean_men"], numbers["std_men"])
    return 0.5 * (women + men) * (numbers["high"] - numbers["low"]) / (numbers["high"] - numbers["threshold"])


too_many = ValueTask(
    "too_many",
    title="The range is not the distribution",
    points=10,
    prompt=r"""
You invent the heights of adults. The truth, in cm: half are women with mean `mean_women` and standard deviation
`std_women`, half are men with mean `mean_men` and standard deviation `std_men`, and each half is Gaussian. You ignore
it, and draw heights evenly between `low` and `high`.

What share of *your* people is taller than `threshold`? What share of the true ones? Assign to `too_many` **the first
divided by the second**: how many times too many tall people you make. Your own numbers are in `numbers`, for example
`numbers["threshold"]`.
""",
    starter="""
too_many = ...
""",
    hints=(
        "Both shares are probabilities of an interval that begins at the threshold: an area, not the height of a curve.",
        "A share of the mixture is the mean of the shares of its halves. Work one out for each half, then weigh them.",
        "torch.distributions.Normal(mean, std).cdf(torch.tensor(t)) is the share below t. You need what is left.",
    ),
    misconceptions=(
        Misconception(
            "density-for-share",
            "You divided the densities at the threshold. A density is probability per cm; the share of people who are "
            "taller is the area under it, from the threshold on.",
            density_for_share,
        ),
        Misconception(
            "one-gaussian",
            "You averaged means and standard deviations, and took one Gaussian. A mixture of two Gaussians is not a "
            "Gaussian: average the two shares instead.",
            one_gaussian,
        ),
        Misconception(
            "shares-below",
            "You compared the shares below the threshold. The cumulative distribution function counts those; asked "
            "for are the taller ones.",
            shares_below,
        ),
        Misconception(
            "shares-added",
            "You added the shares of women and men. Each is a share of its own half, so each counts one half.",
            shares_added,
        ),
        Misconception(
            "upside-down",
            "You divided the true share by that of the even draw. Asked for is how many times too many *you* make.",
            upside_down,
        ),
    ),
)

# -- Bayes' rule on tables -------------------------------------------------------------------------


def posterior_without_prior(prior, likelihood):
    return likelihood / likelihood.sum(0)


def posterior_is_joint(prior, likelihood):
    return prior[:, None] * likelihood


def posterior_over_x(prior, likelihood):
    joint = prior[:, None] * likelihood
    return joint / joint.sum(1, keepdim=True)


def posterior_zero_for_undefined(prior, likelihood):
    joint = prior[:, None] * likelihood
    return joint / joint.sum(0).clamp_min(1e-12)


def posterior_prior_along_x(prior, likelihood):
    joint = prior * likelihood
    return joint / joint.sum(0)


def posterior_cases():
    test = torch.tensor([[0.95, 0.05], [0.1, 0.9]])
    letters = torch.tensor([[0.5, 0.5, 0.0, 0.0], [0.1, 0.2, 0.7, 0.0], [0.25, 0.25, 0.5, 0.0]])
    return [
        Case((torch.tensor([0.99, 0.01]), test), note="a test for a rare illness: 90% of the ill are found"),
        Case((torch.tensor([0.5, 0.3, 0.2]), letters[:, :3]), note="three classes, three values of x"),
        Case((torch.tensor([0.2, 0.3, 0.5]), letters), note="no class ever gives the last value of x"),
    ]


posterior = FunctionTask(
    "posterior",
    title="Bayes' rule on a table",
    points=15,
    prompt=r"""
Write Bayes' rule for tables. You get

- `prior`, shape (K,): $P(Y = k)$, adding up to 1;
- `likelihood`, shape (K, M): row $k$ is $P(X = m \mid Y = k)$, each row adding up to 1.

Return a tensor of shape (K, M): entry $(k, m)$ is $P(Y = k \mid X = m)$. Where $X = m$ has probability zero, the
posterior is not defined: return NaN in that column.
""",
    starter='''
def posterior(prior, likelihood):
    """P(Y = k | X = m), (K, M), from P(Y = k), (K,), and P(X = m | Y = k), (K, M)."""
    return ...
''',
    hints=(
        "Begin with the joint probability of class k and value m. Which two factors is it made of, and how do their "
        "shapes go together?",
        "The evidence P(X = m) is the joint, summed over something. What must each *column* of the answer add up to?",
        "In floating point 0 / 0 is NaN. So there is nothing to be done for the last requirement, and one way to spoil "
        "it: a small number added to the denominator.",
    ),
    cases=posterior_cases,
    nan=True,
    misconceptions=(
        Misconception(
            "no-prior",
            "You normalised the likelihoods, as if all classes were equally frequent. Multiply each row by its prior "
            "first: a rare class needs more evidence.",
            posterior_without_prior,
        ),
        Misconception(
            "joint",
            "These are the joint probabilities P(Y = k, X = m). Divide by the evidence P(X = m), so that each column "
            "adds up to 1.",
            posterior_is_joint,
        ),
        Misconception(
            "normalised-over-x",
            "Your rows add up to 1, which makes them distributions over x. A posterior is one over classes: sum the "
            "joint over k, for each m.",
            posterior_over_x,
        ),
        Misconception(
            "prior-along-x",
            "prior * likelihood multiplies *columns* by the prior: the last axes are lined up. The prior belongs to the "
            "rows; give it the shape (K, 1).",
            posterior_prior_along_x,
        ),
        Misconception(
            "zero-for-undefined",
            "You return 0 for values of x that never occur. Then the classes' probabilities add up to 0 there. The "
            "posterior is undefined: leave the NaN of 0 / 0.",
            posterior_zero_for_undefined,
        ),
    ),
)

# -- the evidence in log space ---------------------------------------------------------------------


def evidence_naive(log_prior, log_likelihood):
    return torch.log((log_prior.exp() * log_likelihood.exp()).sum(1))


def evidence_mean_of_logs(log_prior, log_likelihood):
    return (log_prior.exp() * log_likelihood).sum(1)


def evidence_without_prior(log_prior, log_likelihood):
    return torch.logsumexp(log_likelihood, 1)


def evidence_best_class(log_prior, log_likelihood):
    return (log_prior + log_likelihood).max(1).values


def evidence_product(log_prior, log_likelihood):
    return (log_prior + log_likelihood).sum(1)


def evidence_nan_for_impossible(log_prior, log_likelihood):
    log_joint = log_prior + log_likelihood
    largest = log_joint.max(1, keepdim=True).values
    return (largest + (log_joint - largest).exp().sum(1, keepdim=True).log()).squeeze(1)


def evidence_cases():
    ordinary = torch.tensor([[-1.0, -2.0], [-3.0, -0.5], [0.4, 1.1]])
    images = torch.tensor([[-812.0, -809.5, -840.0], [412.0, 405.0, 411.5]])
    impossible = torch.tensor([[-2.0, -math.inf], [-math.inf, -math.inf]])
    return [
        Case((torch.tensor([0.7, 0.3]).log(), ordinary), note="two classes; a log density may be positive"),
        Case((torch.tensor([0.5, 0.25, 0.25]).log(), images), note="images: log densities in the hundreds"),
        Case((torch.tensor([0.5, 0.5]).log(), impossible), note="x that one class, or none, can make: log 0 is -inf"),
    ]


log_evidence = FunctionTask(
    "log_evidence",
    title="The evidence, without underflow",
    points=15,
    prompt=r"""
The density of $x$ under a generative model with classes is $p(x) = \sum_k P(Y = k)\, p(x \mid Y = k)$. For an image,
$\log p(x \mid Y = k)$ is easily $-4000$ or $+4000$, and its exponential is 0 or infinity in floating point. So stay
in logarithms. You get

- `log_prior`, shape (K,): $\log P(Y = k)$;
- `log_likelihood`, shape (N, K): $\log p(x_n \mid Y = k)$.

Return $\log p(x_n)$ in nats, shape (N,). Log probabilities of $-\infty$ are allowed (a class that never occurs, an $x$
that a class cannot make); where no class can make $x_n$ the answer is $-\infty$.
""",
    starter='''
def log_evidence(log_prior, log_likelihood):
    """log p(x) of each x, (N,); log_prior is (K,), log_likelihood (N, K)."""
    return ...
''',
    hints=(
        "First the joint: a product, which in logarithms is a sum. The shapes (K,) and (N, K) go together as they are.",
        "Then the logarithm of a sum of exponentials over the classes. Taking the largest term out of the sum keeps "
        "every exponential at 1 or below.",
        "PyTorch has this as one function with a name of three words run together. It also knows what to do if all "
        "terms are -inf.",
    ),
    cases=evidence_cases,
    misconceptions=(
        Misconception(
            "underflow",
            "Right in theory, but the exponential of -800 is 0 in floating point, and that of 400 infinite. Never leave "
            "the logarithms: take the largest term out of the sum first.",
            evidence_naive,
        ),
        Misconception(
            "mean-of-logs",
            "You averaged the logarithms over the classes. The logarithm of a mean is larger (Jensen's inequality): "
            "average the densities, then take the logarithm.",
            evidence_mean_of_logs,
        ),
        Misconception(
            "no-prior",
            "You summed the likelihoods and left the prior out. Each class counts as often as it occurs: add log_prior "
            "before the sum.",
            evidence_without_prior,
        ),
        Misconception(
            "best-class-only",
            "This is the joint of the most probable class alone. The evidence adds up all classes that could have made "
            "x; the others count too.",
            evidence_best_class,
        ),
        Misconception(
            "product-of-classes",
            "A sum of logarithms is the logarithm of a product: x would have to come from every class at once. The "
            "evidence is a sum of densities.",
            evidence_product,
        ),
        Misconception(
            "nan-for-impossible",
            "Taking out the largest term is right, but where every term is -inf the difference -inf - (-inf) is NaN. "
            "There the answer is -inf.",
            evidence_nan_for_impossible,
        ),
    ),
)

# -- drawing from the joint ------------------------------------------------------------------------


def draw_blend(prior, means, stds, u, eps):
    return ((means + stds * eps[:, None]) * prior).sum(1)


def draw_equal_classes(prior, means, stds, u, eps):
    k = (u * len(prior)).long()
    return means[k] + stds[k] * eps


def draw_variance(prior, means, stds, u, eps):
    k = torch.searchsorted(prior.cumsum(0), u, right=True).clamp(max=len(prior) - 1)
    return means[k] + stds[k] ** 2 * eps


def draw_most_probable(prior, means, stds, u, eps):
    k = prior.argmax()
    return means[k] + stds[k] * eps


def draw_impossible_class(prior, means, stds, u, eps):
    k = torch.searchsorted(prior.cumsum(0), u).clamp(max=len(prior) - 1)
    return means[k] + stds[k] * eps


def draw_cases():
    means, stds = torch.tensor([162.8, 176.0]), torch.tensor([7.0, 7.4])
    u, eps = torch.tensor([0.1, 0.45, 0.55, 0.95]), torch.tensor([0.0, 1.0, -1.0, 2.0])
    three = (torch.tensor([0.0, 0.25, 0.75]), torch.tensor([1.0, -5.0, 5.0]), torch.tensor([3.0, 0.5, 2.0]))
    return [
        Case((torch.tensor([0.5, 0.5]), means, stds, u, eps), note="heights: women and men, one half each"),
        Case((torch.tensor([0.2, 0.8]), means, stds, u, eps), note="one fifth women"),
        Case((*three, torch.tensor([0.0, 0.1, 0.3]), torch.tensor([1.0, 1.0, -0.5])), note="a class that never occurs"),
    ]


draw = FunctionTask(
    "draw",
    title="Make something: a class, then a thing of that class",
    points=15,
    prompt=r"""
A model $P(X \mid Y)\,P(Y)$ can make things: draw a class, then a thing of that class. Here class $k$ is Gaussian on
the line. All randomness is handed to you, so that the answer is definite:

- `prior`, shape (K,): $P(Y = k)$, adding up to 1; `means` and `stds`, shape (K,), of the classes;
- `u`, shape (N,): uniform numbers in $[0, 1)$; `eps`, shape (N,): standard normal numbers.

Draw $n$ has the class $k$ with $\sum_{j < k} P(Y = j) \le u_n < \sum_{j \le k} P(Y = j)$, and its $x$ is the mean of
this class plus the standard deviation of this class times `eps[n]`. Return the draws, shape (N,).
""",
    starter='''
def draw(prior, means, stds, u, eps):
    """Draws from a mixture of Gaussians, (N,), from uniform u and standard normal eps, both (N,)."""
    return ...
''',
    hints=(
        "Two steps: a whole number k[n] for each draw, then one line of arithmetic with means[k] and stds[k].",
        "Lay the classes side by side on [0, 1), each as wide as it is probable. Where does the piece of class k end?",
        "prior.cumsum(0) has the right ends. The class is the number of ends that are at or below u. "
        "(torch.searchsorted can count them; look up its option right=.)",
    ),
    cases=draw_cases,
    misconceptions=(
        Misconception(
            "blend-of-classes",
            "You averaged what the classes would give, weighted by the prior: everybody is a bit of each. A draw from a "
            "mixture belongs to one class; choose it by u.",
            draw_blend,
        ),
        Misconception(
            "equal-classes",
            "You cut [0, 1) into equal pieces. A class is drawn as often as it is probable: the pieces are as wide as "
            "the priors.",
            draw_equal_classes,
        ),
        Misconception(
            "variance-for-deviation",
            "You multiplied the noise by the variance. Noise of standard deviation 1 becomes noise of standard "
            "deviation s when it is multiplied by s, not by its square.",
            draw_variance,
        ),
        Misconception(
            "most-probable-class",
            "You always took the most probable class. That is how to *guess* a class; to draw one, let u decide.",
            draw_most_probable,
        ),
        Misconception(
            "impossible-class",
            "At u = 0 you draw a class of probability zero. A piece holds its left end and not its right one: u = 0 "
            "belongs to the first class that has any width.",
            draw_impossible_class,
        ),
    ),
)

# -- Gaussian classes ------------------------------------------------------------------------------


def odds_without_prior(x, mu0, cov0, mu1, cov1, prior1):
    def log_density(mu, cov):
        diff = x - mu
        return -0.5 * (diff @ torch.linalg.inv(cov) * diff).sum(1) - 0.5 * torch.logdet(cov)

    return log_density(mu1, cov1) - log_density(mu0, cov0)


def odds_without_determinant(x, mu0, cov0, mu1, cov1, prior1):
    def quadratic(mu, cov):
        diff = x - mu
        return 0.5 * (diff @ torch.linalg.inv(cov) * diff).sum(1)

    return quadratic(mu0, cov0) - quadratic(mu1, cov1) + math.log(prior1 / (1 - prior1))


def odds_without_half(x, mu0, cov0, mu1, cov1, prior1):
    def log_density(mu, cov):
        diff = x - mu
        return -(diff @ torch.linalg.inv(cov) * diff).sum(1) - 0.5 * torch.logdet(cov)

    return log_density(mu1, cov1) - log_density(mu0, cov0) + math.log(prior1 / (1 - prior1))


def odds_of_class_0(x, mu0, cov0, mu1, cov1, prior1):
    def log_density(mu, cov):
        diff = x - mu
        return -0.5 * (diff @ torch.linalg.inv(cov) * diff).sum(1) - 0.5 * torch.logdet(cov)

    return log_density(mu0, cov0) - log_density(mu1, cov1) - math.log(prior1 / (1 - prior1))


def odds_not_inverted(x, mu0, cov0, mu1, cov1, prior1):
    def log_density(mu, cov):
        diff = x - mu
        return -0.5 * (diff @ cov * diff).sum(1) - 0.5 * torch.logdet(cov)

    return log_density(mu1, cov1) - log_density(mu0, cov0) + math.log(prior1 / (1 - prior1))


def odds_prior_alone(x, mu0, cov0, mu1, cov1, prior1):
    def log_density(mu, cov):
        diff = x - mu
        return -0.5 * (diff @ torch.linalg.inv(cov) * diff).sum(1) - 0.5 * torch.logdet(cov)

    return log_density(mu1, cov1) - log_density(mu0, cov0) + math.log(prior1)


def odds_determinant_underflows(x, mu0, cov0, mu1, cov1, prior1):
    def log_density(mu, cov):
        diff = x - mu
        return -0.5 * (diff @ torch.linalg.inv(cov) * diff).sum(1) - 0.5 * torch.log(torch.linalg.det(cov))

    return log_density(mu1, cov1) - log_density(mu0, cov0) + math.log(prior1 / (1 - prior1))


def odds_as_probability(x, mu0, cov0, mu1, cov1, prior1):
    def log_density(mu, cov):
        diff = x - mu
        return -0.5 * (diff @ torch.linalg.inv(cov) * diff).sum(1) - 0.5 * torch.logdet(cov)

    return torch.sigmoid(log_density(mu1, cov1) - log_density(mu0, cov0) + math.log(prior1 / (1 - prior1)))


def odds_of_one_covariance(x, mu0, cov0, mu1, cov1, prior1):
    inverse = torch.linalg.inv((cov0 + cov1) / 2)
    quadratic = 0.5 * mu0 @ inverse @ mu0 - 0.5 * mu1 @ inverse @ mu1
    return x @ inverse @ (mu1 - mu0) + quadratic + math.log(prior1 / (1 - prior1))


def odds_cases():
    shared, wide = torch.tensor([[2.0, 1.0], [1.0, 2.0]]), torch.tensor([[4.0, -1.0], [-1.0, 3.0]])
    mu0, mu1 = torch.tensor([0.0, 0.0]), torch.tensor([2.0, 1.0])
    x = torch.tensor([[2.0, 1.0], [0.0, 0.0], [-1.0, 3.0]])
    nano = 1e-9
    metres = nano * torch.tensor([[2.0, 0.0, 1.0], [-1.0, 1.0, 0.0]])
    round_, long = 4 * torch.eye(3), torch.tensor([[2.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 0.5]])
    return [
        Case((x, mu0, shared, mu1, shared, 0.25), note="the example worked by hand in the chapter: one covariance"),
        Case((x, mu0, shared, mu1, wide, 0.6), note="two covariances"),
        Case(
            (metres, torch.zeros(3), nano**2 * round_, nano * torch.ones(3), nano**2 * long, 0.5),
            note="lengths in metres, spread over nanometres: the determinants are about 1e-53",
        ),
    ]


log_odds = FunctionTask(
    "log_odds",
    title="Two Gaussian classes, each with its own covariance",
    points=25,
    prompt=r"""
The chapter solves two Gaussian classes with *one* covariance; there the quadratic terms cancel. Now each class has its
own: $X \mid Y = k$ is $\mathcal{N}(\mu_k, \Sigma_k)$. You get

- `x`, shape (N, D); `mu0`, `mu1`, shape (D,); `cov0`, `cov1`, shape (D, D), symmetric and positive definite;
- `prior1`, a number in (0, 1): $P(Y = 1)$.

Return the log odds $\log \dfrac{P(Y = 1 \mid x_n)}{P(Y = 0 \mid x_n)}$ in nats, shape (N,). It must also hold where
the units make covariances tiny: determinants below the smallest float.
""",
    starter='''
def log_odds(x, mu0, cov0, mu1, cov1, prior1):
    """log P(Y = 1 | x) / P(Y = 0 | x) of each row of x, (N,)."""
    return ...
''',
    hints=(
        "Bayes' rule for both classes, one divided by the other: the evidence cancels. What is left is a log ratio of "
        "two densities and a log ratio of two priors.",
        "Write down the log density of a Gaussian with all its terms. Which one is the same for both classes? Only that "
        "one cancels; with two covariances, two terms that cancelled in the chapter stay.",
        "For the determinant ask PyTorch for its logarithm at once (logdet, slogdet, or the diagonal of a Cholesky "
        "factor), not for the determinant and then its logarithm.",
    ),
    cases=odds_cases,
    rtol=1e-3,
    atol=1e-3,
    implementations=("coursekit.theory.gaussian_classes.shared_covariance_posterior",),
    misconceptions=(
        Misconception(
            "no-prior",
            "This is the log ratio of the two densities. Add the log prior odds: the same x speaks less for a class "
            "that is rare.",
            odds_without_prior,
        ),
        Misconception(
            "no-determinant",
            "You left out the determinants. They cancel only if both classes share one covariance; a wider class is "
            "lower at its peak, by half the log determinant.",
            odds_without_determinant,
        ),
        Misconception(
            "no-half",
            "Your quadratic forms lack the factor one half that stands in the exponent of a Gaussian density.",
            odds_without_half,
        ),
        Misconception(
            "other-class",
            "These are the odds of class 0 against class 1: the negative of what is asked.",
            odds_of_class_0,
        ),
        Misconception(
            "not-inverted",
            "You put the covariance itself into the quadratic form. It is the inverse: a direction in which the class "
            "varies a lot counts less.",
            odds_not_inverted,
        ),
        Misconception(
            "prior-for-prior-odds",
            "You added log P(Y = 1). The odds compare both classes: add log P(Y = 1) - log P(Y = 0).",
            odds_prior_alone,
        ),
        Misconception(
            "probability",
            "This is P(Y = 1 | x). Asked for are the log odds, before the logistic function.",
            odds_as_probability,
        ),
        Misconception(
            "one-covariance",
            "This is the chapter's formula with the mean of the two covariances. With one each, the terms in x squared "
            "do not cancel: the log odds are no longer linear.",
            odds_of_one_covariance,
        ),
        Misconception(
            "determinant-underflows",
            "Right in theory, but the determinant of a small covariance is 0 in floating point, and its logarithm -inf. "
            "Compute the log determinant without the determinant.",
            odds_determinant_underflows,
        ),
    ),
)

# -- a discriminative model finds the posterior ----------------------------------------------------

_SHARE = 0.35
_QUIET = gaussian_mixture_2d([1.0], [[128.0, 128.0]], [[[484.0, 0.0], [0.0, 484.0]]])
_ALARM = gaussian_mixture_2d([0.5, 0.5], [[88.0, 150.0], [168.0, 106.0]], [[[400.0, 0.0], [0.0, 400.0]]] * 2)


def _public_score(module):
    axis = torch.linspace(32, 224, 49).round()
    grid = torch.cartesian_prod(axis, axis)
    density0, density1 = (1 - _SHARE) * _QUIET.log_prob(grid).exp(), _SHARE * _ALARM.log_prob(grid).exp()
    with torch.no_grad():
        answer = module((grid / 255).reshape(-1, 1, 1, 2)).softmax(1)[:, 1]
    gap = (answer - density1 / (density0 + density1)).abs()
    return 1 - float((gap * (density0 + density1)).sum() / (density0 + density1).sum())


classifier = ArtefactTask(
    "classifier",
    title="A network that finds the posterior",
    points=20,
    prompt=r"""
A sensor gives two whole numbers from 0 to 255. In 35% of all cases there is an alarm ($Y = 1$). Then the reading is
Gaussian around (88, 150) or, equally often, around (168, 106), with standard deviation 20 in both numbers. Otherwise
it is Gaussian around (128, 128) with standard deviation 22. The cell makes an `ImageSet` of readings, images of
$1 \times 2$ pixels.

Train the network `hidden=(32, 32)` with `ClassifierTrainer` on samples, so that its $P(Y = 1 \mid x)$ comes close to
the one that Bayes' rule gives. Nobody tells the network any density: cross-entropy alone leads there. Choose how many
readings, how many steps and which learning rate; some seconds are enough. The score is $1 -$ the mean of
$|\hat P(Y = 1 \mid x) - P(Y = 1 \mid x)|$ over readings. Always answering
0.35 scores about 0.72.
""",
    starter="""
from coursekit.data import ImageSet, gaussian_mixture_2d
from coursekit.trainers import ClassifierTrainer


def readings(n, seed):
    torch.manual_seed(seed)
    quiet = gaussian_mixture_2d([1.0], [[128.0, 128.0]], 22.0**2 * torch.eye(2)[None])
    alarm = gaussian_mixture_2d([0.5, 0.5], [[88.0, 150.0], [168.0, 106.0]], 20.0**2 * torch.eye(2).expand(2, 2, 2))
    y = (torch.rand(n) < 0.35).long()
    x = torch.where(y[:, None] == 1, alarm.sample((n,)), quiet.sample((n,)))
    pixels = x.round().clamp(0, 255).to(torch.uint8).reshape(n, 1, 1, 2)
    return ImageSet(pixels, y, "readings", ("quiet", "alarm"), "made up")


classifier = ...  # a ClassifierTrainer(hidden=(32, 32), device="cpu", …), fitted to readings(…, seed=0)
""",
    hints=(
        "If more steps make the score worse, look at how many readings there are. A network that sees the same 300 again "
        "and again becomes sure of what is chance.",
        "If more readings do not help, the network is not trained far enough. The pixels it sees lie close together, "
        "between 0.2 and 0.8, so a learning rate above the default of 0.001 saves time.",
    ),
    architecture=lambda: build_classifier((1, 1, 2), 2, hidden=(32, 32)),
    public_score=_public_score,
    thresholds={0.9: 0.5, 0.95: 0.75, 0.97: 1.0},
)


def draw_numbers(rng):
    """A range, a threshold, and two Gaussians of heights in cm."""
    return {
        "low": int(rng.integers(138, 147)),
        "high": int(rng.integers(196, 205)),
        "threshold": int(rng.integers(187, 193)),
        "mean_women": round(float(rng.uniform(160, 166)), 1),
        "std_women": round(float(rng.uniform(6, 8)), 1),
        "mean_men": round(float(rng.uniform(173, 179)), 1),
        "std_men": round(float(rng.uniform(6.5, 8.5)), 1),
    }


assignment = Assignment(
    "discriminative_generative",
    title="Discriminative and generative",
    intro=r"""
Six tasks on the chapter "Discriminative and generative". You will measure what a range leaves out, write Bayes' rule for
tables, in logarithms and for Gaussian classes, draw from a joint distribution, and train a network that finds a
posterior from samples.
""",
    tasks=(too_many, posterior, log_evidence, draw, log_odds, classifier),
    numbers=draw_numbers,
)
start, progress, submit = assignment.start, assignment.progress, assignment.submit
