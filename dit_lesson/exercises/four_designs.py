"""Exercises of the chapter on the four designs."""

from dataclasses import replace
from typing import Any

from dit_lesson.counting import dit_ledger, total
from dit_lesson.exercises import exercise
from dit_lesson.models import DESIGNS, DIT_CONFIGS

_CONFIG = replace(DIT_CONFIGS["DiT-S/2"], input_size=64)  # adaLN-Zero
_LEDGER = dit_ledger(replace(_CONFIG, conditioning="cross-attention"))
_RIGHT = total(_LEDGER.values()).macs

#: What four counters say about one pass of DiT-S/2, cross-attention, for 512x512 pixels.
REPORTS = {
    "A": _RIGHT - _LEDGER["attention scores"].macs - _LEDGER["cross-attention scores"].macs,
    "B": 2 * _RIGHT,
    "C": _RIGHT,
    "D": total(dit_ledger(_CONFIG).values()).macs,
}
DIAGNOSES = {"A": "no scores", "B": "flops", "C": "right", "D": "adaln-zero"}


def _misread(answer: Any) -> str:
    """Which letters of a diagnosis are wrong, in a sentence."""
    letters, words = list(DIAGNOSES), {*DIAGNOSES.values(), *DESIGNS}
    if not isinstance(answer, dict) or set(answer) != set(letters):
        return f"It returned {answer!r}, expected a dict with the keys {', '.join(letters)}."
    unknown = [word for word in answer.values() if word not in words]
    if unknown:
        return f"{unknown[0]!r} is none of {', '.join(sorted(words))}."
    wrong = [letter for letter in letters if answer[letter] != DIAGNOSES[letter]]
    if not wrong:
        return ""
    shares = ", ".join(f"{letter} is {REPORTS[letter] / _RIGHT:.3f}" for letter in wrong)
    return f"Look at {', '.join(wrong)} again: {shares} of the ledger's total for cross-attention."


@exercise(
    (),
    right="Twice a number, a missing part or another ledger gives it away.",
    mistakes={
        "It returned {'A': 'right'}, expected a dict with the keys A, B, C, D.": (
            lambda: {"A": "right"}
        ),
        "'half' is none of adaln, adaln-zero, cross-attention, flops, in-context, no scores, "
        "right.": lambda: DIAGNOSES | {"B": "half"},
        "Look at B, C again: B is 2.000, C is 1.000 of the ledger's total for cross-attention.": (
            lambda: DIAGNOSES | {"B": "right", "C": "flops"}
        ),
    },
    judge=_misread,
)
def check_diagnosis() -> dict[str, str]:
    """For each letter of `REPORTS` what its counter did."""
    return DIAGNOSES


def _blocks(d: int, depth: int, chunks: int, biases: int = 9, of_chunk: int | None = None) -> int:
    modulation = chunks * d * (d + 1) if of_chunk is None else of_chunk
    return depth * (12 * d * d + biases * d + modulation)


@exercise(
    (64, 3, 4),
    (64, 3, 6),
    right="The two designs differ by 2 D (D + 1) in each block.",
    mistakes={
        "The modulation is missing: a linear layer from D to chunks * D.": (
            lambda d, depth, chunks: _blocks(d, depth, 0)
        ),
        "That is the modulation alone: attention and MLP count, too.": (
            lambda d, depth, chunks: depth * chunks * d * (d + 1)
        ),
        "The bias of the modulation is missing: chunks * D.": (
            lambda d, depth, chunks: _blocks(d, depth, chunks, of_chunk=chunks * d * d)
        ),
        "The biases of attention (4 D) and of the MLP (5 D) are missing.": (
            lambda d, depth, chunks: _blocks(d, depth, chunks, biases=0)
        ),
        "The layer norms have no parameters of their own here: the condition makes them.": (
            lambda d, depth, chunks: _blocks(d, depth, chunks, biases=13)
        ),
        "That is one block: multiply by the depth.": (
            lambda d, depth, chunks: _blocks(d, 1, chunks)
        ),
        "That includes the final layer's modulation: count the blocks.": (
            lambda d, depth, chunks: _blocks(d, depth, chunks) + 2 * d * (d + 1)
        ),
        "It ignores chunks, or swaps 4 and 6.": (
            lambda d, depth, chunks: _blocks(d, depth, 4),
            lambda d, depth, chunks: _blocks(d, depth, 10 - chunks),
        ),
    },
)
def check_parameters(width: int, depth: int, chunks: int) -> int:
    """The parameters of all blocks of an adaptive design; biases count.

    ``chunks`` is 4 for adaLN and 6 for adaLN-Zero.
    """
    return _blocks(width, depth, chunks)
