"""Penalties that turn an autoencoder into a sparse or a contractive one."""

import math

import torch

__all__ = ["contractive_penalty", "contractive_sigmoid", "kl_sparsity", "l1_sparsity"]


def kl_sparsity(rate, target):
    r"""Divergence of the mean activations from a target rate, summed over the code.

    .. math:: \sum_{j=1}^{K} \Bigl[ \rho \log\frac{\rho}{\hat\rho_j}
              + (1 - \rho) \log\frac{1 - \rho}{1 - \hat\rho_j} \Bigr]

    Minimised; 0 when every unit fires at the target rate. Summed over the K units; nats. The mean
    over the batch was taken before, in ``rate``. Book: ``eq-sparsity-kl``.

    Parameters
    ----------
    rate : Tensor, shape (K,)
        Mean activation of each unit over the batch, in (0, 1): a sigmoid code.
    target : float
        The rate wanted, rho, in (0, 1).

    Returns
    -------
    Tensor, scalar

    Raises
    ------
    ValueError
        The target is not in (0, 1).

    Notes
    -----
    The notes average over the whole training set; a trainer has a batch.

    References
    ----------
    Ng (2011), Sparse autoencoder, CS294A lecture notes, section 3.
    """
    if not 0 < target < 1:
        raise ValueError(f"target must lie strictly between 0 and 1, got {target}")
    firing = target * (math.log(target) - rate.log())
    silent = (1 - target) * (math.log1p(-target) - torch.log1p(-rate))
    return (firing + silent).sum()


def l1_sparsity(code):
    r"""Sum of absolute activations.

    .. math:: \lVert h \rVert_1 = \sum_{j=1}^{K} \lvert h_j \rvert

    Minimised. Summed over the K units, not averaged over the batch; units of the code.
    Book: ``eq-sparsity-l1``.

    Parameters
    ----------
    code : Tensor, shape (N, K)

    Returns
    -------
    Tensor, shape (N,)

    Notes
    -----
    With weight λ it is the negative log of a Laplace prior on the code, up to a constant. Nothing
    stops the network from shrinking the code and enlarging the decoder's weights instead.

    References
    ----------
    Goodfellow, Bengio and Courville (2016), Deep Learning, section 14.2.1.
    """
    return code.abs().flatten(1).sum(1)


def contractive_sigmoid(code, weight):
    r"""Exact squared Frobenius norm of the Jacobian of one sigmoid layer.

    .. math:: \lVert J(x) \rVert_F^2 = \sum_{j=1}^{K} \bigl( h_j (1 - h_j) \bigr)^2 \sum_{d=1}^{D} W_{jd}^2,
              \qquad h = \sigma(W x + b)

    Minimised. Summed over the entries of the Jacobian, not averaged over the batch.
    Book: ``eq-contractive``.

    Parameters
    ----------
    code : Tensor, shape (N, K)
        h, after the sigmoid.
    weight : Tensor, shape (K, D)
        W, laid out as in ``nn.Linear``.

    Returns
    -------
    Tensor, shape (N,)

    References
    ----------
    Rifai et al. (2011), Contractive Auto-Encoders: Explicit Invariance During Feature Extraction,
    which defines the penalty and gives this form of it for sigmoid units.
    """
    slope_squared = (code * (1 - code)).square()  # (N, K)
    row_norm_squared = weight.square().sum(1)  # (K,)
    return slope_squared @ row_norm_squared


def contractive_penalty(encode, x):
    r"""Exact squared Frobenius norm of the Jacobian of any encoder.

    .. math:: \lVert J(x) \rVert_F^2 = \sum_{j=1}^{K} \sum_{d=1}^{D}
              \Bigl( \frac{\partial h_j(x)}{\partial x_d} \Bigr)^2

    Minimised. Summed over the entries of the Jacobian, not averaged over the batch. Differentiable
    with respect to the encoder's parameters. Book: ``eq-contractive``.

    Parameters
    ----------
    encode : callable
        Maps (N, ...) to codes (N, K), each sample on its own (no batch normalisation).
    x : Tensor, shape (N, ...)
        If it requires a gradient it is used as it is, so ``encode`` may return a code that was
        computed from this very tensor before: ``contractive_penalty(lambda _: code, x)``.

    Returns
    -------
    Tensor, shape (N,)

    Raises
    ------
    ValueError
        The code is not of shape (N, K).

    Notes
    -----
    K vector-Jacobian products, one per unit, run as one batch: K times the memory and time of a
    backward pass. Where gradients are disabled the value alone is computed.

    References
    ----------
    Rifai et al. (2011), Contractive Auto-Encoders: Explicit Invariance During Feature Extraction.
    """
    for_training = torch.is_grad_enabled()
    with torch.enable_grad():
        if not x.requires_grad:
            x = x.detach().requires_grad_()
        code = encode(x)
        if code.ndim != 2 or len(code) != len(x):
            raise ValueError(f"encode must return codes of shape ({len(x)}, K), got {tuple(code.shape)}")
        samples, units = code.shape
        # Samples do not touch each other, so unit j of all of them can be differentiated at once.
        unit_vectors = torch.eye(units, dtype=code.dtype, device=code.device)[:, None].expand(units, samples, units)
        (jacobian,) = torch.autograd.grad(
            code, x, unit_vectors, is_grads_batched=True, create_graph=for_training
        )  # (K, N, ...)
        return jacobian.square().flatten(2).sum((0, 2))
