"""Exercises of the chapter on omni models and dLLMs."""

import numpy as np

from dit_lesson.exercises import exercise

random = np.random.default_rng(0)
P = random.dirichlet(np.ones(5), size=(3, 6))  # (B, N, K)
TOKENS = random.integers(0, 5, size=(3, 6))
HIDDEN = np.array([[1, 0, 1, 1, 0, 1], [0, 0, 1, 0, 0, 0], [1, 1, 0, 1, 1, 1]], dtype=bool)
T = np.array([0.6, 0.2, 0.9])
JOINT = np.array([[0.1, 0.3, 0.0], [0.4, 0.0, 0.2]])
CERTAIN = np.array([0.31, 0.40, 0.77, 0.52, 0.98, 0.66, 0.45, 0.83])
OPEN = np.array([True, False, True, True, False, True, True, True])


def _losses(p: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    return -np.log(np.take_along_axis(p, tokens[..., None], axis=-1)[..., 0])


@exercise(
    (P, TOKENS, HIDDEN, T),
    right="Hidden tokens only, each over its t, and the mean over all tokens.",
    mistakes={
        "What was not hidden counts too: the model has only to copy it.": (
            lambda p, tokens, hidden, t: (_losses(p, tokens) / t[:, None]).mean()
        ),
        "The weight 1 / t is missing: this is the flat loss, over all tokens.": (
            lambda p, tokens, hidden, t: (_losses(p, tokens) * hidden).mean()
        ),
        "It multiplies by t: where few are hidden, each of them has to count for more.": (
            lambda p, tokens, hidden, t: (_losses(p, tokens) * hidden * t[:, None]).mean()
        ),
        "It divides by the number of hidden tokens: 1 / t has done that already.": (
            lambda p, tokens, hidden, t: (
                (_losses(p, tokens) * hidden / t[:, None]).sum() / hidden.sum()
            )
        ),
        "It sums over the tokens: take the mean.": (
            lambda p, tokens, hidden, t: (
                (_losses(p, tokens) * hidden / t[:, None]).sum(axis=1).mean()
            )
        ),
        "The sign: a probability has a negative logarithm.": (
            lambda p, tokens, hidden, t: -(_losses(p, tokens) * hidden / t[:, None]).mean()
        ),
        "It takes the probability of the likeliest token, not of the true one.": (
            lambda p, tokens, hidden, t: (-np.log(p.max(axis=-1)) * hidden / t[:, None]).mean()
        ),
    },
)
def check_loss(p: np.ndarray, tokens: np.ndarray, hidden: np.ndarray, t: np.ndarray) -> float:
    """The masked loss with its weight 1 / t, in nats a token."""
    return (_losses(p, tokens) * hidden / t[:, None]).mean()


def _product(joint: np.ndarray) -> np.ndarray:
    return np.outer(joint.sum(axis=1), joint.sum(axis=0))


@exercise(
    (JOINT,),
    right="The two tokens keep their own shares and lose each other.",
    mistakes={
        "The axes are exchanged: summing over the second token leaves the first.": (
            lambda joint: np.outer(joint.sum(axis=0), joint.sum(axis=1))
        ),
        "This is the joint itself, which two steps give: in one step no token sees another.": (
            lambda joint: joint
        ),
        "All pairs are alike here: a token is still drawn with its own share.": (
            lambda joint: np.full(joint.shape, 1 / joint.size)
        ),
        "The shares are added: what is drawn apart is multiplied.": (
            lambda joint: np.add.outer(joint.sum(axis=1), joint.sum(axis=0))
        ),
        "What never occurs is left out: one step paints it too.": (
            lambda joint: np.outer(joint.sum(axis=1), joint.sum(axis=0)) * (joint > 0)
        ),
    },
)
def check_one_step(joint: np.ndarray) -> np.ndarray:
    """What one step makes of the joint of two tokens, of the same shape."""
    return np.outer(joint.sum(axis=1), joint.sum(axis=0))


@exercise(
    (CERTAIN, OPEN, 3),
    right="The most certain of the hidden ones, and nothing that is there already.",
    mistakes={
        "The least certain are kept: those are the ones to be drawn again.": (
            lambda certain, hidden, count: np.sort(
                np.argsort(np.where(hidden, certain, np.inf), kind="stable")[:count]
            )
        ),
        "What is there already is chosen again, so fewer new tokens are shown.": (
            lambda certain, hidden, count: np.sort(np.argsort(-certain, kind="stable")[:count])
        ),
        "What is there has an infinite confidence here, and takes the places.": (
            lambda certain, hidden, count: np.sort(
                np.argsort(-np.where(hidden, certain, np.inf), kind="stable")[:count]
            )
        ),
        "These are the first hidden ones, from the left: that is an order of reading.": (
            lambda certain, hidden, count: np.flatnonzero(hidden)[:count]
        ),
        "These are places among the hidden ones: give places in the sequence.": (
            lambda certain, hidden, count: np.sort(
                np.argsort(-certain[hidden], kind="stable")[:count]
            )
        ),
    },
)
def check_kept(certain: np.ndarray, hidden: np.ndarray, count: int) -> np.ndarray:
    """The places that a step by confidence shows, in rising order."""
    order = np.argsort(-np.where(hidden, certain, -1), kind="stable")
    return np.sort(order[:count])


def _blocks(length: int, block: int) -> np.ndarray:
    number = np.arange(length) // block
    return number[None] - number[:, None]


@exercise(
    (12, 3, 2, 1),
    right="A token sees whole blocks: its own, some behind and some ahead.",
    mistakes={
        "Rows look and columns are looked at: the two are exchanged.": (
            lambda length, block, back, ahead: (
                (-_blocks(length, block) >= -back) & (-_blocks(length, block) <= ahead)
            )
        ),
        "It counts tokens: back and ahead are numbers of blocks.": (
            lambda length, block, back, ahead: (
                (_blocks(length, 1) >= -back) & (_blocks(length, 1) <= ahead)
            )
        ),
        "The last block on either side is missing: so many blocks, inclusive.": (
            lambda length, block, back, ahead: (
                (_blocks(length, block) > -back) & (_blocks(length, block) < ahead)
            )
        ),
        "It sees all that came before: only so many blocks back.": (
            lambda length, block, back, ahead: _blocks(length, block) <= ahead
        ),
        "It sees all that comes after: only so many blocks ahead.": (
            lambda length, block, back, ahead: _blocks(length, block) >= -back
        ),
    },
)
def check_window(length: int, block: int, back: int, ahead: int) -> np.ndarray:
    """Who may look at whom, (length, length): True where row i may look at column j."""
    distance = _blocks(length, block)
    return (distance >= -back) & (distance <= ahead)
