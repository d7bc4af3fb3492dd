"""Input checks shared by the public functions: each refusal is one sentence.

A sentence names the function, the argument, what came and what was expected,
for example ``patchify: image height 30 is not a multiple of patch size 4``.
Works on NumPy arrays and on torch tensors without importing torch.
"""

from typing import Any

import numpy as np


def require(condition: bool, sentence: str) -> None:
    """Raise ``ValueError(sentence)`` unless ``condition`` holds."""
    if not condition:
        raise ValueError(sentence)


def require_array(function: str, argument: str, value: Any, axes: str) -> None:
    """Refuse what is not a finite, non-empty floating-point array with the named axes.

    ``axes`` names every axis, separated by spaces (``"B N D"``); a leading ``...``
    admits any number of axes in front.  A tensor on the ``meta`` device holds no
    numbers, so its values are not looked at.

    Raises: ValueError, one sentence naming ``function`` and ``argument``.
    """
    require(
        hasattr(value, "shape") and hasattr(value, "dtype"),
        f"{function}: {argument} is a {type(value).__name__}, expected an array or a tensor",
    )
    names = axes.split()
    shape = tuple(value.shape)
    fits = len(shape) >= len(names) - 1 if names[:1] == ["..."] else len(shape) == len(names)
    require(
        fits,
        f"{function}: {argument} has shape {shape}, expected axes ({', '.join(names)})",
    )
    require(
        "float" in str(value.dtype),
        f"{function}: {argument} has dtype {value.dtype}, expected a floating-point dtype",
    )
    require(0 not in shape, f"{function}: {argument} is empty, its shape is {shape}")
    on_meta = getattr(getattr(value, "device", None), "type", None) == "meta"
    if not on_meta:
        # x - x is 0 for finite x and NaN for NaN and infinities, in NumPy and in torch
        with np.errstate(invalid="ignore"):
            finite = bool((value - value == 0).all())
        require(
            finite, f"{function}: {argument} holds NaN or infinite values, expected finite ones"
        )


def require_positive_integer(function: str, argument: str, value: Any) -> None:
    """Refuse what is not a whole number of at least 1."""
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    require(
        whole and value >= 1,
        f"{function}: {argument} is {value!r}, expected a whole number of at least 1",
    )
