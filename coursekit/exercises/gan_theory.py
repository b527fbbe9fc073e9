"""Graded exercises on the theory of generative adversarial nets."""

import math

import torch
from torch import nn

from coursekit.exercises.tasks import (
    ArtefactTask,
    Assignment,
    Case,
    FunctionTask,
    Misconception,
    TextTask,
    ValueTask,
)
from coursekit.networks import MonotoneGenerator
from coursekit.theory import jensen_shannon

# -- the optimal discriminator ---------------------------------------------------------------------


def fakes_on_top(p_data, p_g, share=0.5):
    return (1 - share) * p_g / (share * p_data + (1 - share) * p_g)


def ratio_alone(p_data, p_g, share=0.5):
    return share * p_data / ((1 - share) * p_g)


def zero_outside(p_data, p_g, share=0.5):
    return share * p_data / (share * p_data + (1 - share) * p_g + 1e-12)


def half_outside(p_data, p_g, share=0.5):
    return (share * p_data / (share * p_data + (1 - share) * p_g)).nan_to_num(0.5)


def share_ignored(p_data, p_g, share=0.5):
    return p_data / (p_data + p_g)


def share_of_fakes(p_data, p_g, share=0.5):
    return (1 - share) * p_data / ((1 - share) * p_data + share * p_g)


def d_star_cases():
    notes_data, notes_g = torch.tensor([0.5, 0.5, 0.0, 0.0]), torch.tensor([0.0, 0.5, 0.5, 0.0])
    x = torch.tensor([-1.0, 0.5, 2.0])
    data, fakes = (
        torch.exp(-0.5 * (x - 1) ** 2) / math.sqrt(2 * math.pi),
        torch.exp(-0.5 * x**2) / math.sqrt(2 * math.pi),
    )
    return [
        Case((data, fakes), note="N(1, 1) against N(0, 1) at three points"),
        Case((notes_data, notes_g), note="the game of the notes, and a note that nobody prints"),
        Case((data, fakes, 0.2), note="one real note to four fakes"),
        Case((1e-30 * data, 1e-30 * fakes), note="far out in the tails, both densities small"),
    ]


d_star = FunctionTask(
    "d_star",
    title="The best discriminator, also when the coin is not fair",
    points=20,
    prompt=r"""
Write the optimal discriminator as a function of the two densities. The game of the chapter tosses a fair coin: half of
what $D$ is shown is real. Let it be any coin. With the probability `share` $= s$ it is a real $x \sim p_\text{data}$,
otherwise a fake $x \sim p_g$, and $D$ maximises the log-likelihood of the right label,

$$
s\, \mathbb{E}_{x \sim p_\text{data}}[\log D(x)] + (1 - s)\, \mathbb{E}_{x \sim p_g}[\log(1 - D(x))] .
$$

You get `p_data` and `p_g`, tensors of one shape: probabilities of a table, or densities at some points (so they need not
add up to 1). `share` is a number in (0, 1). Return $D^*$, a tensor of the same shape. Where nothing is ever shown,
because both densities are 0, $D^*$ is not defined: return NaN there.
""",
    starter='''
def d_star(p_data, p_g, share=0.5):
    """The best D where the share of real ones is `share`; NaN where both densities are 0."""
    return ...
''',
    hints=(
        "Every x is a problem of its own: which d in [0, 1] makes a log d + b log(1 - d) largest? What are a and b here?",
        "The derivative a/d - b/(1 - d) is zero at one d. It is Bayes' rule: the share of real ones among all that are "
        "shown at this x.",
        "Divide, and add nothing to the denominator. 0 / 0 is NaN in floating point, and that is what is asked for.",
    ),
    cases=d_star_cases,
    nan=True,
    implementations=("coursekit.theory.gan.optimal_discriminator",),
    misconceptions=(
        Misconception(
            "fakes-on-top",
            "This is 1 - D*: the probability that x is fake. D is the probability of *real*, so p_data stands on top.",
            fakes_on_top,
        ),
        Misconception(
            "ratio",
            "This is the ratio of real to fake, the odds. It goes from 0 to infinity; a probability is real over "
            "real-and-fake.",
            ratio_alone,
        ),
        Misconception(
            "zero-outside",
            "A small number in the denominator turns 0 / 0 into 0, and it drowns densities that are small themselves. "
            "In the tails the ratio of two tiny densities is a fine number.",
            zero_outside,
        ),
        Misconception(
            "half-outside",
            "You return 1/2 where nothing is ever shown. That says equally many real ones and fakes; there are none of "
            "either, and any value would do. Return NaN.",
            half_outside,
        ),
        Misconception(
            "share-ignored",
            "This is D* for a fair coin. With one real one to four fakes, the same densities speak for fake: weigh each "
            "density by how often it is shown.",
            share_ignored,
        ),
        Misconception(
            "share-of-fakes",
            "You weighted p_g by share and p_data by the rest. share is the probability that a *real* one is shown.",
            share_of_fakes,
        ),
    ),
)

