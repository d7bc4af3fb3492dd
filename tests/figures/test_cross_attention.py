"""The look-up figure: its module equals Python, whose numbers come from the trained model."""

import numpy as np
import pytest
import torch

from dit_lesson.figures import cross_attention
from dit_lesson.figures.cross_attention import CrossAttentionFigure
from tests.browser import live_figures, table_rows

STATES = [
    {},
    {"t": 0, "block": 0, "head": 3, "picture_of": 2},
    {"t": 999, "block": 1, "weight": "thin", "slant": "upright", "name": "zero"},
    {"t": 640, "head": 1, "name": "three", "picture_of": 9},
]


@pytest.mark.parametrize("traits", STATES)
def test_every_token_shares_out_one(traits):
    maps = CrossAttentionFigure(**traits).stages()["maps"]
    assert maps.shape == (5, 16) and (maps > 0).all()
    np.testing.assert_allclose(maps.sum(axis=0), 1, atol=1e-12)


def test_the_model_is_the_one_of_the_card():
    """The figure's words have the places that the encoder gives them."""
    index = cross_attention.model().y_embedder.encode(["a bold tilted seven"])
    assert index.tolist() == [[1, 3, 5, 13]]
    assert not any(torch.isnan(p).any() for p in cross_attention.model().parameters())


@pytest.mark.needs_chromium
def test_the_page_shows_what_python_computes(open_page):
    figure = live_figures(open_page("08-cross-attention"))[0]
    for button, traits in (
        ("almost noise", {"t": 950}),
        ("a wrong name", {"name": "three"}),
        ("reset", {}),
    ):
        figure.get_by_role("button", name=button).click()
        expected = CrossAttentionFigure(**traits).stages()["maps"].T
        np.testing.assert_allclose(list(table_rows(figure).values()), expected, rtol=0, atol=1e-4)
    figure.get_by_label("head").select_option(label="2")
    shown = list(table_rows(figure).values())
    np.testing.assert_allclose(shown, CrossAttentionFigure(head=2).stages()["maps"].T, atol=1e-4)
