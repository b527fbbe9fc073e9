"""What a classifier says of samples (book page "Evaluation")."""

import torch

_TOLERANCE = 1e-3


def classifier_score(probabilities):
    r"""The Inception score, of a classifier of your own (``eq-classifier-score``).

    .. math:: \exp \Bigl( \frac1N \sum_i \mathrm{KL} \bigl( p(y|x_i) \,\Vert\, \bar p(y) \bigr) \Bigr),
              \qquad \bar p(y) = \frac1N \sum_i p(y|x_i)

    The KL in nats. Higher when each sample is of one class for sure and all classes occur alike.

    Parameters
    ----------
    probabilities : Tensor (N, K)
        p(y|x) of each sample, rows summing to 1.

    Returns
    -------
    float
        In [1, K].

    Raises
    ------
    ValueError
        If there is no row, or a row is not a distribution.

    Notes
    -----
    One image of each class gets the score K: the measure knows nothing of the data. The original averages over ten
    parts of 5,000 samples; here all samples are one part.

    References
    ----------
    Salimans et al. (2016), "Improved Techniques for Training GANs", section 4.
    """
    probabilities = as_distributions(probabilities)
    marginal = probabilities.mean(dim=0)
    divergence = (torch.xlogy(probabilities, probabilities) - torch.xlogy(probabilities, marginal)).sum(dim=1)
    return divergence.mean().exp().item()


def as_distributions(probabilities):
    """`probabilities` (N, K) in float64, or a ValueError where a row is not a distribution."""
    probabilities = torch.as_tensor(probabilities).detach().double().cpu()
    if probabilities.ndim != 2 or probabilities.numel() == 0:
        raise ValueError(f"expected probabilities (N, classes), not empty, got {tuple(probabilities.shape)}")
    total = probabilities.sum(dim=1)
    if not ((probabilities >= 0).all() and ((total - 1).abs() <= _TOLERANCE).all()):
        raise ValueError("each row of probabilities must be non-negative and sum to 1: logits need a softmax first")
    return probabilities / total[:, None]
