"""A VAE's epoch on 15,000 images of MNIST beside the loop of a first tutorial, written afresh."""

from _sides import mnist_for_torchvision, trainings

BATCH_SIZE, HIDDEN, LATENT_DIM, IMAGES = 128, 400, 20, 15_000
GOALS = {"coursekit": 2.8, "bf16": 3.5}


class PlainLoop:
    """torchvision's MNIST, a DataLoader, Adam."""

    def __init__(self, folder, device):
        import torch
        from torch import nn
        from torchvision import datasets, transforms

        torch.manual_seed(0)
        data = torch.utils.data.Subset(datasets.MNIST(folder, transform=transforms.ToTensor()), range(IMAGES))
        self.loader = torch.utils.data.DataLoader(data, batch_size=BATCH_SIZE, shuffle=True)

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

        self.device = device
        self.model = Model().to(device)
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
            loss = self._loss(x.to(self.device))
            loss.backward()
            total += loss.item()
            self.optimizer.step()
        return IMAGES


class Coursekit:
    """The same model through `VAETrainer`."""

    def __init__(self, folder, device, precision="32-true", compile=False):
        from coursekit.data import load_images
        from coursekit.trainers import VAETrainer

        self.data, self.epochs = load_images("mnist").take(IMAGES), 0
        self.trainer = VAETrainer(
            latent_dim=LATENT_DIM, hidden=(HIDDEN,), batch_size=BATCH_SIZE,
            device=device, precision=precision, compile=compile,
        )  # fmt: skip

    def epoch(self):
        self.epochs += 1
        self.trainer.fit(self.data, epochs=self.epochs, progress=False)
        return IMAGES


def workloads(on):
    return {"vae": trainings(PlainLoop, Coursekit, {}, GOALS, prepare=mnist_for_torchvision, on=on)}
