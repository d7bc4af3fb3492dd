r"""Sine-cosine position embeddings: how a token knows where it is.

NumPy in, NumPy out, float64 inside: a table is computed once and then kept as a constant.
"""

from typing import Literal

import numpy as np

from dit_lesson.validation import numbers, one_of, positive, require, shapes


def frequencies(half: int, period: float = 10_000.0) -> np.ndarray:
    r"""$\omega_i = \text{period}^{-i/\text{half}}$ for i = 0, ..., half - 1, in radians per token.

    From 1 (one token is one radian) down towards 1/period.

    Args:
        half: how many.
        period: above 1, in tokens per radian of the slowest.
    Returns: (half,) float64, falling.
    Source: Vaswani et al. 2017, section 3.5 (there as a wavelength).
    """
    positive("frequencies", half=half)
    require(period > 1, f"frequencies: period is {period}, expected a number above 1")
    return period ** (-np.arange(half) / half)


def sincos_1d(positions: np.ndarray, hidden_size: int, period: float = 10_000.0) -> np.ndarray:
    r"""$e(n) = [\sin(n\omega_0), \dots, \sin(n\omega_{D/2-1}), \cos(n\omega_0), \dots]$.

    Sines first, then cosines, in halves, not interleaved. Every row has length $\sqrt{D/2}$, the
    dot product of two rows depends on their offset only, and a shift is a rotation.

    Args:
        positions: (N,) in tokens, whole or not.
        hidden_size: D, even.
        period: above 1, from which the `frequencies` follow.
    Returns: (N, D) float64.
    Raises: ValueError for an odd hidden_size, or positions that are not N finite numbers.
    Source: DiT, section 3.2 (the ViT frequency-based embeddings); Vaswani et al. 2017, section 3.5.
    """
    positive("sincos_1d", hidden_size=hidden_size)
    require(
        hidden_size % 2 == 0,
        f"sincos_1d: hidden_size is {hidden_size}, expected an even number: "
        "half sines, half cosines",
    )
    positions = np.asarray(positions)
    shapes("sincos_1d", positions=(positions, "N"))
    require(
        positions.dtype.kind in "iuf",
        f"sincos_1d: positions has dtype {positions.dtype}, expected real numbers",
    )
    positions = positions.astype(np.float64)
    numbers("sincos_1d", positions=positions)
    angles = np.outer(positions, frequencies(hidden_size // 2, period))  # n * omega_i, (N, D/2)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)


def sincos_2d(
    hidden_size: int,
    height: int,
    width: int,
    first: Literal["column", "row"] = "column",
    period: float = 10_000.0,
) -> np.ndarray:
    r"""$e(r, c) = [e_{D/2}(c), e_{D/2}(r)]$: half of the features for the column, half for the row.

    Token r * width + c sits at row r and column c. DiT and MAE put the **column first**
    ("w goes first"): an accident that the released weights depend on. ``first="row"`` is the
    order one might expect.

    Args:
        hidden_size: D, a multiple of 4.
        height: of the grid, in tokens.
        width: of the grid, in tokens.
        first: the half that comes first.
        period: above 1.
    Returns: (height * width, D) float64.
    Raises: ValueError for a width that four does not divide, or an unknown ``first``.
    Source: DiT, section 3.2; the order: github.com/facebookresearch/mae/issues/18.
    """
    positive("sincos_2d", hidden_size=hidden_size, height=height, width=width)
    require(
        hidden_size % 4 == 0,
        f"sincos_2d: hidden_size is {hidden_size}, expected a multiple of 4: "
        "sines and cosines for columns and for rows",
    )
    one_of("sincos_2d", ("column", "row"), first=first)
    rows, columns = np.divmod(np.arange(height * width), width)
    order = (columns, rows) if first == "column" else (rows, columns)
    return np.concatenate([sincos_1d(axis, hidden_size // 2, period) for axis in order], axis=1)
