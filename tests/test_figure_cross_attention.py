"""The look-up figure: its module equals Python, whose numbers come from the trained model."""

import base64

import numpy as np
import pytest
import torch

from dit_lesson.checkpoints import WEIGHTS, load_weights
from dit_lesson.figures import cross_attention
from dit_lesson.figures.cross_attention import CrossAttentionFigure
from tests import javascript
from tests.browser import browser, site
from tests.test_figures_page import live_figures, open_page, table_rows

__all__ = ["browser", "open_page", "site"]

STATES = [
    {},
    {"t": 0, "block": 0, "head": 3, "picture_of": 2},
    {"t": 1.0, "block": 1, "weight": "thin", "slant": "upright", "name": "zero"},
    {"t": 0.64, "head": 1, "name": "three", "picture_of": 9},
]


@pytest.mark.needs_node
@pytest.mark.parametrize("traits", STATES)
def test_module_equals_python(traits):
    figure = CrossAttentionFigure(**traits)
    (result,) = javascript.call("cross_attention", [("stages", figure.state())])
    # torch takes the angles of the time step in float32, as the released model does
    tolerance = 1e-5 if figure.t < 0.1 else 1e-4
    np.testing.assert_allclose(result, figure.stages(), rtol=0, atol=tolerance)


@pytest.mark.needs_node
def test_weights_are_read_from_the_file_as_it_is():
    file = (WEIGHTS / f"{cross_attention.NAME}.safetensors").read_bytes()
    text = base64.b64encode(file).decode()
    (tensors,) = javascript.call("core", [("readWeights", text)])
    expected = load_weights(cross_attention.NAME)
    assert set(tensors) == set(expected)
    for name, value in tensors.items():
        first = len(expected[name])
        flat = expected[name].reshape(first, -1) if expected[name].ndim > 1 else expected[name]
        np.testing.assert_array_equal(np.asarray(value), flat.numpy())


def test_rounding_moves_no_weight_by_more_than_half_a_step():
    shipped, rounded = load_weights(cross_attention.NAME), cross_attention.model().state_dict()
    for name, (_, step, _) in cross_attention.weights().items():
        assert (rounded[name] - shipped[name]).abs().max() <= step / 2 * 1.001


@pytest.mark.needs_node
def test_half_floats_equal_numpy():
    bits = [0, 1, 0x03FF, 0x0400, 0x3C00, 0xBC00, 0x7BFF, 0x8001, 0x3555]
    results = javascript.call("core", [("halfFloat", value) for value in bits])
    expected = np.array(bits, np.uint16).view(np.float16).astype(float)
    np.testing.assert_array_equal(results, expected)


@pytest.mark.parametrize("traits", STATES)
def test_every_token_shares_out_one(traits):
    maps = CrossAttentionFigure(**traits).stages()
    assert maps.shape == (5, 16) and (maps > 0).all()
    np.testing.assert_allclose(maps.sum(axis=0), 1, atol=1e-12)


def test_the_model_is_the_one_of_the_card():
    """The figure's words have the places that the encoder gives them."""
    index = cross_attention.model().y_embedder.encode(["a bold tilted seven"])
    assert index.tolist() == [[1, 3, 5, 13]]
    assert not any(torch.isnan(p).any() for p in cross_attention.model().parameters())


@pytest.mark.needs_chromium
def test_the_page_shows_what_python_computes(open_page):
    figure = live_figures(open_page("08-cross-attention", "file"))[0]
    for button, traits in (
        ("almost noise", {"t": 0.95}),
        ("a wrong name", {"t": 0.95, "name": "three"}),
        ("reset", {}),
    ):
        figure.get_by_role("button", name=button).click()
        expected = CrossAttentionFigure(**traits).stages().T
        np.testing.assert_allclose(list(table_rows(figure).values()), expected, rtol=0, atol=1e-4)
    figure.get_by_label("head").select_option(label="2")
    shown = list(table_rows(figure).values())
    np.testing.assert_allclose(shown, CrossAttentionFigure(head=2).stages().T, atol=1e-4)
