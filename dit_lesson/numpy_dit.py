r"""A DiT in NumPy alone, in the order of its equations: the definition that the rest is held to.

Rows are tokens. A weight has torch's layout, (outputs, inputs), so that checkpoints fit.
Everything keeps the dtype it is given; nothing here is fast, and nothing is hidden.
"""

import numpy as np

from dit_lesson.validation import require, require_array, require_positive_integer


def layer_norm(x: np.ndarray, eps: float = 1e-6) -> np.ndarray:
    r"""$\mathrm{LN}(x) = (x - \mu) / \sqrt{\sigma^2 + \epsilon}$ over the last axis.

    $\mu$ and $\sigma^2$ are the mean and the (biased, 1/D) variance of one token's D features.
    There is no learned scale or shift. The variance is taken from the centred values, so a
    large mean costs no precision.

    Args: x (..., D), floating point; eps, added to the variance.
    Returns: the shape and dtype of x.
    Raises: ValueError if x is not a finite floating-point array with at least one axis, or if
    eps is negative.
    Source: Ba et al. 2016; eps = 1e-6 and no affine parameters as in DiT.
    """
    require_array("layer_norm", "x", x, "... D")
    require(eps >= 0, f"layer_norm: eps is {eps}, expected at least 0")
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred**2).mean(axis=-1, keepdims=True)
    return centred / np.sqrt(variance + x.dtype.type(eps))


def modulate(x: np.ndarray, shift: np.ndarray, scale: np.ndarray) -> np.ndarray:
    r"""$x \odot (1 + \gamma) + \beta$, one shift $\beta$ and one scale $\gamma$ for all tokens.

    Works on NumPy arrays and on torch tensors. At shift = scale = 0 it returns x, bit for bit.

    Args: x (..., N, D) tokens; shift and scale (..., D), without the token axis.
    Returns: (..., N, D).
    Raises: ValueError if the axes of shift or scale are not those of x without N.
    Source: DiT, section 3.2 (adaLN block); FiLM (Perez et al. 2018).
    """
    require(
        x.ndim >= 2,
        f"modulate: x has shape {tuple(x.shape)}, expected axes (..., tokens, features)",
    )
    expected = (*x.shape[:-2], x.shape[-1])
    for name, value in (("shift", shift), ("scale", scale)):
        require(
            tuple(value.shape) == expected,
            f"modulate: {name} has shape {tuple(value.shape)}, expected {expected} "
            f"for x of shape {tuple(x.shape)}",
        )
    return x * (1 + scale[..., None, :]) + shift[..., None, :]


def silu(x: np.ndarray) -> np.ndarray:
    r"""$\mathrm{SiLU}(x) = x / (1 + e^{-x})$, element by element.

    Args: x of any shape. Returns: the shape and dtype of x.
    Source: DiT, appendix A (the activation before every modulation layer).
    """
    return x / (1 + np.exp(-x))


def linear(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    r"""$x W^\top + b$ for every row.

    Args: x (..., I), weight (O, I), bias (O). Returns: (..., O).
    Raises: ValueError if the widths do not fit.
    """
    require(
        weight.ndim == 2 and x.shape[-1] == weight.shape[1] and bias.shape == weight.shape[:1],
        f"linear: x {x.shape}, weight {weight.shape} and bias {bias.shape} do not fit, "
        "expected (..., I), (O, I) and (O)",
    )
    return x @ weight.T + bias


def timestep_embedding(
    t: np.ndarray, frequency_size: int = 256, max_period: float = 10_000.0
) -> np.ndarray:
    r"""$[\cos(t\omega_i), \sin(t\omega_i)]$ with $\omega_i = P^{-i/(d/2)}$: cos first, then sin.

    Args: t (B,) time steps, 0 to 999 in DiT (not scaled to 0..1); frequency_size d, even;
    max_period P.
    Returns: (B, frequency_size).
    Raises: ValueError if t is not a finite floating-point vector or frequency_size is odd.
    Source: DiT, appendix A; the denominator is d/2, not d/2 - 1.
    """
    require_array("timestep_embedding", "t", t, "B")
    require_positive_integer("timestep_embedding", "frequency_size", frequency_size)
    require(
        frequency_size % 2 == 0,
        f"timestep_embedding: frequency_size is {frequency_size}, expected an even number",
    )
    half = frequency_size // 2
    angles = t[:, None] * max_period ** (-np.arange(half, dtype=t.dtype) / half)
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=-1)
