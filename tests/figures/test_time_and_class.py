"""The time step figure: its module equals Python, and the numbers it counts are right."""

import numpy as np
import pytest

from dit_lesson.figures.time_and_class import TimestepFigure
from tests.browser import live_figures, table_rows


def test_most_dimensions_are_dead_when_t_goes_from_0_to_1():
    assert TimestepFigure().alive() > 200 > 60 > TimestepFigure(unit="one").alive()


@pytest.mark.needs_chromium
def test_values_on_the_page_equal_python(open_page):
    figure = live_figures(open_page("06-time-and-class"))[0]
    figure.get_by_label("class y").select_option("10")
    figure.get_by_role("button", name="t = 0").click()
    expected = TimestepFigure(t=0, label=10).condition()
    np.testing.assert_allclose(list(table_rows(figure).values()), expected, rtol=0, atol=1e-5)
