"""Images per second of a whole VAE epoch on MNIST, beside the plain loop that a user would write.

    python tests/benchmarks/vae_epoch.py [--rounds 7] [--out FILE]

Each side runs in a process of its own, because the allocator setting is a process's. In every round each
side trains one epoch, in turn, so that all sides see the same state of the machine. Compare the ratios,
never the absolute rates. The first round warms up and is not counted.
"""

import argparse
import gzip
import json
import multiprocessing
import os
import platform
import resource
import statistics
import tempfile
import time
from datetime import date
from pathlib import Path

BATCH_SIZE, HIDDEN, LATENT_DIM, LOSS_EPOCHS = 128, 400, 20, 3
GOALS = {"coursekit float32": 2.8, "coursekit bf16": 3.5}


class PlainLoop:
    """torchvision's MNIST, a DataLoader, Adam: the loop of a first tutorial, written afresh."""

    def __init__(self, folder):
        import torch
        from torch import nn
        from torchvision import datasets, transforms

        torch.manual_seed(0)
        self.loader, self.test_loader = (
            torch.utils.data.DataLoader(
                datasets.MNIST(folder, train=train, transform=transforms.ToTensor()),
                batch_size=BATCH_SIZE,
                shuffle=train,
            )
            for train in (True, False)
        )

        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.hidden = nn.Linear(784, HIDDEN)
                self.mean = nn.Linear(HIDDEN, LATENT_DIM)
                self.log_variance = nn.Linear(HIDDEN, LATENT_DIM)
                self.back = nn.Linear(LATENT_DIM, HIDDEN)
                self.out = nn.Linear(HIDDEN, 784)

            def forward(self, x):
                h = torch.relu(self.hidden(x.view(-1, 784)))
                mean, log_variance = self.mean(h), self.log_variance(h)
                z = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
                return torch.sigmoid(self.out(torch.relu(self.back(z)))), mean, log_variance

        self.model = Model()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)

    def _loss(self, x):
        from torch.nn import functional

        y, mean, log_variance = self.model(x)
        cross_entropy = functional.binary_cross_entropy(y, x.view(-1, 784), reduction="sum")
        kl = -0.5 * (1 + log_variance - mean.pow(2) - log_variance.exp()).sum()
        return cross_entropy + kl

    def epoch(self):
        total = 0.0
        for x, _ in self.loader:
            self.optimizer.zero_grad()
            loss = self._loss(x)
            loss.backward()
            total += loss.item()
            self.optimizer.step()
        return total

    def test_loss(self):
        import torch

        with torch.no_grad():
            return sum(self._loss(x).item() for x, _ in self.test_loader) / len(self.test_loader.dataset)


class Coursekit:
    """The same model through `VAETrainer`."""

    precision = "32-true"

    def __init__(self, folder):
        from coursekit.data import load_images
        from coursekit.trainers import VAETrainer

        self.train, self.test = (load_images("mnist", split) for split in ("train", "test"))
        self.trainer = VAETrainer(
            latent_dim=LATENT_DIM, hidden=(HIDDEN,), batch_size=BATCH_SIZE, device="cpu", precision=self.precision
        )
        self.epochs = 0

    def epoch(self):
        self.epochs += 1
        self.trainer.fit(self.train, epochs=self.epochs, progress=False)

    def test_loss(self):
        return self.trainer.evaluate(self.test)["loss"]


class CoursekitUntuned(Coursekit):
    """Without the allocator's setting and the faster float32 products."""

    def __init__(self, folder):
        os.environ["COURSEKIT_CPU_TUNING"] = "0"
        super().__init__(folder)


class CoursekitBF16(Coursekit):
    precision = "bf16-mixed"


SIDES = {
    "plain loop": PlainLoop,
    "coursekit untuned": CoursekitUntuned,
    "coursekit float32": Coursekit,
    "coursekit bf16": CoursekitBF16,
}


def serve(side, folder, connection):
    """Train one epoch at each request; answer with its seconds and, after the third, the test loss."""
    runner = SIDES[side](folder)
    done = 0
    while connection.recv():
        start = time.perf_counter()
        runner.epoch()
        seconds = time.perf_counter() - start
        done += 1
        loss = runner.test_loss() if done == LOSS_EPOCHS else None
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        connection.send((seconds, loss, peak))


def measure(rounds):
    from coursekit.data import load_images
    from coursekit.data.download import REGISTRY, data_folder

    images = len(load_images("mnist"))
    raw = data_folder() / REGISTRY["mnist"].folder
    rates, losses, peaks = ({side: [] for side in SIDES} for _ in range(3))
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        # torchvision reads the unpacked files.
        unpacked = Path(folder, "MNIST", "raw")
        unpacked.mkdir(parents=True)
        for file in raw.glob("*.gz"):
            (unpacked / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
        pipes, processes = {}, []
        for side in SIDES:
            pipes[side], theirs = context.Pipe()
            processes.append(context.Process(target=serve, args=(side, folder, theirs), daemon=True))
            processes[-1].start()
        for number in range(rounds):
            for side, pipe in pipes.items():
                pipe.send(True)
                seconds, loss, peak = pipe.recv()
                if number:
                    rates[side].append(images / seconds)
                if loss is not None:
                    losses[side] = loss
                peaks[side] = peak
        for pipe, process in zip(pipes.values(), processes):
            pipe.send(False)
            process.join()
    return rates, losses, peaks


def summarise(rates, losses, peaks):
    """One row a side: median and range of the rate, its ratio to the plain loop round by round, loss, memory."""
    rows = {}
    for side in SIDES:
        ratios = [mine / plain for mine, plain in zip(rates[side], rates["plain loop"])]
        rows[side] = {
            "images_per_second": _spread(rates[side]),
            "ratio": _spread(ratios),
            "goal": GOALS.get(side),
            "test_loss_after_3_epochs": losses[side],
            "loss_difference_percent": 100 * (losses[side] / losses["plain loop"] - 1),
            "peak_memory_mib": peaks[side],
        }
    return rows


def _spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def main():
    import torch

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="epochs a side, the first not counted (at least 3)")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    if options.rounds < LOSS_EPOCHS:
        parser.error(f"--rounds must be at least {LOSS_EPOCHS}")
    rows = summarise(*measure(options.rounds))
    print(f"{'side':20} {'img/s median':>12} {'ratio (min to max)':>22} {'goal':>5} {'test loss':>10} {'peak MiB':>9}")
    for side, row in rows.items():
        ratio = row["ratio"]
        print(
            f"{side:20} {row['images_per_second']['median']:12,.0f} "
            f"{ratio['median']:8.2f} ({ratio['min']:.2f} to {ratio['max']:.2f}) {row['goal'] or '':>5} "
            f"{row['test_loss_after_3_epochs']:10.2f} {row['peak_memory_mib']:9,.0f}"
        )
    if options.out:
        record = {
            "command": f"python tests/benchmarks/vae_epoch.py --rounds {options.rounds}",
            "date": date.today().isoformat(),
            "device": f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads",
            "torch": torch.__version__,
            "seed": 0,
            "rows": rows,
        }
        options.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
