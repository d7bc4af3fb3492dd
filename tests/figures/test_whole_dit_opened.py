"""The opened DiT: its parts add up to the model's answer, and the page says what Python says."""

import numpy as np
import pytest
import torch

from dit_lesson.figures.training_assets import decoder, dit
from dit_lesson.figures.whole_dit_opened import BRANCHES, WholeDiTOpenedFigure
from tests.browser import live_figures, open_fold, table_rows

STATE = {"digit": 3, "seed": 2, "step": 13, "token": 6}


def answer_of_torch(figure, shut=None):
    """The shipped DiT's answer (8, 4, 4) at the figure's place, one gate set to zero."""
    model, (x, t) = dit("digits-dit"), figure._underway()
    hooks = []
    if shut is not None:
        block, gate = shut // 2, (2, 5)[shut % 2]

        def close(_, __, vectors):
            return tuple(0 * v if i == gate else v for i, v in enumerate(vectors))

        hooks = [model.blocks[block].adaLN_modulation.register_forward_hook(close)]
    answer = model(torch.from_numpy(x), torch.tensor([1000 * t]), torch.tensor([figure.digit]))
    for hook in hooks:
        hook.remove()
    return answer[0]


def test_what_the_digit_is_taken_for_is_the_models_answer():
    figure = WholeDiTOpenedFigure(**STATE)
    x, t = figure._underway()
    clean = torch.from_numpy(x) - t * answer_of_torch(figure)
    expected = decoder().from_latents(clean)[0, 0]
    np.testing.assert_allclose(figure.stages()["taken"], expected, atol=1e-5)


def test_effects_are_those_of_shut_gates_in_torch():
    figure = WholeDiTOpenedFigure(**STATE)
    as_is, *shut = [
        answer_of_torch(figure, shut).flatten(1)[:, figure.token] for shut in (None, *range(6))
    ]
    expected = [(one - as_is).norm() / as_is.norm() for one in shut]
    np.testing.assert_allclose(figure.stages()["effects"], expected, rtol=1e-4)


def test_ended_after_the_last_branch_nothing_is_missing():
    last = WholeDiTOpenedFigure(**STATE, branch=BRANCHES[-1]).stages()
    np.testing.assert_allclose(last["ended"], last["taken"], atol=1e-12)
    first = WholeDiTOpenedFigure(**STATE, branch=BRANCHES[0]).stages()
    assert np.abs(first["ended"] - first["taken"]).max() > 0.5


@pytest.mark.parametrize("block", range(3))
def test_heads_look_everywhere_once_and_their_moves_make_the_branch(block):
    """What four heads and the bias add to the token is what the branch adds in torch."""
    figure = WholeDiTOpenedFigure(**STATE, branch=f"attention {block}")
    now = figure.stages()
    np.testing.assert_allclose(now["looks"].sum(axis=1), 1, atol=1e-9)
    model, seen = dit("digits-dit"), {}
    attention = model.blocks[block].attn
    hooks = [
        attention.proj.register_forward_pre_hook(lambda _, inputs: seen.update(heads=inputs[0])),
        model.blocks[block].register_forward_pre_hook(lambda _, inputs: seen.update(x=inputs[0])),
        model.blocks[block].adaLN_modulation.register_forward_hook(
            lambda _, __, vectors: seen.update(gate=vectors[2])
        ),
    ]
    answer_of_torch(figure)
    for hook in hooks:
        hook.remove()
    width = model.config.hidden_size // 4
    heads = seen["heads"][0, figure.token]
    for head, move in enumerate(now["moves"]):
        columns = slice(head * width, (head + 1) * width)
        added = seen["gate"][0] * (attention.proj.weight[:, columns] @ heads[columns])
        assert move == pytest.approx((added.norm() / seen["x"][0, figure.token].norm()).item())


@pytest.mark.needs_chromium
def test_values_equal_python(open_page):
    _, figure = live_figures(open_page("12-whole-dit"))
    open_fold(figure)
    figure.get_by_label("digit", exact=True).select_option("3")
    figure.get_by_role("button", name="MLP 1").click()
    now = WholeDiTOpenedFigure(digit=3, branch="MLP 1").stages()
    rows = table_rows(figure)
    assert list(rows) == list(BRANCHES)
    expected = np.stack([now["effects"], now["gates"]], axis=1)
    np.testing.assert_allclose(list(rows.values()), expected, rtol=0, atol=1e-4)