# -- value and criterion ---------------------------------------------------------------------------


def gap_to_log_4(numbers):
    a, b, d1, d2 = (numbers[name] for name in ("a", "b", "d1", "d2"))
    value = a * math.log(d1) + (1 - a) * math.log(d2) + b * math.log(1 - d1) + (1 - b) * math.log(1 - d2)
    return -math.log(4) - value


def gap_halved(numbers):
    a, b, d1, d2 = (numbers[name] for name in ("a", "b", "d1", "d2"))
    best1, best2 = a / (a + b), (1 - a) / (2 - a - b)
    real = a * math.log(best1 / d1) + (1 - a) * math.log(best2 / d2)
    fake = b * math.log((1 - best1) / (1 - d1)) + (1 - b) * math.log((1 - best2) / (1 - d2))
    return (real + fake) / 2


def gap_negative(numbers):
    a, b, d1, d2 = (numbers[name] for name in ("a", "b", "d1", "d2"))
    best1, best2 = a / (a + b), (1 - a) / (2 - a - b)
    real = a * math.log(best1 / d1) + (1 - a) * math.log(best2 / d2)
    fake = b * math.log((1 - best1) / (1 - d1)) + (1 - b) * math.log((1 - best2) / (1 - d2))
    return -(real + fake)


def gap_is_divergence(numbers):
    a, b = numbers["a"], numbers["b"]
    best1, best2 = a / (a + b), (1 - a) / (2 - a - b)
    real = a * math.log(best1) + (1 - a) * math.log(best2)
    fake = b * math.log(1 - best1) + (1 - b) * math.log(1 - best2)
    return (real + fake + math.log(4)) / 2


def gap_is_loss(numbers):
    a, b, d1, d2 = (numbers[name] for name in ("a", "b", "d1", "d2"))
    return -(a * math.log(d1) + (1 - a) * math.log(d2) + b * math.log(1 - d1) + (1 - b) * math.log(1 - d2))


gap = ValueTask(
    "gap",
    title="How far is this discriminator from the best?",
    points=10,
    prompt=r"""
There are two kinds of banknotes. The data have the probabilities $(a, 1 - a)$ and the generator $(b, 1 - b)$. A
discriminator that has yet to learn says $D = (d_1, d_2)$. With your `a`, `b`, `d1` and `d2` from `numbers`, what is
$C(G) - V(D, G)$ in nats: by how much could another discriminator still raise the value against this generator?
""",
    starter="""
gap = ...
""",
    hints=(
        "V(D, G) has four terms here: two kinds of notes, each of which can come from the data or from the generator.",
        "C(G) is the same sum for one particular discriminator, which you wrote in the task above.",
        "The result is never negative. If yours is, look at which of the two is the maximum.",
    ),
    misconceptions=(
        Misconception(
            "best-generator-too",
            "You compared with -log 4. That is the criterion of a perfect generator only; against this one, the best "
            "discriminator gets more.",
            gap_to_log_4,
        ),
        Misconception(
            "halved",
            "This is half of it. V adds the two expectations. Half of V is the mean log-likelihood of a label.",
            gap_halved,
        ),
        Misconception(
            "negative",
            "You took C from V. C is the maximum of V over all discriminators, so V - C is never positive; asked for is "
            "what is missing.",
            gap_negative,
        ),
        Misconception(
            "divergence",
            "This is the Jensen-Shannon divergence: how far the *generator* has to go. It does not contain D at all.",
            gap_is_divergence,
        ),
        Misconception(
            "loss-alone",
            "This is -V(D, G), the loss of this discriminator. Compare it with that of the best one: even the best does "
            "not get to 0 while the two overlap.",
            gap_is_loss,
        ),
    ),
)

