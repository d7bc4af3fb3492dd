"""The in-context figure: its module equals Python, whose numbers come from the trained model."""

import numpy as np
import pytest
import torch

from dit_lesson.figures import in_context
from dit_lesson.figures.in_context import InContextFigure
from tests.browser import live_figures, open_fold, table_rows

STATES = [
    {},
    {"t": 0, "y": 2, "block": 1, "head": 3, "picture_of": 2},
    {"t": 999, "y": 10, "block": 2},
    {"t": 640, "y": 3, "block": 2, "head": 1, "picture_of": 9},
]


def shown_numbers(figure):
    """The rows of the table: shares to time and class, and from them."""
    shares = figure.stages()["shares"]
    return np.column_stack([shares[:, -2:], shares[-2:].T])


@pytest.mark.parametrize("traits", STATES)
def test_every_token_shares_out_one(traits):
    shares = InContextFigure(**traits).stages()["shares"]
    assert shares.shape == (18, 18) and (shares > 0).all()
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-12)


def test_first_block_does_not_know_the_class_beyond_its_token():
    """Among image and time tokens only the shared total changes in block 0, not the ratios."""
    three, seven = (InContextFigure(y=y, head=0).stages()["shares"][:-1, :-1] for y in (3, 7))
    three, seven = (shares / shares.sum(axis=1, keepdims=True) for shares in (three, seven))
    np.testing.assert_allclose(three, seven, rtol=0, atol=1e-12)


def test_the_model_is_the_one_of_the_card():
    trained = in_context.model()
    assert trained.config.conditioning == "in-context"
    assert trained.y_embedder.null_class == in_context.NULL_CLASS
    assert len(trained.blocks) == in_context.DEPTH
    assert not any(torch.isnan(p).any() for p in trained.parameters())


@pytest.mark.needs_chromium
def test_the_page_shows_what_python_computes(open_page):
    figure = live_figures(open_page("07-in-context-conditioning"))[0]
    for button, traits in (
        ("almost noise", {"t": 950}),
        ("a wrong class", {"y": 3}),
        ("reset", {}),
    ):
        figure.get_by_role("button", name=button).click()
        expected = shown_numbers(InContextFigure(**traits))
        np.testing.assert_allclose(list(table_rows(figure).values()), expected, rtol=0, atol=1e-4)
    open_fold(figure)
    figure.get_by_label("head").select_option(label="2")
    expected = shown_numbers(InContextFigure(head=2))
    np.testing.assert_allclose(list(table_rows(figure).values()), expected, rtol=0, atol=1e-4)
