"""The scaling figure: the fits of the chapter, and a page that shows what Python computes."""

import json

import numpy as np
import pytest
from playwright.sync_api import expect

from dit_lesson.counting import PAPER_TABLE
from dit_lesson.figures.scaling import MODELS, ScalingFigure
from tests.browser import live_figures, table_rows


def test_the_twelve_models_and_the_published_correlation():
    figure = ScalingFigure()
    fid = np.array([fid for *_, fid in PAPER_TABLE.values()])
    assert np.corrcoef(figure.x(), fid)[0, 1] == pytest.approx(-0.93, abs=5e-3)  # DiT, figure 8
    figure.axis = "parameters"
    assert np.corrcoef(figure.x(), fid)[0, 1] == pytest.approx(-0.47, abs=5e-3)


def test_r_squared_is_that_of_least_squares_with_both_logarithms_at_the_best_power():
    figure = ScalingFigure()
    y = np.log10([fid for *_, fid in PAPER_TABLE.values()])
    figure.axis = "tokens"
    columns = np.stack([np.ones(12), ScalingFigure().x(), figure.x()], axis=1)
    weights, *_ = np.linalg.lstsq(columns, y)
    best = ScalingFigure(power=float(weights[2] / weights[1]))
    explained = 1 - (y - columns @ weights).var() / y.var()
    assert best.stages()["r2"] == pytest.approx(explained)
    assert ScalingFigure(power=0.5).stages()["r2"] < explained


def test_held_out_models_do_not_move_the_line():
    now = ScalingFigure(fitted="no XL").stages()
    predicted = 10 ** (now["y"] - np.log10(now["ratio"]))
    assert predicted[MODELS.index("XL/2")] == pytest.approx(24.7, abs=0.05)
    assert now["used"].sum() == 9
    assert ScalingFigure(fitted="no p = 8").stages()["used"].sum() == 8


def test_summary():
    assert "exponent -0.36, R squared 0.875" in ScalingFigure().summary()
    assert "GMAC · N^0.7" in ScalingFigure(power=0.7).summary()


@pytest.mark.needs_chromium
def test_page_equals_python(open_page):
    (figure,) = live_figures(open_page("16-scaling"))
    state = {}
    for label, name, value in (
        ("horizontal axis", "axis", "parameters"),
        ("line fitted on", "fitted", "no XL"),
        ("marked model", "model", "S/2"),
    ):
        figure.get_by_label(label, exact=True).select_option(json.dumps(value))
        state[name] = value
        now = ScalingFigure(**state).stages()
        rows = table_rows(figure)
        assert list(rows) == list(MODELS)
        assert [row[2] for row in rows.values()] == pytest.approx(list(now["ratio"]))
        ratio = now["ratio"][MODELS.index(state.get("model", "XL/8"))]
        said = expect(figure.get_by_role("status").last)
        said.to_contain_text(f"R² = {now['r2']:.3f}")
        said.to_contain_text(f"{ratio:.2f} times the FID")


@pytest.mark.needs_chromium
def test_a_click_marks_the_nearest_model(open_page):
    (figure,) = live_figures(open_page("16-scaling"))
    canvas = figure.locator("canvas").first
    box = canvas.bounding_box()
    canvas.click(position={"x": 0.97 * box["width"], "y": 0.9 * box["height"]})
    expect(figure.get_by_label("marked model", exact=True)).to_have_value('"XL/2"')
