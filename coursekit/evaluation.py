"""Judge a generator by every measure of the chapter "How to judge a generator", and a translator by the truth."""

import torch
from tqdm.auto import tqdm

from coursekit.data import ImageSet, to_float
from coursekit.metrics import (
    classifier_score,
    frechet_distance_of,
    memorisation_ratio,
    paired_error,
    parzen_protocol,
    precision_recall,
    retrieval_accuracy,
)
from coursekit.trainers import ClassifierTrainer

__all__ = ["evaluate_generator", "evaluate_samples", "evaluate_translator", "train_classifier"]

NEIGHBOUR_SAMPLES = 1000  # of which the nearest training image is looked for, among all of them
CLASSIFIER_STEPS = 2000


def evaluate_samples(samples, train, validation, test, classifier):
    """Every measure of one set of samples.

    Parameters
    ----------
    samples : Tensor (n, C, H, W)
        In [0, 1].
    train : ImageSet or Tensor (N, C, H, W)
        What the generator was trained on. Tensors are uint8, or float in [0, 1].
    validation : ImageSet or Tensor (M, C, H, W)
        Unseen images, which choose σ: the first 1,000 of them.
    test : ImageSet or Tensor (T, C, H, W)
        Unseen images, which everything else is measured against.
    classifier : ClassifierTrainer
        Fitted on images of this kind; its features are compared, and its p(y|x) scored.

    Returns
    -------
    dict of str to float
        ``parzen_log_likelihood`` (mean of the test images, nats; higher is better), its
        ``parzen_standard_error`` over test images and ``parzen_sigma``; ``frechet_distance`` (squared,
        lower is better), ``precision`` and ``recall`` (higher) between features of the samples and of
        the test images; ``memorisation_ratio`` of the first 1,000 samples between `train` and `test`
        (near 0: copies); ``classifier_score`` (higher).

    Raises
    ------
    ValueError
        If a set is empty or its images differ in shape, or `classifier` is none that was fitted on such images.
    """
    if not isinstance(classifier, ClassifierTrainer):
        raise ValueError(f"classifier must be a fitted ClassifierTrainer, got {type(classifier).__name__}")
    train, validation, test = (_pixels(images) for images in (train, validation, test))
    samples = samples.to(classifier.fabric.device)
    parzen = parzen_protocol(samples, validation, test)
    real_features, fake_features = classifier.features(test), classifier.features(samples)
    precision, recall = precision_recall(real_features, fake_features)
    return {
        "parzen_log_likelihood": parzen.mean,
        "parzen_standard_error": parzen.standard_error,
        "parzen_sigma": parzen.sigma,
        "frechet_distance": frechet_distance_of(real_features, fake_features),
        "precision": precision,
        "recall": recall,
        "memorisation_ratio": memorisation_ratio(samples[:NEIGHBOUR_SAMPLES], train, test),
        "classifier_score": classifier_score(classifier.predict_proba(samples)),
    }


def evaluate_generator(
    trainer, train, validation, test, classifier, sample_seeds=(0, 1, 2), n_samples=10_000, progress=False
):
    """Every measure of a trained model's samples, once for each of some seeds.

    Parameters
    ----------
    trainer : Trainer
        With a method ``sample(n, seed)``.
    train, validation, test, classifier
        As :func:`evaluate_samples`.
    sample_seeds : sequence of int
        One set of samples each. The range over them says what drawing other samples changes; it says nothing of
        training again.
    n_samples : int
        In each set. Fréchet distance, precision and recall depend on it: compare at equal ones.
    progress : bool
        Show a progress bar on stderr.

    Returns
    -------
    dict of str to list of float
        The measures of :func:`evaluate_samples`, one value a seed, and ``memorisation_ratio_of_real``, one value: that
        of `validation` in the place of the samples. It is what to compare ``memorisation_ratio`` with, because the
        nearest of many training images is nearer than the nearest of fewer test images, copied or not.

    Raises
    ------
    ValueError
        As :func:`evaluate_samples`, if `trainer` cannot be sampled from, or if there is no seed.
    """
    if not hasattr(trainer, "sample"):
        raise ValueError(f"{type(trainer).__name__} cannot be sampled from")
    if not sample_seeds:
        raise ValueError("sample_seeds must name at least one seed")
    measures = {}
    for seed in tqdm(sample_seeds, desc="seeds of samples", disable=not progress, leave=False):
        samples = trainer.sample(n_samples, seed=seed)
        for name, value in evaluate_samples(samples, train, validation, test, classifier).items():
            measures.setdefault(name, []).append(value)
    fresh = _pixels(validation)[:NEIGHBOUR_SAMPLES].to(classifier.fabric.device)
    measures["memorisation_ratio_of_real"] = [memorisation_ratio(fresh, _pixels(train), _pixels(test))]
    return measures


def train_classifier(images, **options):
    """The classifier that judges samples where you have none: small, and the same every time.

    Hidden layers of 256 and 64 units, 2,000 steps, seed 0. The 64 are its features.

    Parameters
    ----------
    images : ImageSet
        With labels: the generator's training images.
    **options
        As `ClassifierTrainer` takes them, such as ``device``.

    Returns
    -------
    ClassifierTrainer

    Raises
    ------
    ValueError
        If `images` have no labels.
    """
    classifier = ClassifierTrainer(**{"hidden": (256, 64), "seed": 0} | options)
    return classifier.fit(images, max_steps=CLASSIFIER_STEPS, progress=False)


def _pixels(images):
    images = images.images if isinstance(images, ImageSet) else images
    return images if images.is_floating_point() else to_float(images)


def evaluate_translator(trainer, images):
    """Compare translations, both ways, with what they should have been.

    Parameters
    ----------
    trainer : CycleGANTrainer
    images : pair of ImageSet or Tensor (n, C, H, W)
        X and Y; row i of both shows the same thing. Tensors are uint8, or float in [0, 1].

    Returns
    -------
    dict of str to float
        ``paired_error_to_Y`` and ``paired_error_to_X``, the mean absolute difference of pixels in [0, 1] (lower is
        better); ``retrieval_to_Y`` and ``retrieval_to_X``, how often the right image is the nearest of all (higher).

    Raises
    ------
    ValueError
        If X and Y differ in number.
    """
    x, y = ((part.images if isinstance(part, ImageSet) else part) for part in images)
    if len(x) != len(y):
        raise ValueError(f"every image needs its counterpart: X has {len(x)} images and Y {len(y)}")
    measures = {}
    for to, source, truth in (("Y", x, y), ("X", y, x)):
        translated = trainer.translate(source, to=to)
        truth = to_float(truth) if truth.dtype == torch.uint8 else truth
        measures[f"paired_error_to_{to}"] = paired_error(translated, truth)
        measures[f"retrieval_to_{to}"] = retrieval_accuracy(translated, truth)
    return measures
