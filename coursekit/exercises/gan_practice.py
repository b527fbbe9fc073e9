"""Graded exercises on GANs in practice."""

import math

import torch
from torch import nn

from coursekit.data import ring_modes
from coursekit.exercises.tasks import ArtefactTask, Assignment, Case, FunctionTask, Misconception, ValueTask
from coursekit.networks import MLPGenerator

# -- both losses -----------------------------------------------------------------------------------


def _pair(subject, logits_real, logits_fake, kind, label, which=None):
    """The two losses, or one of them alone."""
    losses = subject(logits_real, logits_fake, kind, label)
    is_pair = isinstance(losses, list) and len(losses) == 2
    return losses[which] if which is not None and is_pair else losses


def _losses_cases():
    return [
        Case(
            (torch.tensor([2.0, 1.0]), torch.tensor([-1.0, 0.5]), "non_saturating", 1.0),
            note="worked by hand in the chapter",
        ),
        Case(
            (torch.tensor([0.3]), torch.tensor([-2.0, 0.0, 1.5]), "non_saturating", 0.9),
            note="one real image, three samples, the label softened",
        ),
        Case(
            (torch.tensor([0.3, -0.7]), torch.tensor([-2.0, 0.0, 1.5]), "saturating", 0.75), note="the saturating loss"
        ),
        Case(
            (torch.tensor([40.0, -120.0]), torch.tensor([-110.0, 30.0]), "non_saturating", 0.9),
            note="a D that is very sure, and twice very wrong",
        ),
        Case(
            (torch.tensor([150.0, 60.0]), torch.tensor([110.0, -2.0]), "saturating", 0.8),
            note="very sure, and the saturating loss",
        ),
    ]


def _losses_log_of_probability(logits_real, logits_fake, kind, label):
    d_real, d_fake = torch.sigmoid(logits_real), torch.sigmoid(logits_fake)
    on_real = -(label * torch.log(d_real) + (1 - label) * torch.log(1 - d_real)).mean()
    loss_D = on_real - torch.log(1 - d_fake).mean()
    if kind == "saturating":
        return loss_D, torch.log(1 - d_fake).mean()
    return loss_D, -torch.log(d_fake).mean()


def _losses_epsilon(logits_real, logits_fake, kind, label):
    d_real, d_fake = torch.sigmoid(logits_real), torch.sigmoid(logits_fake)
    on_real = -(label * torch.log(d_real + 1e-8) + (1 - label) * torch.log(1 - d_real + 1e-8)).mean()
    loss_D = on_real - torch.log(1 - d_fake + 1e-8).mean()
    if kind == "saturating":
        return loss_D, torch.log(1 - d_fake + 1e-8).mean()
    return loss_D, -torch.log(d_fake + 1e-8).mean()


def _losses_bce_of_probability(logits_real, logits_fake, kind, label):
    bce = nn.BCEWithLogitsLoss()
    d_real, d_fake = torch.sigmoid(logits_real), torch.sigmoid(logits_fake)
    loss_D = bce(d_real, torch.full_like(d_real, label)) + bce(d_fake, torch.zeros_like(d_fake))
    if kind == "saturating":
        return loss_D, -bce(d_fake, torch.zeros_like(d_fake))
    return loss_D, bce(d_fake, torch.ones_like(d_fake))


def _losses_value(logits_real, logits_fake, kind, label):
    logsigmoid = nn.functional.logsigmoid
    on_real = -(label * logsigmoid(logits_real) + (1 - label) * logsigmoid(-logits_real)).mean()
    loss_D = -on_real + logsigmoid(-logits_fake).mean()
    if kind == "saturating":
        return loss_D, logsigmoid(-logits_fake).mean()
    return loss_D, -logsigmoid(logits_fake).mean()


def _losses_halved(logits_real, logits_fake, kind, label):
    logsigmoid = nn.functional.logsigmoid
    on_real = -(label * logsigmoid(logits_real) + (1 - label) * logsigmoid(-logits_real)).mean()
    loss_D = (on_real - logsigmoid(-logits_fake).mean()) / 2
    if kind == "saturating":
        return loss_D, logsigmoid(-logits_fake).mean()
    return loss_D, -logsigmoid(logits_fake).mean()


def _losses_summed(logits_real, logits_fake, kind, label):
    logsigmoid = nn.functional.logsigmoid
    on_real = -(label * logsigmoid(logits_real) + (1 - label) * logsigmoid(-logits_real)).sum()
    loss_D = on_real - logsigmoid(-logits_fake).sum()
    if kind == "saturating":
        return loss_D, logsigmoid(-logits_fake).sum()
    return loss_D, -logsigmoid(logits_fake).sum()


def _losses_one_mean(logits_real, logits_fake, kind, label):
    logsigmoid = nn.functional.logsigmoid
    on_real = -(label * logsigmoid(logits_real) + (1 - label) * logsigmoid(-logits_real))
    loss_D = torch.cat([on_real, -logsigmoid(-logits_fake)]).mean()
    if kind == "saturating":
        return loss_D, logsigmoid(-logits_fake).mean()
    return loss_D, -logsigmoid(logits_fake).mean()


