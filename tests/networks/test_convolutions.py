"""Convolutions whose weights' gradient is a matrix product."""

import pytest
import torch
from torch import nn

from coursekit.losses.gan import r1_penalty
from coursekit.networks import convolutions
from coursekit.networks.convolutions import Conv2d, ConvTranspose2d, weight_gradient
from coursekit.networks.cyclegan import PatchDiscriminator, ResnetGenerator
from coursekit.networks.dcgan import DCGANDiscriminator
from coursekit.networks.layers import _InstanceNorm2d
from coursekit.trainers import CycleGANTrainer, DCGANTrainer

LAST = torch.channels_last


@pytest.fixture
def calls(monkeypatch):
    """Products on, on any CPU, for few channels too; a list of the gradients that were made as products."""
    made = []

    def noted(*arguments):
        made.append(arguments[0].shape)
        return weight_gradient(*arguments)

    monkeypatch.setattr(convolutions, "products_pay", lambda: True)
    monkeypatch.setattr(convolutions, "LEAST_OF_ONE", 2)
    monkeypatch.setattr(convolutions, "LEAST_OF_SEVERAL", 3)
    monkeypatch.setattr(convolutions, "weight_gradient", noted)
    return made


CASES = [
    (Conv2d, dict(kernel_size=3), (1, 4, 9, 7)),
    (Conv2d, dict(kernel_size=3, stride=2, padding=1, bias=False), (2, 4, 8, 8)),
    (Conv2d, dict(kernel_size=4, stride=2, padding=1), (2, 4, 7, 6)),
    (Conv2d, dict(kernel_size=5, stride=2, padding=2), (3, 4, 7, 7)),
    (ConvTranspose2d, dict(kernel_size=4, stride=2, padding=1), (2, 4, 4, 3)),
    (ConvTranspose2d, dict(kernel_size=3, stride=2, padding=1, output_padding=1, bias=False), (1, 4, 4, 4)),
    (ConvTranspose2d, dict(kernel_size=5, stride=2, padding=2, output_padding=1), (2, 4, 3, 3)),
]


@pytest.mark.parametrize(("kind", "options", "shape"), CASES)
def test_output_and_all_gradients_are_those_of_torch(kind, options, shape, calls):
    torch.manual_seed(0)
    ours = kind(4, 6, **options).to(memory_format=LAST)
    theirs = kind.__bases__[0](4, 6, **options).to(memory_format=LAST)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(shape).to(memory_format=LAST)
    answers = []
    for layer in (ours, theirs):
        seen = x.clone(memory_format=torch.preserve_format).requires_grad_()
        y = layer(seen)
        weights = list(layer.parameters())
        answers.append([y, *torch.autograd.grad(y.square().sum(), [seen, *weights])])
    assert len(calls) == 1
    for mine, torchs in zip(*answers, strict=True):
        torch.testing.assert_close(mine, torchs, rtol=1e-4, atol=1e-4)


def test_weight_gradient_is_a_sum_over_what_each_output_saw():
    x = torch.tensor([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]]])
    slope = torch.tensor([[[[1.0, 10.0], [100.0, 1000.0]]]])
    # Top left: 1·1 + 2·10 + 4·100 + 5·1000, and so on.
    expected = torch.tensor([[[[5421.0, 6532.0], [8754.0, 9865.0]]]])
    torch.testing.assert_close(weight_gradient(x, slope, 2, 1, 0), expected)


def test_weight_gradient_of_no_image_is_zero(calls):
    layer = Conv2d(3, 3, 3).to(memory_format=LAST)
    layer(torch.zeros(0, 3, 5, 5)).sum().backward()
    assert len(calls) == 1 and layer.weight.grad.abs().max() == 0


