"""Checkers for the exercises of the chapter on the four designs."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dit_lesson.checks import compare
from dit_lesson.counting import dit_ledger, total
from dit_lesson.models import DESIGNS, DIT_CONFIGS


def check_overhead(function: Callable[..., Any]) -> None:
    """Check ``function(tokens, width)``: what cross-attention adds to a plain block, as a share.

    MACs, with two condition tokens and the MLP four times as wide as the tokens.
    """
    n, d, m = 64, 96, 2
    plain = 12 * n * d**2 + 2 * n**2 * d
    extra = 2 * (n + m) * d**2 + 2 * n * m * d
    mistakes = [
        ((plain + extra) / plain, "That is the ratio of the two blocks: subtract 1."),
        (extra / (plain + extra), "That is the share of the new block: divide by the plain one."),
        (
            (4 * n * d**2 + 2 * n * m * d) / plain,
            "Keys and values are made from the two condition tokens, not from the image.",
        ),
        (
            (2 * n * d**2 + 2 * n * m * d) / plain,
            "Keys and values are missing: two matrix products for each condition token.",
        ),
        (2 * (n + m) * d**2 / plain, "The scores and the weighted values are missing."),
        (
            (2 * (n + m) * d**2 + n * m * d) / plain,
            "A pair costs D for its score and D again for its weighted value.",
        ),
        (extra / (12 * n * d**2), "The plain block has attention scores, too: 2 N N D."),
        (
            extra / (12 * n * d**2 + n**2 * d),
            "In the plain block a pair costs D for its score and D again for its weighted value.",
        ),
        (extra / (4 * n * d**2 + 2 * n**2 * d), "The plain block has an MLP, too: 8 N D D."),
        (
            extra / (plain + 6 * d**2),
            "That divides by a block of adaLN-Zero: the plain block has no modulation.",
        ),
        (2 * extra / plain, "Both count alike: a flop is half a MAC above and below the line."),
        (100 * extra / plain, "Those are percent: return the share itself."),
        (extra, "Those are the MACs: divide by those of the plain block."),
    ]
    compare(
        "check_overhead",
        function,
        [n, d],
        extra / plain,
        mistakes,
        "For a width far above the number of tokens it comes near one sixth.",
    )


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


def check_diagnosis(function: Callable[[], Any]) -> None:
    """Check ``function() -> dict``: for each letter of `REPORTS` what its counter did."""
    letters, words = list(DIAGNOSES), {*DIAGNOSES.values(), *DESIGNS}
    answer = function()
    if not isinstance(answer, dict) or set(answer) != set(letters):
        print(
            f"check_diagnosis: not yet. It returned {answer!r}, expected a dict with the keys "
            f"{', '.join(letters)}."
        )
        return
    unknown = [word for word in answer.values() if word not in words]
    if unknown:
        print(f"check_diagnosis: not yet. {unknown[0]!r} is none of {', '.join(sorted(words))}.")
        return
    wrong = [letter for letter in letters if answer[letter] != DIAGNOSES[letter]]
    if wrong:
        print(
            f"check_diagnosis: not yet. Look at {', '.join(wrong)} again: "
            + ", ".join(f"{letter} is {REPORTS[letter] / _RIGHT:.3f}" for letter in wrong)
            + " of the ledger's total for cross-attention."
        )
        return
    print("check_diagnosis: right. Twice a number, a missing part or another ledger gives it away.")


def check_parameters(function: Callable[..., Any]) -> None:
    """Check ``function(width, depth, chunks)``: the parameters of all blocks of an adaptive design.

    ``chunks`` is 4 for adaLN and 6 for adaLN-Zero; biases count.
    """
    d, depth = 64, 3
    core, final_norm = 12 * d * d + 9 * d, 2 * d * (d + 1)
    for chunks in (4, 6):
        modulation = chunks * d * (d + 1)
        mistakes = [
            (depth * core, "The modulation is missing: a linear layer from D to chunks * D."),
            (depth * modulation, "That is the modulation alone: attention and MLP count, too."),
            (
                depth * (core + chunks * d * d),
                "The bias of the modulation is missing: chunks * D.",
            ),
            (
                depth * (core - 9 * d + modulation),
                "The biases of attention (4 D) and of the MLP (5 D) are missing.",
            ),
            (
                depth * (core + 4 * d + modulation),
                "The layer norms have no parameters of their own here: the condition makes them.",
            ),
            (core + modulation, "That is one block: multiply by the depth."),
            (
                depth * (core + modulation) + final_norm,
                "That includes the final layer's modulation: count the blocks.",
            ),
            (depth * (core + (10 - chunks) * d * (d + 1)), "It ignores chunks, or swaps 4 and 6."),
        ]
        right = compare(
            "check_parameters",
            function,
            [d, depth, chunks],
            depth * (core + modulation),
            mistakes,
            "The two designs differ by 2 D (D + 1) in each block." if chunks == 6 else "",
            tolerance=1e-12,
        )
        if not right:
            return
