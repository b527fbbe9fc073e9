import itertools

import pytest
import torch
from torch.nn import functional

from coursekit.networks import MADE, build_autoregressive


def reads(network):
    """(D, D): how strongly output i reads input j, summed over the batch."""
    torch.manual_seed(1)
    x = torch.rand(8, *network.image_shape, dtype=torch.float64)
    return torch.autograd.functional.jacobian(lambda x: network(x).flatten(1), x).abs().sum((0, 2)).flatten(1)


@pytest.mark.theorem("thm-masked-autoregressive")
@pytest.mark.parametrize("image_shape", [(1, 3, 4), (2, 2, 3), (1, 1, 1), (1, 1, 2)])
@pytest.mark.parametrize("hidden", [(), (1,), (5,), (40,), (40, 30)])
def test_no_output_has_a_gradient_in_its_own_or_a_later_pixel(image_shape, hidden):
    torch.manual_seed(0)
    forward = reads(build_autoregressive(image_shape, hidden=hidden).double()).triu()
    assert torch.equal(forward, torch.zeros_like(forward))


@pytest.mark.parametrize("hidden", [(), (60,), (60, 60)])
def test_every_output_reads_every_earlier_pixel(hidden):
    torch.manual_seed(0)
    past = reads(build_autoregressive((1, 3, 4), hidden=hidden).double())
    assert (past[torch.ones_like(past).tril(-1).bool()] > 0).all()


def test_hidden_units_carry_pixels_on_without_the_direct_connections():
    torch.manual_seed(0)
    network = build_autoregressive((1, 3, 4), hidden=(200, 200)).double()
    torch.nn.init.zeros_(network.direct.weight)
    past = reads(network)
    assert (past[torch.ones_like(past).tril(-1).bool()] > 0).all()


@pytest.mark.theorem("thm-masked-autoregressive")
@pytest.mark.parametrize("hidden", [(), (7,), (20, 20)])
def test_probabilities_sum_to_one_over_all_images(hidden):
    torch.manual_seed(0)
    network = build_autoregressive((1, 2, 5), hidden=hidden).double()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.tensor(list(itertools.product([0.0, 1.0], repeat=10)), dtype=torch.float64).view(-1, 1, 2, 5)
    log_p = -functional.binary_cross_entropy_with_logits(network(x), x, reduction="none").flatten(1).sum(1)
    assert len(x) == 2**10
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-12)
    assert (log_p.exp() > 2 / 2**10).any(), "the distribution is far from uniform"


@pytest.mark.theorem("thm-masked-autoregressive")
def test_outputs_are_the_conditionals_that_bayes_rule_gives():
    torch.manual_seed(0)
    network = build_autoregressive((1, 2, 3), hidden=(20,)).double()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.tensor(list(itertools.product([0.0, 1.0], repeat=6)), dtype=torch.float64)
    logits = network(x.view(-1, 1, 2, 3)).flatten(1)
    p = torch.exp(-functional.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1))
    for row, conditionals in zip(x, logits.sigmoid()):
        for i in range(6):
            before = (x[:, :i] == row[:i]).all(1)
            assert (p[before & (x[:, i] == 1)].sum() / p[before].sum()).item() == pytest.approx(conditionals[i].item())


def test_first_output_is_one_number_and_the_last_pixel_is_never_read():
    network = MADE((1, 2, 2), (6,))
    x = torch.rand(5, 1, 2, 2)
    logits = network(x)
    assert logits.shape == x.shape
    assert logits[:, 0, 0, 0].unique().numel() == 1
    x[:, 0, 1, 1] = torch.rand(5)
    assert torch.equal(network(x), logits)


def test_masked_weights_get_no_gradient():
    network = MADE((1, 2, 3), (6,))
    network(torch.rand(4, 1, 2, 3)).sum().backward()
    for layer in (*network.hidden, network.output, network.direct):
        assert torch.equal(layer.weight.grad[layer.mask == 0], torch.zeros(int((layer.mask == 0).sum())))
        assert (layer.mask == 0).any()


@pytest.mark.parametrize(
    ("image_shape", "hidden", "named"), [((8, 8), (4,), "image_shape"), ((1, 8, 8), (0,), "hidden")]
)
def test_what_does_not_fit_is_named(image_shape, hidden, named):
    with pytest.raises(ValueError, match=named):
        build_autoregressive(image_shape, hidden=hidden)
