"""What a code is good for, whatever its scale (book page "Autoencoders")."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

CHUNK = 250  # images whose Jacobians are held in memory together


def linear_probe_accuracy(
    train_codes: Tensor, train_labels: Tensor, test_codes: Tensor, test_labels: Tensor, weight_decay: float = 1.0
) -> float:
    """Accuracy of a linear classifier that sees the codes and nothing else.

    Multinomial logistic regression (scikit-learn) on codes standardised with the training codes' mean and
    standard deviation, so that the scale of a code does not matter.

    Parameters
    ----------
    train_codes, test_codes : Tensor (N, K), (M, K)
    train_labels, test_labels : int64 Tensor (N,), (M,)
    weight_decay : float
        λ in the objective Σ_n cross-entropy_n + (λ/2)‖weights‖², that is 1/C of scikit-learn.

    Returns
    -------
    float
        Share of the test codes whose label is predicted, in [0, 1].

    Raises
    ------
    ValueError
        If codes and labels differ in number, or the two sets of codes in width.

    References
    ----------
    Alain and Bengio (2016), "Understanding intermediate layers using linear classifier probes".
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    for codes, labels in ((train_codes, train_labels), (test_codes, test_labels)):
        if codes.ndim != 2 or len(codes) != len(labels):
            raise ValueError(f"codes must be (N, K) with N labels, not {tuple(codes.shape)} with {len(labels)}")
    if train_codes.shape[1] != test_codes.shape[1]:
        raise ValueError(f"training codes have {train_codes.shape[1]} units, test codes {test_codes.shape[1]}")
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=1 / weight_decay, max_iter=2000, tol=1e-3))
    probe.fit(train_codes.double().numpy(), train_labels.numpy())
    return float(probe.score(test_codes.double().numpy(), test_labels.numpy()))


def hoyer_sparsity(codes: Tensor) -> float:
    r"""How much each code concentrates on few of its K units, averaged over the codes (`eq-hoyer`).

    .. math:: \frac{\sqrt{K} - \lVert z \rVert_1 / \lVert z \rVert_2}{\sqrt{K} - 1}

    0 when all units have the same magnitude, 1 when a single one is not 0. Multiplying a code by a constant
    changes nothing; adding one does. A code of zeros only counts as 1.

    Parameters
    ----------
    codes : Tensor (N, K), K >= 2

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        If `codes` is not (N, K) with N >= 1 and K >= 2.

    References
    ----------
    Hoyer (2004), "Non-negative matrix factorization with sparseness constraints", section 3.1.
    """
    if codes.ndim != 2 or len(codes) < 1 or codes.shape[1] < 2:
        raise ValueError(f"codes must be (N, K) with N >= 1 and K >= 2, not {tuple(codes.shape)}")
    codes = codes.double()
    l1, l2 = codes.abs().sum(dim=1), codes.norm(dim=1)
    # A code of zeros would give 0/0; the ratio is 1 for a single active unit, the sparsest code there is.
    spread = (l1 / l2).where(l2 > 0, 1.0)
    root = math.sqrt(codes.shape[1])
    return float(((root - spread) / (root - 1)).mean())


def relative_sensitivity(encode: Callable[[Tensor], Tensor], x: Tensor) -> float:
    r"""How far the code moves when the input does, in units of the codes' own spread (`eq-sensitivity`).

    .. math:: \sqrt{\frac{\frac{1}{N} \sum_n \lVert J_f(x_n) \rVert_F^2}{\sum_k \operatorname{Var}_n f_k(x_n)}}

    Independent noise of a small standard deviation δ on every input moves the code by about δ times this
    value, where 1 is the root mean square distance of codes from their mean. Shifting the code, rotating it
    or multiplying it by a constant changes nothing, so encoders of different scales compare.

    Parameters
    ----------
    encode : callable
        (N, ...) -> (N, K), differentiable, each row on its own.
    x : Tensor (N, ...), N >= 2

    Returns
    -------
    float
        Per unit of the input; not negative.

    Raises
    ------
    ValueError
        If there are fewer than two inputs, or all have the same code.

    See Also
    --------
    coursekit.losses.autoencoder.contractive_penalty : the squared norm of one input's Jacobian.
    """
    import torch

    from coursekit.losses.autoencoder import contractive_penalty

    if len(x) < 2:
        raise ValueError("sensitivity needs at least two inputs to know the spread of their codes")
    with torch.no_grad():
        spread = encode(x).double().var(dim=0, correction=0).sum()
        moved = torch.cat([contractive_penalty(encode, part) for part in x.split(CHUNK)]).double().mean()
    if not spread > 0:
        raise ValueError("all inputs have the same code: its spread is 0")
    return float((moved / spread).sqrt())