# -- two losses for the generator ------------------------------------------------------------------


def slopes_in_d(logits):
    d = torch.sigmoid(logits)
    return torch.stack([-1 / (1 - d), -1 / d])


def slopes_swapped(logits):
    d = torch.sigmoid(logits)
    return torch.stack([d - 1, -d])


def slopes_upwards(logits):
    d = torch.sigmoid(logits)
    return torch.stack([d, 1 - d])


def slopes_of_sigmoid(logits):
    d = torch.sigmoid(logits)
    return torch.stack([-d * (1 - d), -d * (1 - d)])


def slopes_of_mean(logits):
    d = torch.sigmoid(logits)
    return torch.stack([-d, d - 1]) / len(logits)


def slopes_by_autograd(logits):
    logits = logits.clone().requires_grad_()
    d = torch.sigmoid(logits)
    losses = [torch.log(1 - d).sum(), -torch.log(d).sum()]
    return torch.stack([torch.autograd.grad(loss, logits, retain_graph=True)[0] for loss in losses])


def slopes_cases():
    return [
        Case((torch.tensor([0.0, -4.595, 4.595]),), note="D is 1/2, 0.01 and 0.99"),
        Case((torch.tensor([-2.0, 1.0, 0.3, 6.0]),)),
        Case((torch.tensor([-40.0, 40.0]),), note="D is certain: 0 or 1 in floating point"),
    ]


slopes = FunctionTask(
    "slopes",
    title="How hard each loss pulls on a fake",
    points=10,
    prompt=r"""
$D = \sigma(a)$ with a logit $a$. For each fake, the generator's saturating loss is $\log(1 - D)$ and its
non-saturating loss $-\log D$. You get `logits`, shape (N,): $a$ for N fakes. Return a tensor of shape (2, N): row 0 the
derivative of the saturating loss of each fake **with respect to its logit**, row 1 that of the non-saturating loss. No
mean over the batch. Everything must stay finite for logits of $\pm 100$.
""",
    starter='''
def slopes(logits):
    """Derivatives in the logits, (2, N): of log(1 - D), and of -log D."""
    return ...
''',
    hints=(
        "Do it on paper first. The derivative of the logistic function is D (1 - D). Then the chain rule, twice.",
        "A factor cancels in each. What is left is one D or one 1 - D, and no division.",
    ),
    cases=slopes_cases,
    misconceptions=(
        Misconception(
            "slopes-in-d",
            "These are derivatives with respect to D. Asked for are those in the logit, which is what a network "
            "computes: multiply by dD/da = D (1 - D).",
            slopes_in_d,
        ),
        Misconception(
            "rows-exchanged",
            "The rows are exchanged. The saturating loss pulls hardest where D is already fooled, and hardly at all "
            "where D is near 0: that is why it is called so.",
            slopes_swapped,
        ),
        Misconception(
            "upwards",
            "The signs are turned. Both losses *fall* as the logit grows, for the generator wants D to be large.",
            slopes_upwards,
        ),
        Misconception(
            "outer-derivative-missing",
            "This is the slope of the logistic function alone, up to the sign. By the chain rule it is multiplied by "
            "the derivative of the logarithm, 1/(1 - D) or 1/D.",
            slopes_of_sigmoid,
        ),
        Misconception(
            "through-log-of-zero",
            "Right where D is neither 0 nor 1. There autograd multiplies the infinite slope of the logarithm by the zero "
            "slope of the sigmoid, which is NaN. Cancel the two on paper.",
            slopes_by_autograd,
        ),
        Misconception(
            "mean-over-the-batch",
            "These are the derivatives of the mean over the batch: N times too small. Asked for is each fake's own loss.",
            slopes_of_mean,
        ),
    ),
)