def _losses_labels_swapped(logits_real, logits_fake, kind, label):
    logsigmoid = nn.functional.logsigmoid
    on_fake = -(label * logsigmoid(logits_fake) + (1 - label) * logsigmoid(-logits_fake)).mean()
    loss_D = on_fake - logsigmoid(-logits_real).mean()
    if kind == "saturating":
        return loss_D, logsigmoid(-logits_fake).mean()
    return loss_D, -logsigmoid(logits_fake).mean()


def _losses_label_ignored(logits_real, logits_fake, kind, label):
    logsigmoid = nn.functional.logsigmoid
    loss_D = -logsigmoid(logits_real).mean() - logsigmoid(-logits_fake).mean()
    if kind == "saturating":
        return loss_D, logsigmoid(-logits_fake).mean()
    return loss_D, -logsigmoid(logits_fake).mean()


def _losses_label_as_factor(logits_real, logits_fake, kind, label):
    logsigmoid = nn.functional.logsigmoid
    loss_D = -label * logsigmoid(logits_real).mean() - logsigmoid(-logits_fake).mean()
    if kind == "saturating":
        return loss_D, logsigmoid(-logits_fake).mean()
    return loss_D, -logsigmoid(logits_fake).mean()


def _losses_both_softened(logits_real, logits_fake, kind, label):
    logsigmoid = nn.functional.logsigmoid
    on_real = -(label * logsigmoid(logits_real) + (1 - label) * logsigmoid(-logits_real)).mean()
    on_fake = -(label * logsigmoid(-logits_fake) + (1 - label) * logsigmoid(logits_fake)).mean()
    loss_D = on_real + on_fake
    if kind == "saturating":
        return loss_D, logsigmoid(-logits_fake).mean()
    return loss_D, -logsigmoid(logits_fake).mean()


def _losses_kind_ignored(logits_real, logits_fake, kind, label):
    logsigmoid = nn.functional.logsigmoid
    on_real = -(label * logsigmoid(logits_real) + (1 - label) * logsigmoid(-logits_real)).mean()
    return on_real - logsigmoid(-logits_fake).mean(), -logsigmoid(logits_fake).mean()


def _losses_to_be_caught(logits_real, logits_fake, kind, label):
    logsigmoid = nn.functional.logsigmoid
    on_real = -(label * logsigmoid(logits_real) + (1 - label) * logsigmoid(-logits_real)).mean()
    loss_D = on_real - logsigmoid(-logits_fake).mean()
    if kind == "saturating":
        return loss_D, -logsigmoid(-logits_fake).mean()
    return loss_D, -logsigmoid(logits_fake).mean()


gan_losses = FunctionTask(
    "gan_losses",
    title="Both losses, with a softened label",
    points=20,
    prompt=r"""
$D$ ends in a plain number, the logit $a$, and $D(x) = \sigma(a(x))$. In practice the label of the *data* is often softened: $D$ is to say $s$, such as 0.9, in place of 1, so that it never grows too sure. The label of the samples stays 0 (Salimans et al., 2016). Write what each player *minimises*:

- $L_D = -\frac1n \sum_i \bigl[ s \log D(x_i) + (1 - s) \log\bigl(1 - D(x_i)\bigr) \bigr] - \frac1m \sum_j \log\bigl(1 - D(G(z_j))\bigr)$, with $s$ = `label`,
- $L_G = -\frac1m \sum_j \log D(G(z_j))$ if `kind` is `"non_saturating"`, and $L_G = \frac1m \sum_j \log\bigl(1 - D(G(z_j))\bigr)$ if it is `"saturating"`.

`logits_real` is $a(x_i)$, shape (n,). `logits_fake` is $a(G(z_j))$, shape (m,), and $m$ need not be $n$. Return the pair `(loss_D, loss_G)`, two scalars in nats. They must be right for a $D$ that is very sure too: logits of ±150 occur, in 32-bit floats.
""",
    starter='''
def gan_losses(logits_real, logits_fake, kind, label=1.0):
    """What D and G minimise, (loss_D, loss_G); kind is "non_saturating" or "saturating"."""
    loss_D = ...
    loss_G = ...
    return loss_D, loss_G
''',
    cases=_losses_cases,
    hints=(
        "1 − σ(a) = σ(−a). So every logarithm in both losses is the log of a sigmoid.",
        "log σ(a) in two steps fails where σ(a) rounds to 0 or 1. Look in torch.nn.functional for one that does it in "
        "one step.",
        "Test yourself: logits of 0 everywhere must give L_D = log 4 = 1.386 for every label, and L_G = ±log 2 = ±0.693. "
        "Which sign for which kind? And at which logit is the softened term least?",
    ),
    misconceptions=(
        Misconception(
            "log-of-a-probability",
            "You compute the probability first and its logarithm after. In 32 bits σ(30) is 1, so 1 − D is 0 and its "
            "logarithm −∞. Compute log σ(a) from the logit in one step.",
            _losses_log_of_probability,
        ),
        Misconception(
            "epsilon-in-the-log",
            "A small number added inside the logarithm stops it at log(1e-8) = −18, and stops the gradient there too. "
            "The true value at a logit of 30 is −30: compute log σ(a) from the logit, and no ε is needed.",
            _losses_epsilon,
        ),
        Misconception(
            "sigmoid-twice",
            "There is a sigmoid too many: a function that takes logits was given probabilities. Logits go in once.",
            _losses_bce_of_probability,
        ),
        Misconception(
            "value-in-place-of-loss",
            "Your first number has the wrong sign: it is what D maximises, the value. What D minimises is its negative.",
            _losses_value,
        ),
        Misconception(
            "half-the-sum",
            "Your L_D is half of what is asked. The paper's released code halves it; the sum of both means is asked "
            "here, which is log 4 for a D that says ½.",
            _losses_halved,
        ),
        Misconception(
            "sums-for-means",
            "You summed over the batch. Each expectation is estimated by a mean over its own batch, or the loss grows "
            "with the batch.",
            _losses_summed,
        ),
        Misconception(
            "one-mean-over-both",
            "You took one mean over all n + m logits. V has two expectations: a mean over the n images plus a mean over "
            "the m samples. With n = m yours is half of it, otherwise it weighs them unequally.",
            _losses_one_mean,
        ),
        Misconception(
            "labels-swapped",
            "Your D is asked to call samples real and images fake. The first term is log D on images, the second "
            "log(1 − D) on samples.",
            _losses_labels_swapped,
        ),
        Misconception(
            "label-ignored",
            "Your L_D is the one with the label 1, whatever `label` says. A softened label adds (1 − s) log(1 − D) on the "
            "images.",
            _losses_label_ignored,
        ),
        Misconception(
            "label-as-a-factor",
            "You weigh log D by the label and leave the rest of the softened term out. Then D is only taught more slowly, "
            "not to stop at s: that takes (1 − s) log(1 − D) on the images.",
            _losses_label_as_factor,
        ),
        Misconception(
            "both-labels-softened",
            "You softened the label of the samples too. Only that of the images is asked: with a positive label on the "
            "samples, the best D would favour samples where there are no data.",
            _losses_both_softened,
        ),
        Misconception(
            "one-kind-only",
            "Your L_G is the non-saturating loss for both kinds. The saturating one is the generator's own half of the "
            "value, the mean of log(1 − D(G(z))).",
            _losses_kind_ignored,
        ),
        Misconception(
            "rewarded-for-being-caught",
            "Your saturating loss has the wrong sign. It must fall when D(G(z)) rises; yours rewards G for being caught.",
            _losses_to_be_caught,
        ),
    ),
    implementations=("coursekit.losses.gan.discriminator_loss", "coursekit.losses.gan.generator_loss"),
    probe=_pair,
)

