"""The time step figure: its module equals Python, and the numbers it counts are right."""

import numpy as np
import pytest

from dit_lesson.figures.timestep import TimestepFigure
from tests import javascript
from tests.browser import browser, site
from tests.test_figures_page import live_figures, open_page, table_rows

__all__ = ["browser", "open_page", "site"]


@pytest.mark.needs_node
@pytest.mark.parametrize(
    "traits",
    [{}, {"t": 0, "label": 10}, {"t": 999, "unit": "one", "dimension": 255}, {"dimension": 128}],
)
def test_module_equals_python(traits):
    figure = TimestepFigure(**traits)
    (result,) = javascript.call("timestep", [("stages", figure.state())])
    expected = figure.embedding(np.array([figure.t]))[0]
    np.testing.assert_allclose(result["embedding"], expected, rtol=0, atol=1e-5)
    for name, vector in zip(("time", "label", "c"), figure.condition(), strict=True):
        np.testing.assert_allclose(result[name], vector, rtol=0, atol=1e-5)
    assert result["alive"] == figure.alive()


def test_most_dimensions_are_dead_when_t_goes_from_0_to_1():
    assert TimestepFigure().alive() > 200 > 60 > TimestepFigure(unit="one").alive()


@pytest.mark.needs_chromium
def test_values_on_the_page_equal_python(open_page):
    figure = live_figures(open_page("06-time-and-class", "file"))[0]
    figure.get_by_label("class y").select_option("10")
    figure.get_by_role("button", name="t = 0").click()
    expected = TimestepFigure(t=0, label=10).condition()
    np.testing.assert_allclose(list(table_rows(figure).values()), expected, rtol=0, atol=1e-5)