# -- the bug in log(1 - D) -------------------------------------------------------------------------


def value_and_gradients(subject, logits_real, logits_fake):
    loss, (in_real, in_fake) = subject.gradients((logits_real, logits_fake), of=[0, 1])
    return {"loss": loss, "gradient in logits_real": in_real, "gradient in logits_fake": in_fake}


def unmended(logits_real, logits_fake):
    d_real, d_fake = torch.sigmoid(logits_real), torch.sigmoid(logits_fake)
    return -(torch.log(d_real).mean() + torch.log(1 - d_fake).mean())


def with_epsilon(logits_real, logits_fake):
    d_real, d_fake = torch.sigmoid(logits_real), torch.sigmoid(logits_fake)
    return -(torch.log(d_real + 1e-8).mean() + torch.log(1 - d_fake + 1e-8).mean())


def with_smaller_epsilon(logits_real, logits_fake):
    d_real, d_fake = torch.sigmoid(logits_real), torch.sigmoid(logits_fake)
    return -(torch.log(d_real + 1e-12).mean() + torch.log(1 - d_fake + 1e-12).mean())


def cross_entropy_of_probabilities(logits_real, logits_fake):
    d_real, d_fake = torch.sigmoid(logits_real), torch.sigmoid(logits_fake)
    cross_entropy = nn.functional.binary_cross_entropy
    return cross_entropy(d_real, torch.ones_like(d_real)) + cross_entropy(d_fake, torch.zeros_like(d_fake))


def with_clamp(logits_real, logits_fake):
    d_real, d_fake = torch.sigmoid(logits_real), torch.sigmoid(logits_fake)
    return -(torch.log(d_real.clamp(1e-7, 1 - 1e-7)).mean() + torch.log((1 - d_fake).clamp(1e-7, 1 - 1e-7)).mean())


def one_mean(logits_real, logits_fake):
    logsigmoid = nn.functional.logsigmoid
    return -torch.cat([logsigmoid(logits_real), logsigmoid(-logits_fake)]).mean()


def labels_swapped(logits_real, logits_fake):
    logsigmoid = nn.functional.logsigmoid
    return -(logsigmoid(-logits_real).mean() + logsigmoid(logits_fake).mean())


def value_for_loss(logits_real, logits_fake):
    logsigmoid = nn.functional.logsigmoid
    return logsigmoid(logits_real).mean() + logsigmoid(-logits_fake).mean()


def loss_d_cases():
    return [
        Case((torch.tensor([2.0, 0.5, -1.0]), torch.tensor([-1.0, 0.0, 1.5])), note="ordinary logits"),
        Case((torch.tensor([1.0, 2.0]), torch.tensor([-3.0, 0.2, 1.0, -0.5])), note="batches of different sizes"),
        Case(
            (torch.tensor([1.0, 0.0]), torch.tensor([60.0, -1.0])),
            note="one fake is taken for real, with a logit of 60",
        ),
        Case(
            (torch.tensor([-120.0, 3.0]), torch.tensor([-2.0, 0.5])),
            note="one real one is rejected, with a logit of -120",
        ),
    ]