# -- whose gradient goes where ---------------------------------------------------------------------


def waves(*shape, start):
    """Numbers between -1 and 1 that look like noise and are the same everywhere."""
    count = math.prod(shape)
    return torch.tensor([math.sin(start + 2.4 * i + 0.37 * i * i) for i in range(count)]).reshape(shape)


def _weights(sizes, start):
    """Weight and bias of each linear layer between these sizes."""
    tensors = []
    for layer, (n_in, n_out) in enumerate(zip(sizes, sizes[1:], strict=False)):
        tensors += [waves(n_out, n_in, start=start + layer), waves(n_out, start=start + layer + 0.5)]
    return tensors


def _network(subject, weights, last):
    sizes = [weights[0].shape[1], *(bias.shape[0] for bias in weights[1::2])]
    layers = []
    for n_in, n_out in zip(sizes, sizes[1:], strict=False):
        layers += [["Linear", n_in, n_out], ["LeakyReLU", 0.2]]
    return subject.build([*layers[:-1], *last], weights)


def _gradients_of_steps(subject, players, x, z, weights_G, weights_D):
    """Loss, and gradients in both networks, for one player after another on the same two networks."""
    G = _network(subject, weights_G, [])
    D = _network(subject, weights_D, [["Flatten", 0]])
    steps = {}
    for number, player in enumerate(players, 1):
        loss, (into_G, into_D) = subject.gradients([player, G, D, x, z], of=[1, 2])
        steps[f"step {number}, of {player}"] = {"loss": loss, "gradient in G": into_G, "gradient in D": into_D}
    return steps


def _player_cases():
    weights = _weights((1, 2, 1), 0.1), _weights((1, 2, 1), 0.7)
    x, z = waves(3, 1, start=1.3), waves(2, 1, start=2.1)
    return [
        Case((["D"], x, z, *weights), note="D's step: no gradient may arrive in G, so None is expected there"),
        Case((["G"], x, z, *weights), note="G's step: gradients through D into G, and none for D's own weights"),
        Case((["G", "D"], x, z, *weights), note="G's step, then D's, on the same two networks"),
    ]


def _player_no_detach(player, G, D, x, z):
    if player == "D":
        return -nn.functional.logsigmoid(D(x)).mean() - nn.functional.logsigmoid(-D(G(z))).mean()
    D.requires_grad_(False)
    loss = -nn.functional.logsigmoid(D(G(z))).mean()
    D.requires_grad_(True)
    return loss


def _player_always_detached(player, G, D, x, z):
    x_fake = G(z).detach()
    if player == "D":
        return -nn.functional.logsigmoid(D(x)).mean() - nn.functional.logsigmoid(-D(x_fake)).mean()
    D.requires_grad_(False)
    loss = -nn.functional.logsigmoid(D(x_fake)).mean()
    D.requires_grad_(True)
    return loss


