"""The gate figure: its module equals Python, and Python equals the block of the book."""

import re

import numpy as np
import pytest
from playwright.sync_api import expect

from dit_lesson.figures.adaln_zero import NUM_HEADS, AdaLNZeroFigure
from dit_lesson.numpy_dit import adaln_zero_block
from tests import javascript
from tests.browser import browser, site
from tests.test_figures_page import live_figures, open_page, table_rows

__all__ = ["browser", "open_page", "site"]

STATES = [
    {},
    {"gate_msa": 0.0, "gate_mlp": 0.0, "shift_msa": 1.5, "scale_mlp": -2.0},
    {"gate_msa": -1.3, "gate_mlp": 2.0, "shift_mlp": 0.4, "scale_msa": 0.7, "digit": 8},
]


@pytest.mark.needs_node
@pytest.mark.parametrize("traits", STATES)
def test_module_equals_python(traits):
    figure = AdaLNZeroFigure(**traits)
    (result,) = javascript.call("adaln_zero", [("stages", figure.state())])
    np.testing.assert_allclose(result, np.stack(figure.stages()), rtol=0, atol=1e-5)


@pytest.mark.parametrize("traits", STATES)
def test_python_equals_the_block_of_the_book(traits):
    figure = AdaLNZeroFigure(**traits)
    weights = {name: np.asarray(value) for name, value in figure.block.items()}
    order = [f"{role}_{branch}" for branch in ("msa", "mlp") for role in ("shift", "scale", "gate")]
    weights["adaLN_modulation.1.weight"] = np.zeros((96, 16))
    weights["adaLN_modulation.1.bias"] = np.repeat([getattr(figure, name) for name in order], 16)
    x, *_, out = figure.stages()
    expected = adaln_zero_block(x[None], np.zeros((1, 16)), weights, NUM_HEADS)[0]
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-12)


def test_closed_gates_are_the_identity_bit_for_bit():
    x, *_, out = AdaLNZeroFigure(**STATES[1]).stages()
    assert np.array_equal(x, out)


@pytest.mark.needs_chromium
def test_the_page_says_identity_and_shows_the_numbers(open_page):
    figure = live_figures(open_page("10-adaln-zero", "file"))[0]
    figure.get_by_role("button", name="attention only").click()
    python = AdaLNZeroFigure(gate_msa=1.0, gate_mlp=0.0)
    expected = [stage[python.token] for stage in python.stages()]
    np.testing.assert_allclose(list(table_rows(figure).values()), expected, rtol=0, atol=1e-5)
    figure.get_by_role("button", name="reset").click()
    rows = table_rows(figure)
    assert rows["x out"] == rows["tokens x"]
    expect(figure.get_by_role("status")).to_contain_text("bit for bit")
    figure.get_by_role("slider", name=re.compile("gate, MLP")).press("ArrowRight")
    assert table_rows(figure)["x out"] != rows["tokens x"]
