"""The numbers and figures of book/scaling.md.

    python book/results/scaling.py

*Switches*: whole training steps with and without one switch, in two processes that take turns. What counts is their
processor time on one thread, so that a busy machine disturbs it little. The three "seeds" are three blocks of rounds.
*Work*: operations and bytes of one step, counted, against ceilings measured in the same process, on the same clock.
"""

import functools
import multiprocessing
import os
import statistics
import tempfile
import time
from pathlib import Path

import torch
from matplotlib.figure import Figure
from PIL import Image
from record import load, main, save_figure
from torch.profiler import ProfilerActivity, profile

from coursekit.data import FolderImages, load_images, to_float
from coursekit.networks.cyclegan import PatchDiscriminator, ResnetGenerator
from coursekit.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from coursekit.plots import COLORS
from coursekit.roofline import Ceilings, Work, all_reduce_bytes, count_layers, count_work, measure_ceilings
from coursekit.trainers import CycleGANTrainer, DCGANTrainer, GANTrainer, VAETrainer

SEEDS = (0, 1, 2)
ROUNDS = 3  # of each block

SWITCHED = (
    "fused-vae",
    "compile-vae",
    "allocator-dcgan",
    "layout-dcgan",
    "compile-dcgan",
    "layout-cyclegan",
    "compile-cyclegan",
)
SETTINGS = {
    "dcgan-32": lambda: DCGANTrainer(device="cpu", batch_size=64),
    "dcgan-64": lambda: DCGANTrainer(device="cpu", batch_size=128),
    "cyclegan-128": lambda: CycleGANTrainer(device="cpu", blocks=6),
    "gan-28": lambda: GANTrainer(device="cpu", batch_size=64, noise_dim=100, noise="normal", fresh_noise=False),
}
PRODUCTS = ("mm", "addmm", "_convolution", "mkldnn_convolution", "convolution_backward")
SHARES, BATCH, BATCHES = (2, 4, 8, 16), 128, 100
CASES = [
    *SWITCHED,
    *SETTINGS,
    *(f"batchnorm-{p}" for p in SHARES),
    "precision",
    "loading",
]


def run(case, seed, smoke=False):
    name, _, rest = case.partition("-")
    if case in SWITCHED:
        return switched(name, rest, smoke)[0 if smoke else seed]
    if case in SETTINGS:
        return step_work(case, smoke)
    if name == "batchnorm":
        return batchnorm(trained(seed, smoke).discriminator, int(rest), seed, smoke)
    return {"precision": precision, "loading": loading}[case](seed, smoke)


