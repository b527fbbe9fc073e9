"""`make bench`: the plain loops take our steps, sides are compared fairly, public checkouts are found."""

import copy
import importlib
import json
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "benchmarks"))

import _sides  # noqa: E402
import bench  # noqa: E402
import curves  # noqa: E402
import cyclegan_step  # noqa: E402
import dcgan_step  # noqa: E402
import peers  # noqa: E402

from coursekit.networks import convolutions  # noqa: E402
from coursekit.trainers import CycleGANTrainer, DCGANTrainer  # noqa: E402
from coursekit.trainers.base import NOISE  # noqa: E402
from coursekit.trainers.runtime import stream_seed  # noqa: E402

LR = 2e-4


def images(n):
    return torch.randint(0, 256, (n, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def assert_same_weights(theirs, ours):
    """To float tolerance, measured by what a step of Adam can move: the learning rate."""
    for one, other in zip(theirs, ours, strict=True):
        difference = torch.cat([(a - b).abs().flatten() for a, b in zip(one.parameters(), other.parameters())])
        assert difference.max() < 0.05 * LR and (difference > 1e-3 * LR).float().mean() < 1e-3


@pytest.mark.parametrize("by_product", [False, True])
def test_one_step_of_dcgans_plain_loop_is_one_of_ours(by_product, monkeypatch):
    monkeypatch.setattr(convolutions, "products_pay", lambda: by_product)
    monkeypatch.setattr(convolutions, "LEAST_OF_SEVERAL", 8)
    G, D = dcgan_step.networks((3, 32, 32), 8)
    before = copy.deepcopy(G)
    loop = dcgan_step.PlainLoop(copy.deepcopy(G), copy.deepcopy(D))
    trainer = DCGANTrainer(generator=G, discriminator=D[0], batch_size=8, device="cpu", precision="32-true")
    x = images(8)

    trainer.fit(x, max_steps=1, progress=False)
    # The order of the data within the one batch changes sums in the last bits only.
    z = torch.randn(8, dcgan_step.NOISE_DIM, generator=torch.Generator().manual_seed(stream_seed(0, NOISE, 0)))
    loss_D, loss_G = loop.step(x / 127.5 - 1, z)

    assert loss_D == pytest.approx(trainer.history["loss_D"][0], abs=1e-5)
    assert loss_G == pytest.approx(trainer.history["loss_G"][0], abs=1e-5)
    assert_same_weights([loop.generator, loop.discriminator], [G, D])
    assert (G.net[0].weight - before.net[0].weight).abs().max() > 0.9 * LR


def test_one_step_of_cyclegans_plain_loop_is_one_of_ours():
    ours = cyclegan_step.networks((3, 32, 32), 1, width=8)
    loop = cyclegan_step.PlainLoop(*copy.deepcopy(ours))
    names = ("G", "F", "D_X", "D_Y")
    trainer = CycleGANTrainer(**dict(zip(names, ours)), device="cpu", precision="32-true")
    x = images(1)

    trainer.fit((x, 255 - x), max_steps=1, progress=False)
    losses = loop.step(x / 127.5 - 1, (255 - x) / 127.5 - 1)

    assert losses == pytest.approx([trainer.history[name][0] for name in ("loss_G", "loss_D_X", "loss_D_Y")], rel=1e-5)
    assert_same_weights([getattr(loop, name) for name in names], ours)


def test_the_plain_pool_answers_with_the_image_or_an_earlier_one_and_keeps_what_it_was_shown():
    cyclegan_step.random.seed(0)
    pool = cyclegan_step.Pool(3)
    shown = [torch.tensor([float(number)]) for number in range(40)]
    answers = [pool.query(image).item() for image in shown]
    assert answers[:3] == [0, 1, 2]
    later = [number - answer for number, answer in enumerate(answers)][3:]
    assert min(later) == 0 and 5 < sum(step > 0 for step in later) < 32


@pytest.mark.parametrize("case", curves.CASES)
def test_curves_of_both_sides_are_compared_with_those_of_other_seeds(case, monkeypatch):
    monkeypatch.setattr(curves, "WINDOW", 3)
    rows = curves.rows(case, steps=6)
    for row in rows:
        theirs = [other["curves"]["plain"] for other in rows if other is not row]
        assert {len(curve) for curve in row["curves"]["plain"].values()} == {2}
        expected = sum(curves.distance(row["curves"]["coursekit"], other) for other in theirs) / 2
        assert row["metrics"]["between_sides"] == pytest.approx(expected)
        assert min(row["metrics"][name] for name in ("between_sides", "between_seeds", "between_our_seeds")) > 0


def test_distance_of_curves_is_the_mean_distance_of_their_points():
    assert curves.distance({"a": [1.0, 2.0], "b": [0.0, 0.0]}, {"a": [1.0, 4.0], "b": [1.0, 1.0]}) == 1.0


SIDES = """
import os
import time

import torch


class Products:
    def __init__(self, folder, seconds, fails=False):
        self.seconds, self.fails = seconds, fails
        self.a = torch.ones(100, 100)

    def epoch(self):
        if self.fails:
            raise RuntimeError("broken on purpose")
        self.a @ self.a
        start = time.perf_counter()
        while time.perf_counter() - start < self.seconds:
            pass
        return 10 if os.environ.get("HALF") else 20
"""


@pytest.fixture
def products(tmp_path, monkeypatch):
    """A class of sides that the child processes can import."""
    (tmp_path / "products_for_bench.py").write_text(SIDES)
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module("products_for_bench").Products


def test_a_round_gives_rates_ratios_counted_operations_and_words_for_what_is_missing(products, monkeypatch):
    monkeypatch.setattr(bench, "Ceiling", products)
    monkeypatch.setattr(bench, "Side", lambda make, options: _sides.Side(make, {"seconds": 0.01}))
    sides = {
        "plain": _sides.Side(products, {"seconds": 0.1}),
        "coursekit": _sides.Side(products, {"seconds": 0.1}, {"HALF": "1"}),
        "untuned": _sides.Side(products, {"seconds": 0.1}, counted=False, instead="coursekit"),
    }
    workload = _sides.Workload(sides, {"coursekit": 2.0}, {"bf16": "not supported by this CPU"})

    rows = bench.rows_of(workload, 2, "cpu")

    assert [row["round"] for row in rows] == [0, 1]
    for metrics in (row["metrics"] for row in rows):
        assert metrics["ratio"] == metrics["coursekit"] / metrics["plain"]
        assert metrics["plain_gflop_per_second"] == pytest.approx(2e-3 / 20 * metrics["plain"])
        assert metrics["gflop_per_second"] == pytest.approx(2e-3 / 10 * metrics["coursekit"])
        assert metrics["share"] == metrics["gflop_per_second"] / metrics["ceiling_gflop_per_second"]
        assert metrics["ratio_untuned"] == metrics["untuned"] / metrics["plain"]
        assert metrics["bf16"] == metrics["ratio_bf16"] == "not supported by this CPU"
        assert metrics["compile"] == "not measured" and metrics["goal"] == 2.0 and metrics["goal_bf16"] == "none"


def test_a_side_that_breaks_ends_the_measurement_with_its_name(products, capfd):
    workload = _sides.Workload({"plain": _sides.Side(products, {"seconds": 0, "fails": True})})
    with pytest.raises(SystemExit, match="'plain' ended"):
        _sides.measure(workload, 1)
    assert "broken on purpose" in capfd.readouterr().err


def row(number, value):
    return {"round": number, "seconds": 1.0, "metrics": {"ratio": value}}


def test_a_measured_workload_takes_the_place_of_its_older_rows_and_of_no_others(tmp_path):
    path, order = tmp_path / "bench.json", ["a", "b"]
    bench.write(path, "b", [row(0, 1.0), row(1, 1.5)], {"commit": "old"}, order)
    bench.write(path, "a", [row(0, 2.0)], {"commit": "old"}, order)
    bench.write(path, "b", [row(0, 3.0)], {"commit": "new"}, order)

    record = json.loads(path.read_text())
    assert [(each["case"], each["metrics"]["ratio"], each["run"]) for each in record["rows"]] == [
        ("a", 2.0, 0),
        ("b", 3.0, 1),
    ]
    assert record["runs"] == [{"commit": "old"}, {"commit": "new"}]
    assert list(tmp_path.iterdir()) == [path]


def test_only_names_what_there_is(capsys):
    with pytest.raises(SystemExit):
        bench.main(["--only", "dcgan-31"])
    told = capsys.readouterr().err
    assert "no such workload: dcgan-31" in told and "cyclegan-256" in told and "curves-dcgan" in told


# -- checkouts of others' implementations ---------------------------------------------------------

DCGAN_MAIN = """
from nowhere import this_script_trains_when_it_is_run
ngpu = int(opt.ngpu)

def weights_init(m):
    if isinstance(m, nn.ConvTranspose2d):
        torch.nn.init.constant_(m.weight, 0.5)

class Generator(nn.Module):
    def __init__(self, ngpu):
        super().__init__()
        self.main = nn.ConvTranspose2d(nz, nc, ngf, bias=False)
    def forward(self, input):
        return self.main(input)

class Discriminator(nn.Module):
    def __init__(self, ngpu):
        super().__init__()
        self.main = nn.Sequential(nn.Conv2d(nc, 1, ndf), nn.Sigmoid())
    def forward(self, input):
        return self.main(input).view(-1)

netG = Generator(ngpu).to(device)
"""
CYCLEGAN_NETWORKS = """
import util.of_that_checkout

class ResnetGenerator(nn.Module):
    def __init__(self, input_nc, output_nc, ngf=64, norm_layer=nn.BatchNorm2d, use_dropout=False, n_blocks=6):
        super().__init__()
        self.blocks = n_blocks
        self.model = nn.Sequential(nn.Conv2d(input_nc, output_nc, 1), norm_layer(output_nc))
    def forward(self, input):
        return self.model(input)

class NLayerDiscriminator(nn.Module):
    def __init__(self, input_nc, ndf=64, n_layers=3, norm_layer=nn.BatchNorm2d):
        super().__init__()
        self.model = nn.Conv2d(input_nc, 1, 4)
    def forward(self, input):
        return self.model(input)
"""


def checkout(folder, path, source):
    (folder / path).parent.mkdir(parents=True)
    (folder / path).write_text(source)
    return folder


def test_classes_of_a_dcgan_checkout_run_under_the_plain_loop(tmp_path):
    (name, side), *others = peers.sides(checkout(tmp_path, peers.DCGAN, DCGAN_MAIN), "cpu").items()
    assert name == "dcgan-64" and not others
    loop = side.make("", **{**side.options, "batch_size": 2}).loop
    assert (loop.generator[1].main.weight == 0.5).all()
    assert loop.generator(torch.zeros(2, dcgan_step.NOISE_DIM)).shape == (2, 3, 64, 64)
    assert side.make("", **{**side.options, "batch_size": 2}).epoch() == 2


def test_classes_of_a_cyclegan_checkout_run_under_the_plain_loop(tmp_path):
    sides = peers.sides(checkout(tmp_path, peers.CYCLEGAN, CYCLEGAN_NETWORKS), "cpu")
    assert list(sides) == ["cyclegan-128", "cyclegan-256"]
    plain = sides["cyclegan-256"].make("", **{**sides["cyclegan-256"].options, "size": 16})
    assert plain.loop.F.blocks == 9 and isinstance(plain.loop.G.model[1], torch.nn.InstanceNorm2d)
    assert plain.epoch() == 1


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda folder: folder, "is no checkout of pytorch/examples"),
        (lambda folder: folder / "nothing", "is no checkout of pytorch/examples"),
        (
            lambda folder: checkout(folder, peers.DCGAN, DCGAN_MAIN.replace("class Generator", "class _netG")),
            "dcgan/main.py has no class Generator",
        ),
        (lambda folder: checkout(folder, peers.CYCLEGAN, "x = 1"), "has no class ResnetGenerator, NLayerDiscriminator"),
    ],
    ids=["empty", "missing", "older", "without classes"],
)
def test_what_is_no_checkout_is_refused_in_one_line(tmp_path, capsys, make, told):
    with pytest.raises(SystemExit) as refusal:
        bench.main(["--only", "dcgan-64", "--peer", str(make(tmp_path)), "--out", str(tmp_path / "out.json")])
    (last,) = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert refusal.value.code == 2 and told in last
    assert not (tmp_path / "out.json").exists()


def test_a_checkout_stands_beside_the_plain_loop_of_its_workload(tmp_path):
    known = bench.workloads("cpu")
    bench.with_peers(known, [checkout(tmp_path, peers.DCGAN, DCGAN_MAIN)], "cpu")
    assert [name for name, workload in known.items() if "peer" in workload.sides] == ["dcgan-64"]
