"""The checkers of the adaLN-Zero chapter name each usual mistake."""

import re

import numpy as np
import pytest
import torch

from dit_lesson.checks import adaln_zero as check
from dit_lesson.models import DiT, DiTConfig
from dit_lesson.numpy_dit import layer_norm


def block(
    x, chunks, attention, mlp, one=1.0, gates=True, keep="x", last="mlp", swap=False, old=False
):
    b1, g1, a1, b2, g2, a2 = np.split(chunks[:, None], 6, axis=-1)
    first = x
    for b, g, a, branch in ((b1, g1, a1, attention), (b2, g2, a2, mlp)):
        if branch is mlp and last == "attention":
            branch = attention
        if swap:
            b, g = g, b
        normed = layer_norm(first if old else x) * (one + g) + b
        kept = {"x": x, "normed": normed, "none": 0}[keep]
        x = kept + (a if gates else 1) * branch(normed)
    return x


@pytest.mark.parametrize(
    ("mistake", "sentence"),
    [
        ({}, "right"),
        ({"keep": "normed"}, "untouched x"),
        ({"keep": "none"}, "residual is missing"),
        ({"last": "attention"}, "calls attention again"),
        ({"gates": False}, "gates are missing"),
        ({"one": 0.0}, r"1 \+ is missing"),
        ({"swap": True}, "swapped"),
        ({"old": True}, "from before attention"),
    ],
)
def test_block_mistakes_are_named(mistake, sentence, capsys):
    check.check_block(lambda *a: block(*a, **mistake))
    assert re.search(sentence, capsys.readouterr().out)


def test_chunks_in_another_order_are_named(capsys):
    for order, sentence in (((2, 0, 1, 5, 3, 4), "gate-first"), ((0, 1, 4, 2, 3, 5), "pairs")):

        def shuffled(x, chunks, attention, mlp, order=order):
            pieces = np.split(chunks, 6, axis=-1)
            given = np.concatenate([pieces[i] for i in order], axis=-1)
            return block(x, given, attention, mlp)

        check.check_block(shuffled)
        assert sentence in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ((1, 2, 2), "right"),
        ((2, 3, 3), "zero final layer"),
        ((1, 1, 1), "behind its gate"),
        ((1, 2, 1), "through the modulation"),
        ((1, 2, 3), "move in step 1"),
        ((1, 1, 2), "The order is gates"),
        ((3, 2, 1), "expected"),
    ],
)
def test_wake_up_answers(answer, sentence, capsys):
    check.check_wake_up(lambda: answer)
    assert sentence in capsys.readouterr().out


def test_the_checked_wake_up_is_what_a_model_does():
    """With a final layer that is not zero: gates first, the rest one backward pass later."""
    torch.manual_seed(0)
    model = DiT(DiTConfig(input_size=4, hidden_size=16, depth=2, num_heads=2, num_classes=10))
    torch.nn.init.normal_(model.final_layer.linear.weight)
    x, t, y = torch.randn(8, 4, 4, 4), torch.arange(8), torch.arange(8)
    awake = []
    for _ in range(2):
        model.zero_grad()
        model(x, t, y).square().mean().backward()
        block = model.blocks[0]
        gates = [block.adaLN_modulation[1].weight.grad.chunk(6)[i].any() for i in (2, 5)]
        table = model.y_embedder.embedding_table.weight.grad.any()
        awake.append((all(gates), bool(block.attn.qkv.weight.grad.any()), bool(table)))
        with torch.no_grad():
            for p in model.parameters():
                p -= 0.1 * p.grad
    assert awake == [(True, False, False), (True, True, True)]