def clouds(size, number, seed=0):
    """Coloured clouds, (number, 3, size, size), uint8."""
    x = torch.rand(number, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    x = torch.nn.functional.interpolate(x, size=(size, size), mode="bilinear")
    return (x * 255).round().to(torch.uint8)


# -- switches ------------------------------------------------------------------------------------------


def trainer_for(model, switch, on):
    """A trainer with every switch at its default but one, its data, and the steps of a turn."""
    kinds = {
        "vae": (VAETrainer, dict(batch_size=128), clouds(28, 1280)[:, :1], 20),
        "dcgan": (DCGANTrainer, dict(batch_size=64, width=32), clouds(32, 512), 1),
        "cyclegan": (CycleGANTrainer, dict(width=32, blocks=6), (clouds(64, 8), 255 - clouds(64, 8)), 1),
    }
    kind, settings, data, steps = kinds[model]

    class Switched(kind):
        CHANNELS_LAST = kind.CHANNELS_LAST if switch != "layout" else on

        def adam(self, module, *, lr=None, **options):
            fused = on if switch == "fused" else True
            return torch.optim.Adam(module.parameters(), lr=lr or self.config.lr, fused=fused, **options)

    return Switched(device="cpu", compile=switch == "compile" and on, **settings), data, steps


def serve(model, switch, on, connection):
    """Train a turn at each request; answer with processor seconds a step. The first answer is the start-up in seconds."""
    if switch == "allocator" and not on:
        os.environ["COURSEKIT_CPU_TUNING"] = "0"
    torch.set_num_threads(1)
    trainer, data, steps = trainer_for(model, switch, on)
    start = time.perf_counter()
    trainer.fit(data, max_steps=2, progress=False)
    connection.send(time.perf_counter() - start)
    while connection.recv():
        start = time.process_time()
        trainer.fit(data, max_steps=trainer.step + steps, progress=False)
        connection.send((time.process_time() - start) / steps)


@functools.cache
def switched(switch, model, smoke=False):
    """One dict for each block: how many times as fast a step is with the switch."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for on in (False, True):
        ours, theirs = context.Pipe()
        pipes.append(ours)
        processes.append(context.Process(target=serve, args=(model, switch, on, theirs), daemon=True))
        processes[-1].start()
    start_up = [pipe.recv() for pipe in pipes]
    blocks = []
    for _ in range(1 if smoke else len(SEEDS)):
        rounds = []
        for _ in range(2 if smoke else ROUNDS):
            row = []
            for pipe in pipes:
                pipe.send(True)
                row.append(pipe.recv())
            rounds.append(row)
        off, on = (statistics.median(column) for column in zip(*rounds))
        block = {"ratio": statistics.median(a / b for a, b in rounds), "seconds_off": off, "seconds_on": on}
        if switch == "compile":
            block["warm_up"] = start_up[1] - start_up[0]
        blocks.append(block)
    for pipe, process in zip(pipes, processes):
        pipe.send(False)
        process.join()
    return blocks


# -- work ----------------------------------------------------------------------------------------------


@functools.cache
def ready(setting):
    """A trainer after its first step, its data, and the work of a step by operator."""
    size = int(setting.split("-")[1])
    trainer = SETTINGS[setting]()
    data = clouds(size, 2 * trainer.config.batch_size)
    data = (data, 255 - data) if trainer.TAKES_PAIRS else data
    data = data[:, :1] if setting == "gan-28" else data
    trainer.fit(data, max_steps=1, progress=False)
    return trainer, data, count_work(lambda: trainer.fit(data, max_steps=2, progress=False))


def step_work(setting, smoke=False):
    """Work of one step, the seconds it takes, and the share of what this machine could do."""
    trainer, data, work = ready("dcgan-32" if smoke else setting)
    ceilings = measure_ceilings("cpu", seconds=0 if smoke else 3, clock=time.process_time)
    seconds = []
    for _ in range(2):
        start = time.process_time()
        trainer.fit(data, max_steps=trainer.step + 1, progress=False)
        seconds.append(time.process_time() - start)
    whole = sum(work.values(), Work(0, 0))
    counted = sum((w for w in work.values() if w.operations), Work(0, 0))
    parameters = sum(p.numel() for network in trainer.networks.values() for p in network.parameters())
    metrics = {
        "gflop": whole.operations / 1e9,
        "gbyte": whole.bytes / 1e9,
        "intensity": whole.intensity,
        "other_bytes": 1 - counted.bytes / whole.bytes,
        "time_in_products": time_in_products(lambda: trainer.fit(data, max_steps=trainer.step + 1, progress=False)),
        "seconds": min(seconds),
        "ceiling_gflops": ceilings.operations / 1e9,
        "ceiling_gbytes": ceilings.bytes / 1e9,
        "ridge": ceilings.operations / ceilings.bytes,
        "share_of_ceiling": whole.operations / min(seconds) / ceilings.operations,
        "share_of_roofline": sum(ceilings.seconds(w) for w in work.values()) / min(seconds),
        "roofline": whole.operations / sum(ceilings.seconds(w) for w in work.values()) / ceilings.operations,
        "parameters": parameters / 1e6,
    }
    for p in (2, 8):
        metrics[f"ring_{p}"] = all_reduce_bytes(parameters, p) / 1e6
        metrics[f"operations_per_byte_{p}"] = whole.operations / p / all_reduce_bytes(parameters, p)
    return metrics


def time_in_products(step):
    """Share of a step's time that passes in matrix products and convolutions, by torch's profiler."""
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        step()
    times = {event.key.removeprefix("aten::"): event.self_cpu_time_total for event in profiled.key_averages()}
    return sum(times.get(name, 0) for name in PRODUCTS) / sum(times.values())


# -- batch normalisation -------------------------------------------------------------------------------


@functools.cache
def trained(seed, smoke=False):
    trainer = DCGANTrainer(width=16, batch_size=64, seed=seed, device="cpu")
    return trainer.fit(load_images("fashion_mnist"), max_steps=5 if smoke else 300, progress=False)


@torch.no_grad()
def batchnorm(D, p, seed, smoke=False):
    """What D sees when it normalises each of `p` shares of a batch by itself, against the whole batch."""
    D.train()
    images, generator = load_images("fashion_mnist", "test").images, torch.Generator().manual_seed(seed)
    maps, own, whole = [], [], []
    for _ in range(5 if smoke else BATCHES):
        rows = torch.randint(0, len(images), (BATCH,), generator=generator)
        x = 2 * to_float(images[rows]) - 1
        maps.append(D.blocks[1][0](D.blocks[0](x)).mean((2, 3)))  # what the first normalisation takes the mean of
        whole.append(D(x))
        own.append(torch.cat([D(share) for share in x.chunk(p)]))
    maps, whole, own = torch.stack(maps), torch.stack(whole), torch.stack(own)
    spread = maps.flatten(0, 1).var(0, unbiased=False)
    means = maps.unflatten(1, (p, -1)).mean(2)
    shift = ((means - maps.mean(1, keepdim=True)).square().mean((0, 1)) / spread).mean().sqrt()
    return {
        "shift": shift.item(),
        "shift_expected": ((p - 1) / BATCH) ** 0.5,
        "logits": ((own - whole).square().mean().sqrt() / whole.std()).item(),
    }


# -- precision and loading -----------------------------------------------------------------------------


def precision(seed, smoke=False):
    """Errors of a product in each format, and what float16 would lose of the gradients of a DCGAN's step."""
    a, b = torch.randn(2, 512, 512, generator=torch.Generator().manual_seed(seed))
    exact = a.double() @ b.double()
    error = lambda y: ((y.double() - exact).norm() / exact.norm()).item()  # noqa: E731
    metrics = {"product_float32": error(a @ b)}
    for name, dtype in (("bfloat16", torch.bfloat16), ("float16", torch.float16)):
        metrics[f"product_{name}"] = error(a.to(dtype).float() @ b.to(dtype).float())

    G, D = trained(seed, smoke).generator.train(), trained(seed, smoke).discriminator.train()
    caught = {}
    hooks = [
        module.register_full_backward_hook(lambda _m, _i, out, name=name: caught.update({name: out[0]}))
        for name, module in G.net.named_children()
        if isinstance(module, torch.nn.ConvTranspose2d)
    ]
    z = torch.randn(128, 100, generator=torch.Generator().manual_seed(seed))
    torch.nn.functional.softplus(-D(G(z))).mean().backward()
    for hook in hooks:
        hook.remove()
    for kind, tensors in {
        "activations": list(caught.values()),
        "weights": [p.grad for p in G.parameters()],
    }.items():
        flat = torch.cat([t.flatten() for t in tensors])
        flat = flat[flat != 0].abs()
        metrics[f"zero_{kind}"] = (flat.half() == 0).float().mean().item()
        metrics[f"subnormal_{kind}"] = (flat < torch.finfo(torch.float16).smallest_normal).float().mean().item()
        metrics[f"zero_{kind}_bfloat16"] = (flat.bfloat16() == 0).float().mean().item()
    return metrics


def loading(seed, smoke=False):
    """Processor milliseconds for a batch of 128 from bytes at rest, from a plain loader, and for one picture decoded."""
    images = load_images("fashion_mnist").images
    generator = torch.Generator().manual_seed(seed)
    number = 5 if smoke else 40
    batches = [torch.randint(0, len(images), (128,), generator=generator) for _ in range(number)]
    plain = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(to_float(images[:20_000])), batch_size=128, shuffle=True, generator=generator
    )

    def at_rest():
        for rows in batches:
            to_float(images.index_select(0, rows))

    def loader():
        for _, _ in zip(plain, range(number)):
            pass

    with tempfile.TemporaryDirectory() as folder:
        paths = tuple(Path(folder, f"{i}.jpg") for i in range(16))
        for path, image in zip(paths, clouds(256, 16, seed)):
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(path, quality=90)
        folder_images = FolderImages(paths, (286, 286), "clouds", "drawn")

        def decode():
            for i in range(16):
                folder_images[i]

        times = {}
        for name, job, count in (("at_rest", at_rest, number), ("loader", loader, number), ("decode", decode, 16)):
            job()
            start = time.process_time()
            job()
            times[name] = (time.process_time() - start) / count * 1e3
    return times | {"ratio": times["loader"] / times["at_rest"]}


