"""The adaptive layer norm figure: what scale and shift do, in Python and on the page."""

import re

import numpy as np
import pytest
from playwright.sync_api import expect

from dit_lesson.figures.adaptive_layer_norm import AdaptiveLayerNormFigure
from tests.browser import control, live_figures, table_rows


def test_at_zero_it_is_layer_norm():
    now = AdaptiveLayerNormFigure(scale=0.0, shift=0.0).stages()
    assert np.array_equal(now["normalised"], now["scaled"])
    assert np.array_equal(now["normalised"], now["modulated"])


def test_a_scale_of_minus_one_erases():
    now = AdaptiveLayerNormFigure(scale=-1.0, shift=0.5).stages()
    assert np.array_equal(now["modulated"], np.full((16, 16), 0.5))


def test_one_feature_changes_one_column():
    now = AdaptiveLayerNormFigure(feature=4).stages()
    changed = (now["normalised"] != now["modulated"]).any(axis=0)
    assert changed.tolist() == [column == 4 for column in range(16)]


# On the built page


@pytest.fixture
def adaptive(open_page):
    (figure,) = live_figures(open_page("09-adaptive-layer-norm"))
    return figure


def compare(figure, traits):
    python = AdaptiveLayerNormFigure(**traits)
    now = python.stages()
    names = ("tokens", "normalised", "scale", "scaled", "shift", "modulated")
    expected = [now[n] if now[n].ndim == 1 else now[n][python.token] for n in names]
    np.testing.assert_allclose(list(table_rows(figure).values()), expected, rtol=0, atol=1e-5)


@pytest.mark.needs_chromium
def test_values_equal_python(adaptive):
    compare(adaptive, {})
    for _ in range(3):
        control(adaptive, "scale").press("ArrowRight")
    control(adaptive, "token").press("End")
    compare(adaptive, {"scale": 0.95, "token": 15})
    adaptive.get_by_label("acts on").select_option("5")
    compare(adaptive, {"scale": 0.95, "token": 15, "feature": 5})


@pytest.mark.needs_chromium
def test_condition_values_equal_python(adaptive):
    adaptive.get_by_label("set by").select_option('"condition"')
    control(adaptive, "time step").press("Home")
    adaptive.get_by_label("class y").select_option("8")
    compare(adaptive, {"mode": "condition", "t": 0, "label": 8})
    assert not adaptive.get_by_label("acts on").is_visible()


@pytest.mark.needs_chromium
def test_reset_to_identity_leaves_layer_norm(adaptive):
    adaptive.get_by_role("button", name="reset to identity").click()
    rows = table_rows(adaptive)
    assert rows["after shift"] == rows["LN(x)"]


@pytest.mark.needs_chromium
def test_a_row_and_a_patch_can_be_chosen_by_pointer(adaptive):
    adaptive.locator("canvas").first.click(position={"x": 2, "y": 2})
    expect(control(adaptive, "token")).to_have_value("0")
    heatmap = adaptive.locator("canvas.dit-square").nth(2)
    heatmap.click(position={"x": 5, "y": heatmap.bounding_box()["height"] - 3})
    expect(control(adaptive, "token")).to_have_value("15")


@pytest.mark.needs_chromium
def test_a_typed_number_goes_to_the_nearest_step_of_the_range(adaptive):
    box = adaptive.get_by_role("textbox", name=re.compile("scale"))
    cases = {"": "0.8", "x": "0.8", "9": "2", "0,5": "0.5", "-0.33": "-0.35", "−1": "-1"}
    for typed, value in cases.items():
        adaptive.get_by_role("button", name="reset", exact=True).click()
        box.fill(typed)
        expect(control(adaptive, "scale")).to_have_value(value)
        box.blur()
        expect(box).to_have_value(value)