loss_D = FunctionTask(
    "loss_D",
    title="Mend the discriminator's loss",
    points=15,
    prompt=r"""
Training stops after some hundred steps: the loss is infinite, and soon all weights are NaN. Here is the code.

```python
def loss_D(logits_real, logits_fake):
    d_real, d_fake = torch.sigmoid(logits_real), torch.sigmoid(logits_fake)
    return -(torch.log(d_real).mean() + torch.log(1 - d_fake).mean())
```

Find out at which logits it breaks, and write it anew. You get logits of data, shape (n,), and of fakes, shape (m,).
Return $-\frac1n \sum_i \log D(x_i) - \frac1m \sum_j \log(1 - D(G(z_j)))$ in nats, a tensor without dimensions. The loss
**and its gradients in the logits** must be right for every logit from $-1000$ to $1000$: a discriminator that is sure
and wrong is the one that has to learn most.
""",
    starter='''
def loss_D(logits_real, logits_fake):
    """What D minimises, a scalar, for logits of any size."""
    return ...
''',
    hints=(
        "In float32, what is torch.sigmoid(torch.tensor(20.0))? Then what is the logarithm of 1 minus it?",
        "Clamping or adding 1e-8 hides the infinity. But what is the gradient of a constant? Print .grad for a logit of 60.",
        "1 - sigmoid(a) is sigmoid of another logit. And PyTorch has the logarithm of the sigmoid as one function, which "
        "never forms the sigmoid.",
    ),
    cases=loss_d_cases,
    probe=value_and_gradients,
    implementations=("coursekit.losses.gan.discriminator_loss",),
    misconceptions=(
        Misconception(
            "not-mended",
            "This still breaks: from a logit of 17 on, sigmoid is exactly 1 in float32 and log(1 - D) is -inf; at -120 "
            "log D is. Do not form D at all.",
            unmended,
        ),
        Misconception(
            "epsilon-in-the-logarithm",
            "A small number inside the logarithm keeps the loss finite, and wrong: it stops growing near 18, and its "
            "gradient vanishes where D is surest and most wrong.",
            with_epsilon,
        ),
        Misconception(
            "smaller-epsilon",
            "A smaller number inside the logarithm only moves the ceiling, to about 28. Above it the loss stays wrong, "
            "and its gradient is 0 where D is surest and most wrong.",
            with_smaller_epsilon,
        ),
        Misconception(
            "cross-entropy-of-probabilities",
            "binary_cross_entropy takes probabilities and cuts their logarithms off at -100. By then sigmoid has rounded "
            "the logit away, and its gradient is 0. Its sibling takes the logits themselves.",
            cross_entropy_of_probabilities,
        ),
        Misconception(
            "clamped",
            "Clamping D keeps the loss finite, but a clamped value is a constant: its gradient is 0, so D learns nothing "
            "from its worst mistakes.",
            with_clamp,
        ),
        Misconception(
            "one-mean-over-both",
            "You took one mean over data and fakes together. The loss is the sum of two means, one over each batch, "
            "whatever their sizes.",
            one_mean,
        ),
        Misconception(
            "labels-exchanged",
            "Data and fakes are exchanged: this D learns to call fakes real. log D belongs to the data.",
            labels_swapped,
        ),
        Misconception(
            "value-not-loss",
            "This is the value V, which D maximises. An optimizer minimises: return -V, which is positive.",
            value_for_loss,
        ),
    ),
)

# -- two players that move in turn -----------------------------------------------------------------


def dirac_at_once(theta, psi, lr):
    d = 1 / (1 + math.exp(-psi * theta))
    return theta + lr * psi * d, psi - lr * theta * d


def dirac_generator_first(theta, psi, lr):
    theta = theta + lr * psi / (1 + math.exp(-psi * theta))
    return theta, psi - lr * theta / (1 + math.exp(-psi * theta))


def dirac_both_descend(theta, psi, lr):
    psi = psi + lr * theta / (1 + math.exp(-psi * theta))
    return theta + lr * psi / (1 + math.exp(-psi * theta)), psi


def dirac_generator_climbs(theta, psi, lr):
    psi = psi - lr * theta / (1 + math.exp(-psi * theta))
    return theta - lr * psi / (1 + math.exp(-psi * theta)), psi


def dirac_non_saturating(theta, psi, lr):
    psi = psi - lr * theta / (1 + math.exp(-psi * theta))
    return theta + lr * psi / (1 + math.exp(psi * theta)), psi


def dirac_old_probability(theta, psi, lr):
    d = 1 / (1 + math.exp(-psi * theta))
    psi = psi - lr * theta * d
    return theta + lr * psi * d, psi


