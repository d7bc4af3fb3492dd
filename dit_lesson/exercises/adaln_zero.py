"""Exercises of the chapter on adaLN-Zero."""

from collections.abc import Callable

import numpy as np

from dit_lesson.exercises import exercise
from dit_lesson.numpy_dit import layer_norm, silu

Branch = Callable[[np.ndarray], np.ndarray]

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
    tokens: np.ndarray,
    modulation: np.ndarray,
    *branches: Branch,
    one: float = 1.0,
    order: str = "012345",
    gates: bool = True,
    residual: str = "x",
    stale: bool = False,
) -> np.ndarray:
    """The block with its switches: ``order`` says which chunk is read as which."""
    chunks = np.split(modulation[:, None], 6, axis=-1)
    x = tokens
    for branch, roles in zip(branches, (order[:3], order[3:]), strict=True):
        shift, scale, gate = (chunks[int(role)] for role in roles)
        normed = layer_norm(tokens if stale else x) * (one + scale) + shift
        stream = {"x": x, "normed": normed, "none": 0 * x}[residual]
        x = stream + (gate if gates else 1) * branch(normed)
    return x


@exercise(
    (TOKENS, CHUNKS, attention, mlp),
    right="With all chunks zero it returns x, bit for bit.",
    mistakes={
        "The residual carries the normalised value: add the branch to the untouched x.": (
            lambda *given: _block(*given, residual="normed")
        ),
        "The second branch calls attention again: it is the MLP's.": (
            lambda x, modulation, attention, mlp: _block(x, modulation, attention, attention)
        ),
        "The gates are missing: this is a block of vanilla adaLN.": (
            lambda *given: _block(*given, gates=False)
        ),
        "The 1 + is missing: with all chunks zero the branches would be dead.": (
            lambda *given: _block(*given, one=0.0)
        ),
        "Shift and scale are swapped: the order is shift, scale, gate.": (
            lambda *given: _block(*given, order="102435")
        ),
        "The chunks are read as gate-first: the order is shift, scale, gate.": (
            lambda *given: _block(*given, order="201534")
        ),
        "The chunks are read in pairs: all three of attention come first, then the MLP's.": (
            lambda *given: _block(*given, order="014235")
        ),
        "The residual is missing: x + gate * branch.": (
            lambda *given: _block(*given, residual="none")
        ),
        "The MLP branch normalises the x from before attention: it takes the new one.": (
            lambda *given: _block(*given, stale=True)
        ),
    },
)
def check_block(
    x: np.ndarray, modulation: np.ndarray, attention: Branch, mlp: Branch
) -> np.ndarray:
    """The adaLN-Zero block in NumPy."""
    return _block(x, modulation, attention, mlp)


@exercise(
    (),
    right="Each zero factor costs what stands behind it one step.",
    mistakes={
        "That is the order with a zero final layer: here one factor less is zero.": (
            lambda: (2, 3, 3)
        ),
        "Attention stands behind its gate: while that is zero, nothing comes back.": (
            lambda: (1, 1, 1)
        ),
        "The order is gates, attention, label table; attention stands behind its gate.": (
            lambda: (1, 1, 2)
        ),
        "The label table is read through the modulation layers, whose weights are zero.": (
            lambda: (1, 2, 1)
        ),
        "The modulation weights move in step 1, so the table has a gradient in pass 2.": (
            lambda: (1, 2, 3)
        ),
    },
)
def check_wake_up() -> tuple[int, int, int]:
    """The passes in which gates, attention and label table wake up."""
    return 1, 2, 2