# -- figures -------------------------------------------------------------------------------------------


def measured():
    return {row["case"] for row in load("scaling")["rows"]}


def mean_of(case, metric):
    values = [row["metrics"][metric] for row in load("scaling")["rows"] if row["case"] == case]
    return sum(values) / len(values)


def draw_roofline():
    """Layers and whole steps of two models under the roofs that were measured."""
    with torch.device("meta"):
        networks = {
            "dcgan-64": {
                "generator": (DCGANGenerator(100, (3, 64, 64)), torch.empty(128, 100)),
                "discriminator": (DCGANDiscriminator((3, 64, 64)), torch.empty(128, 3, 64, 64)),
            },
            "cyclegan-128": {
                "translator": (ResnetGenerator((3, 128, 128), blocks=6), torch.empty(1, 3, 128, 128)),
                "judge": (PatchDiscriminator((3, 128, 128)), torch.empty(1, 3, 128, 128)),
            },
        }
        layers = {
            setting: {name: count_layers(*parts).values() for name, parts in kinds.items()}
            for setting, kinds in networks.items()
            if setting in measured()
        }
    titles = {"dcgan-64": "DCGAN, 64 pixels, batch 128", "cyclegan-128": "CycleGAN, 128 pixels, batch 1"}
    figure = Figure(figsize=(2.2 + 3.1 * len(layers), 3.9), layout="constrained")
    panels = figure.subplots(1, len(layers), sharey=True, squeeze=False)[0]
    for axes, (setting, kinds) in zip(panels, layers.items()):
        roof = Ceilings(mean_of(setting, "ceiling_gflops"), mean_of(setting, "ceiling_gbytes"))
        low, high = 0.3, 1000.0
        across = [low, roof.operations / roof.bytes, high]
        axes.loglog(across, [roof.attainable(i) for i in across], color="black", label="roof")
        looks = (dict(marker="o", markersize=12, fillstyle="none", markeredgewidth=2), dict(marker="s", markersize=6))
        for (name, works), color, look in zip(kinds.items(), COLORS, looks):  # a ring around each square
            shown = [w for w in works if w.operations]
            axes.plot(
                [w.intensity for w in shown],
                [roof.attainable(w.intensity) for w in shown],
                linestyle="none",
                color=color,
                label=f"layers of the {name}",
                **look,
            )
        reached = mean_of(setting, "gflop") / mean_of(setting, "seconds")
        axes.plot(
            mean_of(setting, "intensity"),
            reached,
            "*",
            color=COLORS[2],
            markersize=15,
            markeredgecolor="black",
            label="whole step, measured",
        )
        axes.axvline(roof.operations / roof.bytes, color="grey", linewidth=0.8, linestyle=":")
        axes.set(title=titles[setting], xlabel="operations a byte", xlim=(low, high), ylim=(5, 200))
        axes.legend(loc="lower right", fontsize=8)
    figure.axes[0].set_ylabel("10⁹ operations a second")
    save_figure(figure, "scaling", "roofline")


def draw_batchnorm():
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.subplots()
    across = torch.linspace(1, max(SHARES) + 1, 100)
    axes.plot(across, ((across - 1) / BATCH).sqrt(), color="black", label="theorem: shift of a mean")
    rows = [(p, r["metrics"]) for p in SHARES for r in load("scaling")["rows"] if r["case"] == f"batchnorm-{p}"]
    for metric, color, marker, label in (
        ("shift", COLORS[0], "o", "measured: shift of a mean"),
        ("logits", COLORS[1], "s", "measured: change of D's logits"),
    ):
        axes.plot([p for p, _ in rows], [m[metric] for _, m in rows], marker, color=color, label=label)
    axes.set(xlabel="processes that share a batch of 128", ylabel="RMS, in standard deviations", ylim=(0, None))
    axes.legend(loc="upper left")
    save_figure(figure, "scaling", "batchnorm")


if __name__ == "__main__":
    torch.set_num_threads(1)
    if main("scaling", run, cases=CASES, seeds=SEEDS, data=("fashion_mnist",)):
        draw_roofline()
        draw_batchnorm()
