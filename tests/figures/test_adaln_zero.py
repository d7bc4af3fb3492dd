"""The gate figure: its module equals Python, and Python equals the block of the book."""

import numpy as np
import pytest
from playwright.sync_api import expect

from dit_lesson.figures.adaln_zero import NUM_HEADS, STAGES, AdaLNZeroFigure
from dit_lesson.numpy_dit import block
from tests.browser import control, live_figures, table_rows

STATES = [
    {},
    {"gate_msa": 0.0, "gate_mlp": 0.0, "shift_msa": 1.5, "scale_mlp": -2.0},
    {"gate_msa": -1.3, "gate_mlp": 2.0, "shift_mlp": 0.4, "scale_msa": 0.7, "digit": 8},
]


@pytest.mark.parametrize("traits", STATES)
def test_python_equals_the_block_of_the_book(traits):
    figure = AdaLNZeroFigure(**traits)
    weights = {name: np.asarray(value) for name, value in figure.given["block"].items()}
    order = [f"{role}_{branch}" for branch in ("msa", "mlp") for role in ("shift", "scale", "gate")]
    weights["adaLN_modulation.1.weight"] = np.zeros((96, 16))
    weights["adaLN_modulation.1.bias"] = np.repeat([getattr(figure, name) for name in order], 16)
    now = figure.stages()
    x, out = now["x"], now["out"]
    expected = block(x[None], np.zeros((1, 16)), weights, NUM_HEADS)[0]
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-12)


def test_closed_gates_are_the_identity_bit_for_bit():
    now = AdaLNZeroFigure(**STATES[1]).stages()
    assert np.array_equal(now["x"], now["out"])


@pytest.mark.needs_chromium
def test_the_page_says_identity_and_shows_the_numbers(open_page):
    figure = live_figures(open_page("10-adaln-zero"))[0]
    figure.get_by_role("button", name="attention only").click()
    python = AdaLNZeroFigure(gate_msa=1.0, gate_mlp=0.0)
    now = python.stages()
    expected = [now[name][python.token] for name in STAGES]
    np.testing.assert_allclose(list(table_rows(figure).values()), expected, rtol=0, atol=1e-5)
    figure.get_by_role("button", name="reset to identity").click()
    rows = table_rows(figure)
    assert rows["x out"] == rows["tokens x"]
    expect(figure.get_by_role("status").last).to_contain_text("bit for bit")
    control(figure, "gate").last.press("ArrowRight")
    assert table_rows(figure)["x out"] != rows["tokens x"]
