"""Checkers for the exercises of the chapter on adaLN-Zero."""

from collections.abc import Callable
from typing import Any

import numpy as np

from dit_lesson.checks import compare
from dit_lesson.numpy_dit import layer_norm, silu

random = np.random.default_rng(0)
TOKENS = random.normal(1.0, 2.0, size=(2, 3, 4))
CHUNKS = random.normal(size=(2, 24))
MIX, TURN = random.normal(size=(3, 3)), random.normal(size=(4, 4))


def attention(x: np.ndarray) -> np.ndarray:
    """Something that mixes tokens, in the place of attention."""
    return MIX @ x


def mlp(x: np.ndarray) -> np.ndarray:
    """Something that treats each token alone, in the place of the MLP."""
    return silu(x @ TURN)


def _block(
    one: float = 1.0,
    order: tuple[int, ...] = (0, 1, 2, 3, 4, 5),
    gates: bool = True,
    residual: str = "x",
    branches: tuple[Callable, Callable] = (attention, mlp),
    stale: bool = False,
) -> np.ndarray:
    chunks = np.split(CHUNKS[:, None], 6, axis=-1)
    x = TOKENS
    for branch, at in zip(branches, (0, 3), strict=True):
        shift, scale, gate = (chunks[order[at + i]] for i in range(3))
        normed = layer_norm(TOKENS if stale else x) * (one + scale) + shift
        kept = {"x": x, "normed": normed, "none": 0}[residual]
        x = kept + (gate if gates else 1) * branch(normed)
    return x


def check_block(function: Callable[..., Any]) -> None:
    """Check ``function(x, modulation, attention, mlp)``, the adaLN-Zero block in NumPy."""
    mistakes = [
        (
            _block(residual="normed"),
            "The residual carries the normalised value: add the branch to the untouched x.",
        ),
        (
            _block(branches=(attention, attention)),
            "The second branch calls attention again: it is the MLP's.",
        ),
        (_block(gates=False), "The gates are missing: this is a block of vanilla adaLN."),
        (_block(one=0.0), "The 1 + is missing: with all chunks zero the branches would be dead."),
        (
            _block(order=(1, 0, 2, 4, 3, 5)),
            "Shift and scale are swapped: the order is shift, scale, gate.",
        ),
        (
            _block(order=(2, 0, 1, 5, 3, 4)),
            "The chunks are read as gate-first: the order is shift, scale, gate.",
        ),
        (
            _block(order=(0, 1, 4, 2, 3, 5)),
            "The chunks are read in pairs: all three of attention come first, then the MLP's.",
        ),
        (_block(residual="none"), "The residual is missing: x + gate * branch."),
        (
            _block(stale=True),
            "The MLP branch normalises the x from before attention: it takes the new one.",
        ),
    ]
    compare(
        "check_block",
        function,
        [TOKENS, CHUNKS, attention, mlp],
        _block(),
        mistakes,
        "With all chunks zero it returns x, bit for bit.",
    )


def check_wake_up(function: Callable[..., Any]) -> None:
    """Check ``function()``: the passes in which gates, attention and label table wake up."""
    compare(
        "check_wake_up",
        function,
        [],
        (1, 2, 2),
        [
            (
                (2, 3, 3),
                "That is the order with a zero final layer: here one factor less is zero.",
            ),
            (
                (1, 1, 1),
                "Attention stands behind its gate: while that is zero, nothing comes back.",
            ),
            (
                (1, 1, 2),
                "The order is gates, attention, label table; attention stands behind its gate.",
            ),
            (
                (1, 2, 1),
                "The label table is read through the modulation layers, whose weights are zero.",
            ),
            (
                (1, 2, 3),
                "The modulation weights move in step 1, so the table has a gradient in pass 2.",
            ),
        ],
        "Each zero factor costs what stands behind it one step.",
    )