@pytest.mark.parametrize(("transposed", "extra"), [(False, None), (True, (1, 1))])
def test_the_gradient_can_be_derived_again(transposed, extra):
    torch.manual_seed(0)
    x = torch.randn(2, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn((2, 3, 3, 3) if transposed else (3, 2, 3, 3), dtype=torch.float64, requires_grad=True)
    bias = torch.randn(3, dtype=torch.float64, requires_grad=True)

    def apply(*tensors):
        return convolutions._Convolution.apply(*tensors, (2, 2), (1, 1), extra)

    assert torch.autograd.gradcheck(apply, (x, weight, bias))
    assert torch.autograd.gradgradcheck(apply, (x, weight, bias))


def test_r1_penaltys_gradient_is_that_of_torch(calls):
    torch.manual_seed(0)
    D = DCGANDiscriminator((3, 28, 28), 4, norm="none").to(memory_format=LAST)
    x = torch.rand(3, 3, 28, 28)
    found = []
    for least in (3, 100):
        convolutions.LEAST_OF_SEVERAL = least
        seen = x.clone().requires_grad_()
        found.append(torch.autograd.grad(r1_penalty(D(seen), seen), list(D.parameters()), allow_unused=True))
    assert calls
    for mine, torchs in zip(*found, strict=True):
        if torchs is not None:
            torch.testing.assert_close(mine, torchs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        lambda layer, x: (layer.to(memory_format=torch.contiguous_format), x),
        lambda layer, x: (layer.double(), x.double()),
        lambda layer, x: (layer.requires_grad_(False), x.requires_grad_()),
    ],
    ids=["contiguous", "float64", "frozen"],
)
def test_elsewhere_torchs_own_gradient_is_used(change, calls):
    layer, x = change(Conv2d(3, 3, 3).to(memory_format=LAST), torch.randn(2, 3, 5, 5))
    layer(x).sum().backward()
    assert not calls


def test_under_autocast_and_for_narrow_layers_torchs_own_gradient_is_used(calls):
    x = torch.randn(2, 3, 5, 5)
    with torch.autocast("cpu", torch.bfloat16):
        Conv2d(3, 3, 3).to(memory_format=LAST)(x).sum().backward()
    Conv2d(3, 2, 3).to(memory_format=LAST)(x).sum().backward()
    assert not calls
    Conv2d(3, 2, 3).to(memory_format=LAST)(x[:1]).sum().backward()
    assert len(calls) == 1


def test_products_are_for_cpus_where_they_were_measured(monkeypatch):
    for capability, pays in (("AVX2", True), ("AVX512", False), ("DEFAULT", False)):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda capability=capability: capability)
        convolutions.products_pay.cache_clear()
        assert convolutions.products_pay() is pays
    convolutions.products_pay.cache_clear()


def test_networks_have_these_layers():
    networks = [DCGANDiscriminator((3, 32, 32), 4), ResnetGenerator((3, 16, 16), 4, 1), PatchDiscriminator((3, 64, 64))]
    for network in networks:
        assert [layer for layer in network.modules() if isinstance(layer, Conv2d)]


def test_instance_norm_of_one_image_is_torchs_in_any_layout():
    torch.manual_seed(0)
    ours, theirs, x = _InstanceNorm2d(4), nn.InstanceNorm2d(4), torch.randn(1, 4, 6, 5)
    for seen in (x, x.to(memory_format=LAST)):
        for mode in (True, False):
            torch.testing.assert_close(ours.train(mode)(seen), theirs(x), rtol=1e-5, atol=1e-5)
    assert ours(x.to(memory_format=LAST)).is_contiguous(memory_format=LAST)
    assert ours(torch.cat([x, x])).allclose(theirs(torch.cat([x, x])))


@pytest.mark.parametrize("times", [1, 2])
def test_a_fit_with_products_ends_where_one_without_does_and_in_the_same_bits_each_time(times, calls, monkeypatch):
    x = torch.randint(0, 256, (6, 3, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))

    def fit():
        return DCGANTrainer(width=4, batch_size=3, device="cpu").fit(x, max_steps=times, progress=False)

    with_products, again = fit(), fit()
    assert calls
    monkeypatch.setattr(convolutions, "products_pay", lambda: False)
    without = fit()
    assert with_products.history == again.history
    for mine, same in zip(with_products.network.parameters(), again.network.parameters()):
        assert torch.equal(mine, same)
    for name in ("loss_D", "loss_G"):
        assert with_products.history[name] == pytest.approx(without.history[name], rel=1e-3)


def test_wide_cyclegans_of_one_image_keep_channels_last_where_products_pay(monkeypatch):
    def chosen(**settings):
        return CycleGANTrainer(device="cpu", **settings).CHANNELS_LAST

    for pays in (True, False):
        monkeypatch.setattr("coursekit.trainers.cyclegan.products_pay", lambda pays=pays: pays)
        assert chosen() is pays
    monkeypatch.setattr("coursekit.trainers.cyclegan.products_pay", lambda: True)
    for other in (dict(width=16), dict(discriminator_width=16), dict(batch_size=2), dict(norm="batch")):
        assert not chosen(**other)
    assert not chosen(precision="bf16-mixed") and not chosen(compile=True) and not chosen(G=nn.Identity())