def _player_not_frozen(player, G, D, x, z):
    if player == "D":
        return -nn.functional.logsigmoid(D(x)).mean() - nn.functional.logsigmoid(-D(G(z).detach())).mean()
    return -nn.functional.logsigmoid(D(G(z))).mean()


def _player_neither(player, G, D, x, z):
    logits_fake = D(G(z))
    if player == "D":
        return -nn.functional.logsigmoid(D(x)).mean() - nn.functional.logsigmoid(-logits_fake).mean()
    return -nn.functional.logsigmoid(logits_fake).mean()


def _player_stays_frozen(player, G, D, x, z):
    if player == "D":
        return -nn.functional.logsigmoid(D(x)).mean() - nn.functional.logsigmoid(-D(G(z).detach())).mean()
    D.requires_grad_(False)
    return -nn.functional.logsigmoid(D(G(z))).mean()


def _player_no_grad_through_D(player, G, D, x, z):
    if player == "D":
        return -nn.functional.logsigmoid(D(x)).mean() - nn.functional.logsigmoid(-D(G(z).detach())).mean()
    with torch.no_grad():
        logits_fake = D(G(z))
    return -nn.functional.logsigmoid(logits_fake).mean() + 0 * G(z).sum()


def _player_saturating(player, G, D, x, z):
    if player == "D":
        return -nn.functional.logsigmoid(D(x)).mean() - nn.functional.logsigmoid(-D(G(z).detach())).mean()
    D.requires_grad_(False)
    loss = nn.functional.logsigmoid(-D(G(z))).mean()
    D.requires_grad_(True)
    return loss


player_loss = FunctionTask(
    "player_loss",
    title="Whose gradient goes where",
    points=15,
    prompt=r"""
One function for both steps of Algorithm 1. `player` is `"D"` or `"G"`. `G` and `D` are modules: `G(z)` gives samples, and `D(x)` gives logits, shape (n,). Return the loss that this player minimises, a scalar: $L_D$ with the label 1, or the *non-saturating* $L_G$, as above. (`x` is not needed for `"G"`.)

The losses are easy. Mind where the gradients go when someone calls `backward()` on what you return:

- in D's step, into D's weights only: G's weights get none;
- in G's step, through D into G's weights only: D's weights get none;
- afterwards both networks can be trained as before: the next step may be the other player's.

You may call your own `gan_losses`.
""",
    starter='''
def player_loss(player, G, D, x, z):
    """Loss of the player "D" or "G", a scalar whose gradient reaches that player's weights only."""
    return ...
''',
    cases=_player_cases,
    hints=(
        "In D's step the samples are data like any other. Which method of a tensor cuts it off from what made it?",
        "In G's step you need the slope of D in its input, so D must stay in the graph. What must be off are the "
        "gradients of its weights: requires_grad_ of a module sets that for all of them.",
        "What you switch off before the forward pass may be switched on again after it: the graph has been built by then.",
    ),
    misconceptions=(
        Misconception(
            "neither-detach-nor-freeze",
            "Both leaks are here: in D's step the gradient runs on into G, and in G's step D's weights collect "
            "gradients. Detach the samples in the first, freeze D in the second.",
            _player_neither,
        ),
        Misconception(
            "detach-missing",
            "detach is missing: in D's step the generator's gradient reaches G's weights. G would be moved to make D's "
            "task easier, or you pay for gradients that are thrown away.",
            _player_no_detach,
        ),
        Misconception(
            "detached-in-both",
            "You detach the samples in G's step as well. Then no gradient reaches G, and it never learns. Detach in D's "
            "step only.",
            _player_always_detached,
        ),
        Misconception(
            "D-not-frozen",
            "In G's step D's weights collect gradients too. They pile up in D.grad until somebody clears them, and cost "
            "time. Switch requires_grad of D's weights off while the samples pass through D.",
            _player_not_frozen,
        ),
        Misconception(
            "D-stays-frozen",
            "D is frozen in G's step and never thawed: in D's step after it, no gradient reaches D. Switch it on again.",
            _player_stays_frozen,
        ),
        Misconception(
            "no-grad-around-D",
            "torch.no_grad around D cuts the graph, so nothing reaches G either. G learns through D: keep D in the graph, "
            "and switch off requires_grad of D's weights only.",
            _player_no_grad_through_D,
        ),
        Misconception(
            "saturating",
            "The gradients go the right ways, but G's loss is the saturating one. The non-saturating −log D(G(z)) is "
            "asked.",
            _player_saturating,
        ),
    ),
    implementations=("coursekit.losses.gan.discriminator_loss", "coursekit.losses.gan.generator_loss"),
    probe=_gradients_of_steps,
    rtol=1e-3,
    atol=1e-5,
)

# -- maxout ----------------------------------------------------------------------------------------


def _maxout_cases():
    return [
        Case(
            (
                torch.tensor([[1.0, 2.0]]),
                torch.tensor([[[1.0, 0.0]], [[0.0, -1.0]], [[-1.0, 0.5]]]),
                torch.tensor([[0.0], [0.5], [0.25]]),
            ),
            note="one unit of three pieces: the largest of 1, -1.5 and 0.25",
        ),
        Case(
            (waves(3, 2, start=0.2), waves(4, 2, 2, start=1.1), waves(4, 2, start=0.4)), note="two units of four pieces"
        ),
        Case(
            (waves(2, 3, start=0.9), waves(2, 3, 3, start=0.3), waves(2, 3, start=1.9) - 5),
            note="all pieces of all units are negative here",
        ),
    ]