def dirac_cases():
    return [
        Case((1.0, 1.0, 0.1), note="the start of the chapter's example"),
        Case((0.5, -2.0, 0.5)),
        Case((-1.5, 0.0, 1.0), note="a flat discriminator"),
    ]


dirac_step = FunctionTask(
    "dirac_step",
    title="One round of the smallest GAN",
    points=10,
    prompt=r"""
In the Dirac-GAN all data are at 0, the generator makes the number $\theta$, and $D(x) = \sigma(\psi x)$. So
$V(\psi, \theta) = \log \sigma(0) + \log(1 - \sigma(\psi\theta))$. Play one round of Algorithm 1 with $k = 1$: first $D$
takes one gradient step *up* $V$ with the learning rate `lr`, then $G$, which sees the $D$ that has moved, takes one
step *down* $V$ (the saturating loss) with the same learning rate. `theta`, `psi` and `lr` are numbers. Return the new
pair `(theta, psi)`.
""",
    starter='''
def dirac_step(theta, psi, lr):
    """(theta, psi) after a step of D and then one of G."""
    return ...
''',
    hints=(
        "Two derivatives of log(1 - sigmoid(psi theta)), one in psi and one in theta. Mind the inner derivative, and the "
        "sign of each step.",
        "In turn means: psi is new when theta moves. Everywhere in the second step, also inside the logistic function.",
    ),
    cases=dirac_cases,
    implementations=("coursekit.theory.dirac_gan.alternating", "coursekit.theory.dirac_gan.updates"),
    misconceptions=(
        Misconception(
            "at-once",
            "Both moved from the same position. That is the simultaneous game, which spirals outwards; in Algorithm 1 G "
            "answers the D that has moved.",
            dirac_at_once,
        ),
        Misconception(
            "generator-first",
            "Here G moved first. In Algorithm 1, D takes its step (or k of them) before G does.",
            dirac_generator_first,
        ),
        Misconception(
            "both-descend",
            "Your D went down V. D maximises the value: its step goes along the gradient, only G's goes against it.",
            dirac_both_descend,
        ),
        Misconception(
            "generator-climbs",
            "Your G went up V, and so helped D. G minimises the value: it moves to where D is larger.",
            dirac_generator_climbs,
        ),
        Misconception(
            "non-saturating",
            "Your G descended the non-saturating loss -log D. Asked for is the game's own value, where its step has the "
            "factor D, not 1 - D.",
            dirac_non_saturating,
        ),
        Misconception(
            "old-probability",
            "In G's step psi is new, but D(theta) is still the old one. Compute the probability again after D has moved.",
            dirac_old_probability,
        ),
    ),
)

# -- the proof -------------------------------------------------------------------------------------

proof = TextTask(
    "proof",
    title="Prove what the generator is graded by",
    points=20,
    prompt=r"""
Let $D^*(x) = \dfrac{p_\text{data}(x)}{p_\text{data}(x) + p_g(x)}$ where the denominator is positive, which you may take
for granted, and $C(G) = V(D^*, G)$. Prove that

$$
C(G) = -\log 4 + 2\, \mathrm{JSD}(p_\text{data}, p_g) ,
$$

and conclude that $-\log 4 \le C(G) \le 0$, with a necessary and sufficient condition for equality on either side. You
may use that a Kullback–Leibler divergence is never negative, and zero only between equal distributions. Half a page is
enough, in words and formulas (LaTeX between dollar signs). Say where each step comes from.
""",
    starter=r"""
...
""",
    rubric=(
        (r"$V(D^*, G)$ is written as two expectations, over $p_\text{data}$ and over $p_g$, with $D^*$ put in", 4),
        (r"$D^*$ and $1 - D^*$ are expressed by the mixture $m = \frac12 (p_\text{data} + p_g)$, factor 2 included", 4),
        (r"both factors 2 are split off, and shown to give $-\log 4$ because each density integrates to 1", 3),
        (r"what is left is recognised as two KL divergences from $m$, and as $2\,\mathrm{JSD}$ by its definition", 3),
        (
            r"lower bound: $\mathrm{JSD} \ge 0$, with equality exactly if $p_g = p_\text{data}$, both directions argued",
            3,
        ),
        (r"upper bound: $C \le 0$, with equality exactly if the supports do not meet, both directions argued", 3),
    ),
)

