"""Images per second of a whole VAE epoch on MNIST, beside the plain loop that a user would write.

    python tests/benchmarks/vae_epoch.py [--rounds 7] [--out FILE]

Each side runs in a process of its own, because the allocator setting is a process's. In every round each
side trains one epoch, in turn, so that all sides see the same state of the machine. Compare the ratios,
never the absolute rates. The first round warms up and is not counted.
"""

import os

from _sides import compare, with_bf16_only_where_native

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
        self.epochs = 0

    def _loss(self, x):
        from torch.nn import functional

        y, mean, log_variance = self.model(x)
        cross_entropy = functional.binary_cross_entropy(y, x.view(-1, 784), reduction="sum")
        kl = -0.5 * (1 + log_variance - mean.pow(2) - log_variance.exp()).sum()
        return cross_entropy + kl

    def epoch(self):
        self.epochs += 1
        total = 0.0
        for x, _ in self.loader:
            self.optimizer.zero_grad()
            loss = self._loss(x)
            loss.backward()
            total += loss.item()
            self.optimizer.step()
        return len(self.loader.dataset)

    def report(self):
        if self.epochs == LOSS_EPOCHS:
            self.loss_then = self.test_loss()
        return {"test_loss_after_3_epochs": getattr(self, "loss_then", None)}

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
        return len(self.train)

    report = PlainLoop.report

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


if __name__ == "__main__":
    compare(
        __file__,
        with_bf16_only_where_native(SIDES),
        baselines=dict.fromkeys(SIDES, "plain loop"),
        goals=GOALS,
        description=__doc__.splitlines()[0],
    )