def _maxout_over_units(x, weight, bias):
    return (torch.einsum("ni,koi->nko", x, weight) + bias).amax(dim=2)


def _maxout_with_zero(x, weight, bias):
    return (torch.einsum("ni,koi->nko", x, weight) + bias).amax(dim=1).clamp(min=0)


def _maxout_bias_apart(x, weight, bias):
    return torch.einsum("ni,koi->nko", x, weight).amax(dim=1) + bias.amax(dim=0)


def _maxout_of_weights(x, weight, bias):
    return x @ weight.amax(dim=0).T + bias.amax(dim=0)


def _maxout_mean(x, weight, bias):
    return (torch.einsum("ni,koi->nko", x, weight) + bias).mean(dim=1)


def _maxout_of_size(x, weight, bias):
    return (torch.einsum("ni,koi->nko", x, weight) + bias).abs().amax(dim=1)


maxout = FunctionTask(
    "maxout",
    title="Maxout, the discriminator of 2014",
    points=10,
    prompt=r"""
A maxout unit $i$ has $k$ linear functions of its input, its *pieces*, and gives the largest:

$$
h_i(x) = \max_{j \le k} \; \bigl( w_{ji}^\top x + b_{ji} \bigr) .
$$

`x` has shape (N, n_in), `weight` (k, n_out, n_in) and `bias` (k, n_out). Return $h$, shape (N, n_out).
""",
    starter='''
def maxout(x, weight, bias):
    """Maxout units, (N, n_in) -> (N, n_out); weight is (k, n_out, n_in), bias (k, n_out)."""
    return ...
''',
    cases=_maxout_cases,
    hints=(
        "First all pieces of all units: a tensor of shape (N, k, n_out). torch.einsum, or a matrix product for each piece.",
        "Then one maximum, over the axis of the pieces. Where does the bias go, before or after it?",
    ),
    misconceptions=(
        Misconception(
            "over-the-units",
            "You take the maximum over the units, which leaves one number for each piece. Each unit chooses among its "
            "own k pieces: the maximum runs over the first axis of weight.",
            _maxout_over_units,
        ),
        Misconception(
            "zero-is-no-piece",
            "You have put a ReLU behind the maximum. A maxout unit has no floor at 0: it may be negative.",
            _maxout_with_zero,
        ),
        Misconception(
            "bias-apart",
            "You take the largest product and then add the largest bias. They may belong to different pieces. Each piece "
            "is a product plus its own bias, and then comes the maximum.",
            _maxout_bias_apart,
        ),
        Misconception(
            "largest-weights",
            "You made one linear function of the largest weights. Which piece is the largest depends on x, so the maximum "
            "comes after the product.",
            _maxout_of_weights,
        ),
        Misconception(
            "mean-of-pieces",
            "You average the pieces, which is linear again. Take the largest.",
            _maxout_mean,
        ),
        Misconception(
            "largest-size",
            "You take the piece of the largest absolute value. The largest value is asked, sign and all.",
            _maxout_of_size,
        ),
    ),
    implementations=("coursekit.networks.gan.Maxout",),
)

# -- the schedule of 2014 --------------------------------------------------------------------------


def draw_numbers(rng):
    """Numbers of the value task: how far the run has come, and its batches."""
    return {
        "epochs": int(rng.integers(20, 201)),
        "batch_size": (50, 80, 100, 125, 200, 250)[rng.integers(6)],
    }


def _rate(updates):
    return 0.1 / 1.000004**updates


def _momentum(epochs):
    return 0.5 + 0.2 * (epochs - 1) / 249


def _updates(n):
    return n["epochs"] * 50_000 // n["batch_size"]


effective_rate = ValueTask(
    "effective_rate",
    title="How fast does the paper's GAN move?",
    points=10,
    prompt=r"""
The GAN of 2014 is trained by SGD with momentum, and both settings change as it runs:

- the learning rate starts at 0.1 and is divided by 1.000004 at every update;
- the momentum $m$ is 0.5 when epoch 1 is done, 0.7 when epoch 250 is done, and on a straight line between.

With momentum, a steady gradient $g$ adds up: the velocity $v \leftarrow m v - \eta g$ settles, and from then on each update moves the weights by the same multiple of $-g$. Call that multiple the effective rate.

Your run has 50,000 images in batches of `batch_size`, and `epochs` full epochs are done (both in `numbers`). What is the effective rate now? Assign the number to `effective_rate`.
""",
    starter="""
effective_rate = ...
""",
    hints=(
        "How many updates has the run made? An epoch is one pass over all 50,000 images.",
        "The line of the momentum goes through (1, 0.5) and (250, 0.7).",
        "The velocity settles where v = m v − η g. Solve for v.",
    ),
    misconceptions=(
        Misconception(
            "decay-once-an-epoch",
            "You divide the learning rate once an epoch. It is divided at every update, and there are many in an epoch.",
            lambda n: _rate(n["epochs"]) / (1 - _momentum(n["epochs"])),
        ),
        Misconception(
            "an-update-for-each-image",
            "You count one update for each image. There is one for each batch.",
            lambda n: _rate(n["epochs"] * 50_000) / (1 - _momentum(n["epochs"])),
        ),
        Misconception(
            "momentum-left-out",
            "This is the learning rate alone. With momentum, earlier gradients still push: a steady one counts "
            "1 + m + m² + … times.",
            lambda n: _rate(_updates(n)),
        ),
        Misconception(
            "momentum-slows-down",
            "You multiply by 1 − m. The velocity settles where v = m v − η g, so 1 − m divides: momentum makes a steady "
            "gradient count for more.",
            lambda n: _rate(_updates(n)) * (1 - _momentum(n["epochs"])),
        ),
        Misconception(
            "line-from-zero",
            "Your line for the momentum starts at epoch 0. It goes from 0.5 after epoch 1 to 0.7 after epoch 250, which are "
            "249 epochs.",
            lambda n: _rate(_updates(n)) / (0.5 - 0.2 * n["epochs"] / 250),
        ),
        Misconception(
            "momentum-constant",
            "You took the momentum at its start, 0.5. It has risen since.",
            lambda n: _rate(_updates(n)) / 0.5,
        ),
        Misconception(
            "multiplied",
            "Your learning rate grows. It is divided by 1.000004 at each update.",
            lambda n: 0.1 * 1.000004 ** _updates(n) / (1 - _momentum(n["epochs"])),
        ),
    ),
    rtol=1e-4,
)