# -- a generator on the line -----------------------------------------------------------------------

_EDGES = torch.linspace(-4, 4, 65)


def _target_shares():
    """Probability of each cell between the edges, and beyond them."""
    means, stds = torch.tensor([-1.2, 1.2]), torch.tensor([0.4, 0.6])
    below = (torch.tensor([0.35, 0.65]) * torch.special.ndtr((_EDGES[:, None] - means) / stds)).sum(1)
    return torch.cat([torch.zeros(1), below, torch.ones(1)]).diff()


def _public_score(module):
    z = torch.special.ndtri((torch.arange(20_000) + 0.5) / 20_000)[:, None]
    with torch.no_grad():
        cells = torch.bucketize(module(z).flatten(), _EDGES)
    shares = torch.bincount(cells, minlength=len(_EDGES) + 1) / len(z)
    return 1 - float(jensen_shannon(_target_shares(), shares)) / math.log(2)


def _generator():
    return MonotoneGenerator(units=8, shift=-1.5, scale=0.7)


generator = ArtefactTask(
    "generator",
    title="Play the game on the line",
    points=15,
    prompt=r"""
Train a GAN whose $p_g$ comes close to $0.35\, \mathcal{N}(-1.2, 0.4^2) + 0.65\, \mathcal{N}(1.2, 0.6^2)$, with
`GANTrainer` and standard normal noise of one dimension. The generator is the increasing map of the chapter. It starts
as a single hump on the left; leave it as it is in the cell. The discriminator, the losses, $k$, the learning rates and
the number of steps are yours; ten seconds are enough. The score is $1 - \mathrm{JSD}(p_\text{data}, p_g) / \log 2$, on
cells of width ⅛. The untrained generator has about 0.53.
""",
    starter="""
from coursekit.data import gaussian_mixture
from coursekit.networks import MonotoneGenerator, mlp
from coursekit.trainers import GANTrainer

torch.manual_seed(0)
points = gaussian_mixture([0.35, 0.65], [-1.2, 1.2], [0.4, 0.6]).sample((10_000, 1))
networks = dict(
    generator=MonotoneGenerator(units=8, shift=-1.5, scale=0.7),
    discriminator=mlp([1, 32, 32, 1], nn.Tanh),
)

generator = ...  # a GANTrainer(**networks, noise_dim=1, noise="normal", device="cpu", …), fitted to points
""",
    hints=(
        "The default learning rate of 0.0002 is that of deep networks. This generator has 26 numbers and can stand 0.01.",
        "max_steps in fit counts steps of D; G moves in every k-th of them. If the score goes up and down, D lags behind: "
        "give it more steps, or a larger discriminator_lr.",
        "The chapter's table compares k = 1 with k = 5. With k = 5, some 1,500 steps will do.",
    ),
    architecture=_generator,
    public_score=_public_score,
    thresholds={0.92: 0.4, 0.96: 0.7, 0.98: 1.0},
)


def draw_numbers(rng):
    """A data set and a generator of two kinds of notes, and a discriminator that mistakes one for the other."""
    low, high = {"a": 0.6, "b": 0.2, "d1": 0.2, "d2": 0.55}, {"a": 0.85, "b": 0.45, "d1": 0.38, "d2": 0.75}
    return {name: round(float(rng.uniform(low[name], high[name])), 2) for name in low}


assignment = Assignment(
    "gan_theory",
    title="GAN theory",
    intro=r"""
Seven tasks on the chapter "GAN theory". You will write the optimal discriminator for any coin, measure what a
discriminator has still to gain, compare how the two losses of the generator pull, mend a loss that breaks, play a round
of the smallest GAN, prove the theorem about the criterion, and train a generator on the line.
""",
    tasks=(d_star, gap, slopes, loss_D, dirac_step, proof, generator),
    numbers=draw_numbers,
)
start, progress, submit = assignment.start, assignment.progress, assignment.submit
