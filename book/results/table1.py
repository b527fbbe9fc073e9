"""Table 1 of the 2014 paper, made again: Parzen-window log-likelihoods on MNIST.

    python book/results/table1.py

The protocol is the paper's (`coursekit.metrics.parzen_protocol`): 10,000 samples, the width chosen on
images 50,000 to 50,999 of the training file, the mean over the 10,000 test images. Every model learns
from images 0 to 49,999. The GANs are the paper's, at a short setting of ten epochs; `table1_full.py`
trains one through the paper's whole schedule. All trained models save themselves on the way under
`book/results/runs/`, so an interrupted script goes on from there.
"""

from functools import cache
from pathlib import Path

import torch
from record import main
from sklearn.cluster import KMeans

from coursekit.data import load_images, to_float
from coursekit.metrics import parzen_protocol
from coursekit.trainers import AutoencoderTrainer, GANConfig, GANTrainer, VAETrainer

HERE = Path(__file__).resolve().parent
RUNS = HERE / "runs"
TRAINING, VALIDATION, SAMPLES = 50_000, 1000, 10_000
STAGES = (1, 2, 5, 10, 25, 50, 75, 100, 150, 200, 250)
SHORT = 10
LATENT_DIM, HIDDEN, EPOCHS = 20, (400,), 10
CENTRES, LLOYD_STEPS = (1000, 10_000), 5
RIDGE = 1e-3

GANS = {"gan-simultaneous-short": "simultaneous", "gan-alternating-short": "alternating"}
CASES = [
    *GANS,
    "vae",
    "autoencoder-gaussian",
    "class-gaussians",
    "training-images",
    *(f"kmeans-{n}" for n in CENTRES),
]


@cache
def data():
    """Training images, 1,000 validation images and 10,000 test images."""
    train, test = load_images("mnist"), load_images("mnist", "test")
    return train.take(TRAINING), train.images[TRAINING : TRAINING + VALIDATION], test.images


def gan(update, seed, epochs):
    """The paper's GAN after `epochs`, trained on from the latest of its files."""
    RUNS.mkdir(exist_ok=True)

    def file(epoch):
        return RUNS / f"table1-{update}-{seed}-{epoch}.safetensors"

    if file(epochs).exists():
        return GANTrainer.load(file(epochs), device="cpu")
    earlier = [epoch for epoch in STAGES if epoch < epochs and file(epoch).exists()]
    trainer = (
        GANTrainer.load(file(earlier[-1]), device="cpu")
        if earlier
        else GANTrainer(GANConfig.paper(update=update, seed=seed), device="cpu")
    )
    for epoch in [epoch for epoch in STAGES if epochs >= epoch > trainer.step / (TRAINING / 100)]:
        trainer.fit(data()[0], epochs=epoch, progress=False, checkpoint=file(epoch))
        print(f"{update} seed {seed}: epoch {epoch}", flush=True)
    return trainer


def measure(samples):
    """The paper's protocol on `samples` (n, 1, 28, 28) in [0, 1]."""
    _, validation, test = data()
    result = parzen_protocol(samples, to_float(validation), to_float(test))
    return {"log_likelihood": result.mean, "standard_error": result.standard_error, "sigma": result.sigma}


def samples_of(case, seed):
    train = data()[0]
    generator = torch.Generator().manual_seed(6000 + seed)
    if case in GANS:
        return gan(GANS[case], seed, SHORT).sample(SAMPLES, seed=seed)
    if case == "vae":
        model = VAETrainer(latent_dim=LATENT_DIM, hidden=HIDDEN, epochs=EPOCHS, seed=seed, device="cpu")
        return model.fit(train, progress=False).sample(SAMPLES, seed=seed)
    if case == "autoencoder-gaussian":
        model = AutoencoderTrainer(latent_dim=LATENT_DIM, hidden=HIDDEN, epochs=EPOCHS, seed=seed, device="cpu")
        codes = model.fit(train, progress=False).encode(train)
        return model.decode(draw_gaussian(codes, SAMPLES, generator)).clamp(0, 1)
    x = to_float(train.images)
    if case == "class-gaussians":
        digits = [x[train.labels == digit].flatten(1) for digit in range(10)]
        drawn = [draw_gaussian(images, SAMPLES // 10, generator) for images in digits]
        return torch.cat(drawn).clamp(0, 1).unflatten(1, (1, 28, 28))
    if case == "training-images":
        return x[torch.randperm(len(x), generator=generator)[:SAMPLES]]
    kmeans = KMeans(int(case.removeprefix("kmeans-")), init="random", n_init=1, max_iter=LLOYD_STEPS, random_state=seed)
    kmeans.fit(x.flatten(1).numpy())
    return torch.from_numpy(kmeans.cluster_centers_).unflatten(1, (1, 28, 28))


def draw_gaussian(rows, n, generator):
    """`n` draws, (n, d), from the Gaussian with the mean and covariance of `rows` (N, d)."""
    factor = torch.linalg.cholesky(rows.T.cov() + RIDGE * torch.eye(rows.shape[1]))
    return rows.mean(0) + torch.randn(n, rows.shape[1], generator=generator) @ factor.T


def run(case, seed):
    return measure(samples_of(case, seed))


if __name__ == "__main__":
    main("table1", run, cases=CASES)
