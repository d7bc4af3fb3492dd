"""Checkers for the exercises: each prints one sentence about the reader's function.

One file per chapter. A checker knows the right answer and what the usual mistakes compute, so
that it can name the mistake instead of only saying "wrong".
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import numpy as np

#: What to try, by words of the errors that readers meet most.
HINTS = {
    "broadcast": " An axis may be missing: values[:, None] gives every row its own number.",
    "same number of dimensions": " A vector joins rows as a row of its own: vector[None].",
    "inhomogeneous": " It seems to return several things of different shapes: return one array.",
}


def compare(
    name: str,
    function: Callable[..., Any],
    arguments: Sequence[Any],
    expected: Any,
    mistakes: Sequence[tuple[Any, str]],
    right: str,
    tolerance: float = 1e-6,
) -> bool:
    """Print one sentence: what is right with ``function(*arguments)``, or what is wrong.

    Without a sentence ``right`` nothing is printed if it is right: one question of several.
    Returns whether it is right.

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
        hint = next((said for words, said in HINTS.items() if words in reason), "")
        print(
            f"{name}: your function raised {type(error).__name__}: {reason}; "
            f"expected it to return {wanted}.{hint}"
        )
        return False
    if returned is None:
        print(f"{name}: not yet. It returned None, expected {wanted}: is there a return?")
        return False

    def equals(value: Any) -> bool:
        if callable(value):
            comparable = result.shape == expected.shape and np.isfinite(result).all()
            value = value(result) if comparable else np.nan
        value = np.asarray(value, dtype=float)
        return value.shape == result.shape and np.allclose(
            result, value, rtol=tolerance, atol=tolerance
        )

    if equals(expected):
        if right:
            print(f"{name}: right. {right}")
        return True
    for value, sentence in mistakes:
        if equals(value):
            print(f"{name}: not yet. {sentence}")
            return False
    numbers = all(isinstance(argument, int | float) for argument in arguments)
    given = f" for the arguments {', '.join(map(str, arguments))}" if numbers else ""
    if result.shape != expected.shape:
        shapes = ", ".join(str(np.shape(argument)) for argument in arguments)
        print(
            f"{name}: not yet. It returned shape {result.shape}, expected {expected.shape}"
            f"{given or f' for inputs of shape {shapes}'}."
        )
    elif not np.isfinite(result).all():
        print(
            f"{name}: not yet. The result holds NaN or infinite values: an exponential that "
            "overflows, a root or a logarithm of a negative number, a division by 0?"
        )
    else:
        worst = np.unravel_index(np.abs(result - expected).argmax(), expected.shape)
        place = f" at index {tuple(map(int, worst))}" if worst else ""
        print(
            f"{name}: not yet. It returned {result[worst]:.4g}{place}{given}, "
            f"expected {expected[worst]:.4g}."
        )
    return False