# -- Parzen windows --------------------------------------------------------------------------------


def _parzen_cases():
    return [
        Case((torch.tensor([[0.0], [1.0]]), torch.tensor([[0.2]]), 0.5), note="worked by hand in the chapter"),
        Case(
            (torch.tensor([[0.0, 0.0], [1.0, 0.5], [0.5, 1.0]]), torch.tensor([[0.2, 0.1], [1.0, 1.0]]), 0.2),
            note="three samples and two points in the plane",
        ),
        Case((torch.zeros(2, 3), torch.tensor([[6.0, 0.0, 8.0]]), 0.2), note="a point far from every sample"),
    ]


def _parzen_mean_of_logs(samples, x, sigma):
    d = x.shape[1]
    exponents = -(torch.cdist(x, samples) ** 2) / (2 * sigma**2)
    return exponents.mean(dim=1) - d / 2 * math.log(2 * math.pi * sigma**2)


def _parzen_sum(samples, x, sigma):
    d = x.shape[1]
    exponents = -(torch.cdist(x, samples) ** 2) / (2 * sigma**2)
    return torch.logsumexp(exponents, dim=1) - d / 2 * math.log(2 * math.pi * sigma**2)


def _parzen_unnormalised(samples, x, sigma):
    exponents = -(torch.cdist(x, samples) ** 2) / (2 * sigma**2)
    return torch.logsumexp(exponents, dim=1) - math.log(len(samples))


def _parzen_one_dimension(samples, x, sigma):
    exponents = -(torch.cdist(x, samples) ** 2) / (2 * sigma**2)
    return torch.logsumexp(exponents, dim=1) - math.log(len(samples)) - 0.5 * math.log(2 * math.pi * sigma**2)


def _parzen_sigma_as_variance(samples, x, sigma):
    d = x.shape[1]
    exponents = -(torch.cdist(x, samples) ** 2) / (2 * sigma)
    return torch.logsumexp(exponents, dim=1) - math.log(len(samples)) - d / 2 * math.log(2 * math.pi * sigma)


def _parzen_not_squared(samples, x, sigma):
    d = x.shape[1]
    exponents = -torch.cdist(x, samples) / (2 * sigma**2)
    return torch.logsumexp(exponents, dim=1) - math.log(len(samples)) - d / 2 * math.log(2 * math.pi * sigma**2)


def _parzen_underflow(samples, x, sigma):
    d = x.shape[1]
    windows = torch.exp(-(torch.cdist(x, samples) ** 2) / (2 * sigma**2)) / (2 * math.pi * sigma**2) ** (d / 2)
    return torch.log(windows.mean(dim=1))


def _parzen_mean_over_points(samples, x, sigma):
    d = x.shape[1]
    exponents = -(torch.cdist(x, samples) ** 2) / (2 * sigma**2)
    normalisation = math.log(len(samples)) + d / 2 * math.log(2 * math.pi * sigma**2)
    return (torch.logsumexp(exponents, dim=1) - normalisation).mean()


