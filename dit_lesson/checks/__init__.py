"""Checkers for the exercises: each prints one sentence about the reader's function.

One file per chapter. A checker knows the right answer and what the usual mistakes compute, so
that it can name the mistake instead of only saying "wrong".
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import numpy as np


def compare(
    name: str,
    function: Callable[..., Any],
    arguments: Sequence[Any],
    expected: Any,
    mistakes: Sequence[tuple[Any, str]],
    right: str,
    tolerance: float = 1e-6,
) -> None:
    """Print one sentence: what is right with ``function(*arguments)``, or what is wrong.

    ``mistakes`` are pairs (what the mistake computes, the sentence that names it). Where a mistake
    has free numbers of its own, the first is a function: from a result of the expected shape to
    the nearest result that the mistake can give.
    """
    expected = np.asarray(expected)
    wanted = "a number" if expected.ndim == 0 else f"an array of shape {expected.shape}"
    try:
        # a copy, since the function may write into what it is given
        returned = function(*deepcopy(arguments))
        result = np.asarray(returned, dtype=float)
    except Exception as error:
        reason = " ".join(str(error).split())
        hint = ""
        if "broadcast" in reason:
            hint = " An axis may be missing: values[:, None] gives every row its own number."
        print(
            f"{name}: your function raised {type(error).__name__}: {reason}; "
            f"expected it to return {wanted}.{hint}"
        )
        return
    if returned is None:
        print(f"{name}: not yet. It returned None, expected {wanted}: is there a return?")
        return

    def equals(value: Any) -> bool:
        if callable(value):
            comparable = result.shape == expected.shape and np.isfinite(result).all()
            value = value(result) if comparable else np.nan
        value = np.asarray(value, dtype=float)
        return value.shape == result.shape and np.allclose(
            result, value, rtol=tolerance, atol=tolerance
        )

    if equals(expected):
        print(f"{name}: right. {right}")
        return
    for value, sentence in mistakes:
        if equals(value):
            print(f"{name}: not yet. {sentence}")
            return
    if result.shape != expected.shape:
        print(
            f"{name}: not yet. It returned shape {result.shape}, expected {expected.shape} "
            f"for inputs of shape {', '.join(str(np.shape(a)) for a in arguments)}."
        )
    elif not np.isfinite(result).all():
        print(f"{name}: not yet. The result holds NaN or infinite values.")
    else:
        worst = np.unravel_index(np.abs(result - expected).argmax(), expected.shape)
        place = f" at index {tuple(map(int, worst))}" if worst else ""
        print(
            f"{name}: not yet. It returned {result[worst]:.4g}{place}, "
            f"expected {expected[worst]:.4g}."
        )
