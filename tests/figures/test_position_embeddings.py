"""The position figure: its module equals Python, its geometry holds, its controls steer it."""

import re

import numpy as np
import pytest
import traitlets
from playwright.sync_api import expect

from dit_lesson.figures.position_embeddings import ROWS, PositionsFigure
from dit_lesson.positions import sincos_1d, sincos_2d
from tests.browser import control, live_figures, open_fold, table_rows

STATES = [
    {},
    {"kind": "row first", "row": 0, "column": 0},
    {"kind": "1-D", "hidden_size": 4, "log_period": 0.7, "row": 7},
    {"kind": "bug", "columns": 5},
    {"kind": "bug", "columns": 8, "hidden_size": 64},
    {"columns": 4, "column": 11},
]


def test_table_with_the_period_of_dit_is_that_of_the_package():
    figure = PositionsFigure(log_period=4.0)
    expected = sincos_2d(figure.hidden_size, ROWS, figure.columns)
    np.testing.assert_array_equal(figure.table(), expected)


@pytest.mark.parametrize("state", STATES)
def test_similarity_is_one_with_itself_and_nowhere_larger(state):
    figure = PositionsFigure(**state)
    similarity = figure.similarity().ravel()
    assert similarity[figure.token()] == pytest.approx(1)
    assert similarity.max() <= 1 + 1e-12


def test_the_bug_is_harmless_on_a_square_only():
    for columns, harmless in ((ROWS, True), (12, False)):
        wrong, right = (
            PositionsFigure(kind=kind, columns=columns).similarity()
            for kind in ("bug", "column first")
        )
        assert np.allclose(wrong, right) == harmless


def test_the_order_of_the_halves_changes_no_similarity():
    column_first, row_first = (PositionsFigure(kind=kind) for kind in ("column first", "row first"))
    assert not np.array_equal(column_first.table(), row_first.table())
    np.testing.assert_allclose(column_first.similarity(), row_first.similarity(), atol=1e-12)


def test_the_period_reaches_the_clocks():
    np.testing.assert_allclose(
        sincos_1d([3], 4, period=100)[0], [*np.sin([3, 0.3]), *np.cos([3, 0.3])]
    )
    assert not np.allclose(sincos_2d(8, 2, 3), sincos_2d(8, 2, 3, period=100))
    with pytest.raises(ValueError, match="period is 1.0, expected a number above 1"):
        sincos_1d([3], 4, period=1.0)


@pytest.mark.parametrize(
    ("trait", "value"),
    [("hidden_size", 30), ("hidden_size", 68), ("columns", 13), ("row", 8), ("kind", "2-D")],
)
def test_traits_refuse_what_no_control_can_set(trait, value):
    with pytest.raises(traitlets.TraitError, match=trait):
        PositionsFigure(**{trait: value})


@pytest.fixture
def positions(open_page):
    (figure,) = live_figures(open_page("05-position-embeddings"))
    open_fold(figure)
    return figure


def compare(figure, traits):
    rows = table_rows(figure)
    expected = PositionsFigure(**traits).similarity()
    np.testing.assert_allclose(list(rows.values()), expected, rtol=0, atol=1e-5)


@pytest.mark.needs_chromium
def test_values_on_the_page_equal_python(positions):
    compare(positions, {})
    control(positions, "width").press("Home")
    control(positions, "row y").press("End")
    compare(positions, {"hidden_size": 4, "row": 7})
    positions.get_by_label("embedding").select_option('"1-D"')
    control(positions, "log").press("ArrowLeft")
    compare(positions, {"hidden_size": 4, "row": 7, "kind": "1-D", "log_period": 0.6})


@pytest.mark.needs_chromium
def test_a_place_is_chosen_on_the_grid_and_in_the_table(positions):
    grid = positions.locator("canvas").first
    box = grid.bounding_box()
    grid.click(position={"x": box["width"] - 4, "y": box["height"] - 4})
    expect(control(positions, "row y")).to_have_value("7")
    expect(control(positions, "column x")).to_have_value("11")
    compare(positions, {"row": 7, "column": 11})


@pytest.mark.needs_chromium
def test_fewer_columns_keep_the_token_on_the_grid(positions):
    control(positions, "column x").press("End")
    control(positions, "^columns").press("Home")
    compare(positions, {"column": 11, "columns": 4})
    expect(positions.get_by_role("status").last).to_contain_text(re.compile(r"row 3, column 3\b"))