parzen = FunctionTask(
    "parzen",
    title="The Parzen window",
    points=20,
    prompt=r"""
Table 1 of the 2014 paper judges generators by this: put a Gaussian on each of $n$ samples $s_j$, and call their mixture the model,

$$
\hat p_\sigma(x) = \frac1n \sum_{j=1}^{n} \mathcal{N}(x;\, s_j,\, \sigma^2 I) .
$$

Return $\log \hat p_\sigma(x)$ for each point, in nats, shape (N,). `samples` is (n, d) and `x` is (N, d); `sigma` is a number, the *standard deviation* in each of the $d$ directions. It is a density, so the result may be positive. Points may be far from all samples: exponents of −5,000 occur.
""",
    starter='''
def parzen(samples, x, sigma):
    """Log-density of each x, (N,), under Gaussians of standard deviation sigma on the samples (n, d)."""
    return ...
''',
    cases=_parzen_cases,
    hints=(
        "Write the density of one Gaussian in d dimensions, with its factor in front. Then take the logarithm of the mean.",
        "The logarithm of a mean is not the mean of logarithms. It is log-sum-exp minus log n.",
        "torch.logsumexp takes the largest exponent out before it exponentiates. torch.cdist gives distances, not squares.",
        "Test yourself: one sample, x on top of it, d = 2 and sigma = 1 must give −log 2π = −1.838.",
    ),
    misconceptions=(
        Misconception(
            "exp-before-log",
            "You exponentiate and take the logarithm afterwards. e to the −1,250 is 0 in any computer, and its logarithm −∞. "
            "Stay in logarithms: torch.logsumexp.",
            _parzen_underflow,
        ),
        Misconception(
            "mean-of-logs",
            "This is the mean of the log-densities. The model is a mixture, so the densities are averaged and then comes "
            "the logarithm.",
            _parzen_mean_of_logs,
        ),
        Misconception(
            "log-n-missing",
            "You sum over the samples. A mixture is their mean: subtract log n, or the estimate grows with every sample.",
            _parzen_sum,
        ),
        Misconception(
            "factor-missing",
            "The factor in front of the Gaussian is missing, 1/(2πσ²) to the power d/2. It depends on σ: without it the widest "
            "window would always win.",
            _parzen_unnormalised,
        ),
        Misconception(
            "one-dimensional-factor",
            "Your factor is that of a Gaussian on the line. In d dimensions there is one for each: d/2 · log(2πσ²) is "
            "subtracted.",
            _parzen_one_dimension,
        ),
        Misconception(
            "sigma-as-variance",
            "You took sigma for the variance. It is the standard deviation: the variance is σ².",
            _parzen_sigma_as_variance,
        ),
        Misconception(
            "distance-not-squared",
            "The exponent has the distance where the squared distance belongs.",
            _parzen_not_squared,
        ),
        Misconception(
            "one-number-for-all",
            "You averaged over the points. Each point keeps its own log-density, shape (N,).",
            _parzen_mean_over_points,
        ),
    ),
    implementations=("coursekit.metrics.parzen.parzen_log_likelihood", "coursekit.metrics.parzen.parzen_protocol"),
    atol=1e-3,
)

# -- memorisation ----------------------------------------------------------------------------------


def _memorisation_cases():
    line = torch.tensor([[0.0], [100.0], [200.0]])
    return [
        Case(
            (line, line + torch.tensor([[1.0], [2.0], [9.0]]), line + torch.tensor([[2.0], [8.0], [3.0]])),
            note="three samples on the line; distances to the nearest are 1, 2, 9 and 2, 8, 3",
        ),
        Case(
            (waves(5, 2, start=0.3), waves(7, 2, start=1.2), waves(6, 2, start=2.2)), note="five samples in the plane"
        ),
        Case(
            (torch.tensor([[0.0, 0.0], [1.0, 1.0], [3.0, 0.0]]), torch.tensor([[0.0, 0.0], [1.0, 1.0], [3.0, 4.0]]))
            + (torch.tensor([[1.0, 1.0], [0.0, 0.0], [3.0, 8.0]]),),
            note="two samples are in both sets",
        ),
    ]


def _memorisation_mean(samples, train, held_out):
    to_train = torch.cdist(samples, train).amin(dim=1)
    to_held_out = torch.cdist(samples, held_out).amin(dim=1)
    return torch.where(to_train + to_held_out == 0, 1.0, to_train / to_held_out).mean().item()


def _memorisation_upside_down(samples, train, held_out):
    to_train = torch.cdist(samples, train).amin(dim=1)
    to_held_out = torch.cdist(samples, held_out).amin(dim=1)
    return torch.where(to_train + to_held_out == 0, 1.0, to_held_out / to_train).median().item()


def _memorisation_of_medians(samples, train, held_out):
    to_train = torch.cdist(samples, train).amin(dim=1)
    to_held_out = torch.cdist(samples, held_out).amin(dim=1)
    return (to_train.median() / to_held_out.median()).item()


def _memorisation_mean_distance(samples, train, held_out):
    to_train = torch.cdist(samples, train).mean(dim=1)
    to_held_out = torch.cdist(samples, held_out).mean(dim=1)
    return (to_train / to_held_out).median().item()


def _memorisation_squared(samples, train, held_out):
    to_train = torch.cdist(samples, train).amin(dim=1) ** 2
    to_held_out = torch.cdist(samples, held_out).amin(dim=1) ** 2
    return torch.where(to_train + to_held_out == 0, 1.0, to_train / to_held_out).median().item()


def _memorisation_zero_by_zero(samples, train, held_out):
    to_train = torch.cdist(samples, train).amin(dim=1)
    to_held_out = torch.cdist(samples, held_out).amin(dim=1)
    return (to_train / to_held_out).median().item()


def _memorisation_of_points(samples, train, held_out):
    to_train = torch.cdist(train, samples).amin(dim=1).median()
    to_held_out = torch.cdist(held_out, samples).amin(dim=1).median()
    return (to_train / to_held_out).item()


