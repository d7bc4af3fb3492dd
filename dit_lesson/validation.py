"""What every public function says to wrong input: one sentence, worded here and nowhere else.

A sentence names the function, the argument, what came and what was expected, for example
``patchify: height 30 is not a multiple of patch_size 4``.  `shapes` is checked everywhere, since a
shape is known without looking at the numbers; `numbers` looks at them, so it stands where a
reader's data comes in and not inside a model's forward or a training step.
Works on NumPy arrays and on torch tensors without importing torch.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np


def require(condition: bool, sentence: str) -> None:
    """Raise ``ValueError(sentence)`` unless ``condition`` holds."""
    if not condition:
        raise ValueError(sentence)


def shapes(function: str, **arrays: tuple[Any, str]) -> dict[str, Any]:
    """Bind the letters of each argument's axes to sizes, the same letter to the same size.

    ``shapes("add_noise", x0=(x0, "B ..."), noise=(noise, "B ..."), t=(t, "B"))`` admits what has
    these axes and refuses the rest. A number in the place of a letter is that size; ``...``, in
    front or at the end, stands for any number of axes, the same ones in every argument.

    Args:
        function: the name of the caller.
        arrays: by argument, (the array or tensor, its axes).
    Returns: the size of every letter, and under ``"..."`` a tuple of sizes.
    Raises: ValueError for what is no array, is empty, or has other axes.
    """
    bound: dict[str, Any] = {}
    for argument, (value, axes) in arrays.items():
        shape = getattr(value, "shape", None)
        if shape is None:
            raise ValueError(
                f"{function}: {argument} is a {type(value).__name__}, expected an array or a tensor"
            )
        names, now = axes.split(), dict(bound)
        if not _bind(now, names, tuple(shape)):
            known = [size for name in names for size in _known(bound, name)]
            letters = not any(size.isdecimal() for size in known)
            raise ValueError(
                f"{function}: {argument} has shape {tuple(shape)}, expected "
                f"{'axes ' if letters else ''}({', '.join(known)}{',' * (len(known) == 1)})"
            )
        if 0 in shape:
            raise ValueError(f"{function}: {argument} is empty, its shape is {tuple(shape)}")
        bound = now
    return bound


def _bind(bound: dict[str, Any], names: list[str], shape: tuple[int, ...]) -> bool:
    """Whether the shape fits the names; sizes of new letters are put into ``bound``."""
    if "..." in names:
        rest = len(shape) - len(names) + 1
        if rest < 0:
            return False
        start = names.index("...")
        free = shape[start : start + rest]
        if bound.setdefault("...", free) != free:
            return False
        names = [name for name in names if name != "..."]
        shape = shape[:start] + shape[start + rest :]
    if len(names) != len(shape):
        return False
    for name, size in zip(names, shape, strict=True):
        if name.isdecimal():
            if size != int(name):
                return False
        elif bound.setdefault(name, size) != size:
            return False
    return True


def _known(bound: dict[str, Any], name: str) -> list[str]:
    """A letter, or its size where another argument has fixed it."""
    if name == "..." and name in bound:
        return [str(size) for size in bound[name]]
    return [str(bound.get(name, name))]


def numbers(function: str, **arrays: Any) -> None:
    """Refuse what does not hold finite floating-point numbers.

    A tensor on the ``meta`` device holds no numbers, so its values are not looked at.

    Args:
        function: the name of the caller.
        arrays: by argument.
    Raises: ValueError.
    """
    for argument, value in arrays.items():
        require(
            "float" in str(value.dtype),
            f"{function}: {argument} has dtype {value.dtype}, expected a floating-point dtype",
        )
        if getattr(getattr(value, "device", None), "type", None) == "meta":
            continue
        # x - x is 0 for finite x and NaN for NaN and infinities, in NumPy and in torch
        with np.errstate(invalid="ignore"):
            finite = bool((value - value == 0).all())
        require(
            finite, f"{function}: {argument} holds NaN or infinite values, expected finite ones"
        )


def positive(function: str, **sizes: Any) -> None:
    """Refuse sizes that are no whole numbers of at least 1. Raises: ValueError."""
    for argument, value in sizes.items():
        whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        require(
            whole and value >= 1,
            f"{function}: {argument} is {value!r}, expected a whole number of at least 1",
        )


def divides(function: str, **sizes: Any) -> None:
    """Refuse sizes of which the first does not divide all the others. Raises: ValueError."""
    positive(function, **sizes)
    (divisor, by), *others = sizes.items()
    for argument, value in others:
        require(
            value % by == 0, f"{function}: {argument} {value} is not a multiple of {divisor} {by}"
        )


def one_of(function: str, options: Iterable[Any], **arguments: Any) -> None:
    """Refuse values that are none of the options. Raises: ValueError."""
    options = list(options)
    expected = ", ".join(map(repr, options[:-1])) + f" or {options[-1]!r}"
    for argument, value in arguments.items():
        require(value in options, f"{function}: {argument} is {value!r}, expected {expected}")


def within(function: str, low: float, high: float, **arguments: Any) -> None:
    """Refuse numbers outside [low, high], and NaN. Raises: ValueError."""
    for argument, value in arguments.items():
        require(
            low <= value <= high,
            f"{function}: {argument} is {value}, expected a number from {low} to {high}",
        )
