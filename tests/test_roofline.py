"""The roofline's counts against sums by hand, and its ring against one that is played through."""

import pytest
import torch
from torch import nn
from torch.utils.benchmark import Timer

from coursekit.networks.cyclegan import ResnetGenerator
from coursekit.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from coursekit.roofline import (
    Ceilings,
    Work,
    all_reduce_bytes,
    amdahl_speedup,
    count_layers,
    count_work,
    measure_ceilings,
)
from coursekit.trainers import DCGANTrainer

FLOAT = 4


def whole(work):
    return sum(work.values(), Work(0, 0))


def test_work_of_a_product_is_that_of_its_three_matrices():
    a, b = torch.ones(3, 5), torch.ones(5, 7)
    assert count_work(lambda: a @ b) == {"mm": Work(2 * 3 * 5 * 7, FLOAT * (15 + 35 + 21))}


@pytest.mark.parametrize(("transposed", "side"), [(False, 8), (True, 16)])
def test_work_of_a_convolution_counts_every_tap_of_every_window(transposed, side):
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    layer = kind(6, 10, 4, 2, 1, bias=False)
    x = torch.ones(2, 6, side, side)
    y = layer(x)
    windows = x[0, 0].numel() if transposed else y[0, 0].numel()  # each tap of a window is a product and a sum
    work = count_layers(layer, x)
    assert whole(work) == Work(2 * 2 * windows * 16 * 6 * 10, FLOAT * (x.numel() + y.numel() + 6 * 10 * 16))


def test_backward_pass_of_a_convolution_is_twice_its_forward_pass_and_once_where_weights_are_frozen():
    layer = nn.Conv2d(3, 4, 3, padding=1)
    x = torch.ones(2, 3, 8, 8, requires_grad=True)
    forward = whole(count_work(lambda: layer(x))).operations
    assert whole(count_work(lambda: layer(x).sum().backward())).operations == 3 * forward
    layer.requires_grad_(False)
    assert whole(count_work(lambda: layer(x).sum().backward())).operations == 2 * forward


def test_views_and_allocations_move_nothing_and_copies_move_twice_their_size():
    x = torch.ones(4, 6)
    work = count_work(lambda: (x.view(6, 4), x.t(), x[1:], x.detach(), torch.empty(100), x.expand(5, 4, 6)))
    assert whole(work) == Work(0, 0)
    assert whole(count_work(lambda: x.clone())).bytes == 2 * 24 * FLOAT
    assert whole(count_work(lambda: x.add_(1))).bytes == 2 * 24 * FLOAT


def test_fused_optimizer_writes_what_it_changes():
    weight = torch.ones(1000, requires_grad=True)
    weight.grad = torch.ones(1000)
    optimizer = torch.optim.Adam([weight], fused=True)
    optimizer.step()
    work = count_work(optimizer.step)["_fused_adam_"]
    assert 7 * 1000 * FLOAT <= work.bytes <= 8 * 1000 * FLOAT + 100  # reads w, g, m and v; writes w, m and v


@pytest.mark.parametrize(
    ("network", "inputs"),
    [
        (lambda: DCGANGenerator(10, (3, 64, 64), 8), (4, 10)),
        (lambda: DCGANDiscriminator((3, 64, 64), 8), (4, 3, 64, 64)),
        (lambda: ResnetGenerator((3, 32, 32), 4, 2), (1, 3, 32, 32)),
    ],
)
def test_layers_add_up_to_the_network_and_need_no_memory(network, inputs):
    with torch.no_grad():
        real, x = network(), torch.ones(*inputs)
        expected = whole(count_work(lambda: real(x)))
    with torch.device("meta"):
        layers = count_layers(network(), torch.ones(*inputs))
    assert whole(layers) == expected
    assert any(isinstance(real.get_submodule(name), nn.Conv2d | nn.ConvTranspose2d) for name in layers)


def test_layers_leave_the_network_as_it_was():
    network = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    count_layers(network, torch.ones(1, 2))
    with pytest.raises(RuntimeError):
        count_layers(network, torch.ones(1, 5))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_step_of_dcgan_counts_as_its_algorithm_says():
    """G forward; D forward on both and backward; then D forward and, with frozen weights, back, and back through G."""
    trainer = DCGANTrainer(width=8, noise_dim=4, batch_size=6, device="cpu")
    images = torch.zeros(12, 3, 32, 32, dtype=torch.uint8)
    trainer.fit(images, max_steps=1, progress=False)
    step = whole(count_work(lambda: trainer.fit(images, max_steps=2, progress=False))).operations

    G = whole(count_layers(trainer.generator, torch.zeros(6, 4))).operations
    D = whole(count_layers(trainer.discriminator, torch.zeros(6, 3, 32, 32))).operations
    first_G = 2 * 6 * 4 * trainer.generator.net[0].out_features  # of z and of x no gradient is asked for
    first_D = whole(count_layers(trainer.discriminator.blocks[0][0], torch.zeros(6, 3, 32, 32))).operations
    assert step == (G + 2 * D) + (4 * D - 2 * first_D) + (D + D) + (2 * G - first_G)


def test_attainable_is_the_lower_of_the_two_roofs():
    ceilings = Ceilings(operations=100.0, bytes=10.0)
    assert [ceilings.attainable(i) for i in (1, 10, 50)] == [10, 100, 100]
    assert ceilings.seconds(Work(1000, 10)) == 10 and ceilings.seconds(Work(10, 1000)) == 100
    assert Work(12, 4).intensity == 3 and Work(12, 0).intensity == 0


def test_ceilings_are_above_what_a_small_job_reaches():
    ceilings = measure_ceilings("cpu", seconds=0)
    a, b = torch.ones(2, 8, 8)
    product = Timer("a @ b", globals={"a": a, "b": b}).timeit(100).mean
    assert ceilings.operations > 2 * 8**3 / product
    assert ceilings.bytes > 1e8


@pytest.mark.parametrize("processes", [1, 2, 3, 5, 8])
def test_ring_sends_as_many_bytes_as_one_that_is_played_through(processes):
    size = 4 * 3 * 5 * 8
    values = torch.randn(processes, processes, size // processes, generator=torch.Generator().manual_seed(0))
    held, sent = values.clone(), [0] * processes
    for summing in (True, False):
        for turn in range(processes - 1):
            before = held.clone()
            for rank in range(processes):
                chunk = (rank - turn + (0 if summing else 1)) % processes
                right = (rank + 1) % processes
                held[right, chunk] = before[rank, chunk] + (before[right, chunk] if summing else 0)
                sent[rank] += before[rank, chunk].numel() * FLOAT
    torch.testing.assert_close(held, values.sum(0).expand_as(held))
    assert sent == [all_reduce_bytes(size, processes)] * processes


def test_speedup_has_the_serial_share_as_its_bound():
    assert amdahl_speedup(0, 8) == 8 and amdahl_speedup(1, 8) == 1
    assert amdahl_speedup(0.1, 8) == pytest.approx(1 / (0.1 + 0.9 / 8))
    assert amdahl_speedup(0.1, 10**9) == pytest.approx(10)