memorisation = FunctionTask(
    "memorisation",
    title="Does it copy?",
    points=10,
    prompt=r"""
A generator that hands out its training images has perfect samples. To catch it, compare with images that it never saw:

$$
r = \operatorname*{median}_i \; \frac{\min_j \lVert s_i - x_j^{\text{train}} \rVert}{\min_j \lVert s_i - x_j^{\text{held out}} \rVert} .
$$

`samples` is (n, d), `train` (N, d) and `held_out` (M, d); $n$ is odd, so the median is one of the ratios. Distances are Euclidean. A sample that is in *both* sets is as near to one as to the other: its ratio counts as 1. Return $r$ as a number.
""",
    starter='''
def memorisation(samples, train, held_out):
    """Median over the samples of distance to the nearest training point / to the nearest held-out point."""
    return ...
''',
    cases=_memorisation_cases,
    hints=(
        "torch.cdist(samples, train) has shape (n, N): row i holds the distances of sample i to all training points.",
        "For each sample: the smallest of its row, for both sets, and their ratio. The median comes last.",
        "0 / 0 is NaN, and a median with a NaN in it is NaN. torch.where can replace it first.",
    ),
    misconceptions=(
        Misconception(
            "zero-by-zero",
            "A sample that is in both sets gives 0 / 0, which is NaN, and the median is lost. Count its ratio as 1.",
            _memorisation_zero_by_zero,
        ),
        Misconception(
            "mean-for-median",
            "You took the mean of the ratios. One sample that lies on a held-out image would make it infinite; the median "
            "asks for the typical sample.",
            _memorisation_mean,
        ),
        Misconception(
            "upside-down",
            "Your ratio is upside down. The distance to the training images is on top, so that a copier gets 0.",
            _memorisation_upside_down,
        ),
        Misconception(
            "ratio-of-medians",
            "This is the ratio of two medians. They may come from different samples: first the ratio of each sample, then "
            "the median.",
            _memorisation_of_medians,
        ),
        Misconception(
            "mean-distance",
            "You averaged the distances to all points of a set. A copy is near to one of them and as far from the others as "
            "anything: take the nearest.",
            _memorisation_mean_distance,
        ),
        Misconception(
            "squared-distances",
            "Your distances are squared. The ratio of squares is the square of the ratio.",
            _memorisation_squared,
        ),
        Misconception(
            "seen-from-the-images",
            "You look up the nearest sample of each image. Go the other way: the nearest image of each sample.",
            _memorisation_of_points,
        ),
    ),
    implementations=("coursekit.metrics.distances.memorisation_ratio",),
)

# -- a model ---------------------------------------------------------------------------------------

MODES, STD, NOISE_DIM = 8, 0.2, 8


def ring_generator():
    """The network of the training task: 8 numbers of noise to points of the plane."""
    return MLPGenerator(NOISE_DIM, (2,), (64, 64), batch_norm=False, output="linear")


def coverage(network, seed, n=4000):
    """Share of samples within 3 standard deviations of a mode, where no mode counts for more than its fair share."""
    noise = torch.randn(n, NOISE_DIM, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        samples = network(noise)
    distance, nearest = torch.cdist(samples, ring_modes(MODES)).min(dim=1)
    shares = torch.bincount(nearest[distance < 3 * STD], minlength=MODES) / n
    return float(shares.clamp(max=1 / MODES).sum())


def _public_score(network):
    return coverage(network, seed=0)


ring = ArtefactTask(
    "ring",
    title="All eight modes",
    points=15,
    prompt=r"""
The data are eight Gaussians on a ring, the classic trap for mode collapse. Train a GAN on them and hand it in.

The score is between 0 and 1: the share of 4,000 samples that lie within 3 standard deviations of a mode, where each mode counts for an eighth at most. So a generator that serves only two modes gets ¼ at best, however good its points are.

The generator is given, and so is its noise. The rest is yours: the learning rates, `beta1`, `k`, `batch_size`, `discriminator_hidden`, and `fit`'s `max_steps`. Five seconds of a laptop are enough.
""",
    starter="""
from coursekit.data import ring_of_gaussians
from coursekit.networks import MLPGenerator
from coursekit.trainers import GANTrainer

torch.manual_seed(0)
points = ring_of_gaussians(modes=8, std=0.2).sample((4000,))
network = MLPGenerator(8, (2,), (64, 64), batch_norm=False, output="linear")
ring = ...  # a GANTrainer(generator=network, noise="normal", noise_dim=8, device="cpu", …), fitted to points
""",
    hints=(
        'Begin with ring = GANTrainer(generator=network, noise="normal", noise_dim=8, device="cpu") and '
        "ring.fit(points, max_steps=300). Then look at ring.sample(500): where do the points lie?",
        "The default learning rate is made for images. On two numbers a rate five times as large is fine.",
        "The failure museum of the chapter has this very ring. What is the cure there, and which learning rate has D?",
        "Small batches make noisy steps: batch_size=256 costs hardly more than 64 here.",
    ),
    architecture=ring_generator,
    public_score=_public_score,
    thresholds={0.3: 0.4, 0.6: 1.0},
)

assignment = Assignment(
    "gan_practice",
    title="GANs in practice",
    intro="From the value function to code that trains: both losses from logits, whose gradient goes where, maxout and the "
    "schedule of 2014, the Parzen window and the memorisation check with their traps, and a GAN that must not collapse.",
    tasks=(gan_losses, player_loss, maxout, effective_rate, parzen, memorisation, ring),
    numbers=draw_numbers,
)
start, progress, submit = assignment.start, assignment.progress, assignment.submit
