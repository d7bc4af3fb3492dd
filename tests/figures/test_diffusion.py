"""The diffusion figure: its module equals Python, and so does what the page shows."""

import numpy as np
import pytest

from dit_lesson.figures.diffusion import DiffusionFigure
from tests.browser import control, live_figures, table_rows


def test_ends_of_the_schedules():
    def left(t, schedule):
        return DiffusionFigure(t=t, schedule=schedule).stages()["alphaBar"]

    assert left(0, "full") > 0.9998 and left(999, "full") < 1e-4
    assert left(999, "short") == pytest.approx(0.364, abs=0.001)
    assert left(999, "rescaled") < 1e-4


def test_time_both_ways():
    now = DiffusionFigure(t=259).stages()
    assert now["flowTime"] == pytest.approx(0.5, abs=0.005)
    assert np.array_equal(now["noiseAtOne"], -now["noiseAtZero"])
    sides = np.sqrt(now["alphaBar"]) + np.sqrt(1 - now["alphaBar"])
    np.testing.assert_allclose(now["mixed"] / sides, now["straight"], atol=1e-12)


@pytest.mark.parametrize("target", ["noise", "data", "velocity"])
def test_what_is_asked_for_stays_as_time_goes(target):
    early, late = (DiffusionFigure(t=t, target=target).stages() for t in (10, 900))
    assert np.array_equal(early["target"], late["target"])
    assert not np.allclose(early["mixed"], late["mixed"])


def test_summary_holds_the_numbers():
    said = DiffusionFigure(t=999, schedule="short").summary()
    assert "step 99 of 100 steps, not rescaled" in said and "36.4%" in said


@pytest.fixture
def diffusion(open_page):
    return live_figures(open_page("02-diffusion"))[0]


def compare(figure, python):
    now = python.stages()
    kept = now["alphaBar"]
    pixel = [now[name][8][8] for name in ("data", "noise", "mixed")]
    flow = [now["flowTime"], 1 - now["flowTime"]]
    expected = [kept, kept**0.5, (1 - kept) ** 0.5, now["snr"], *flow, *pixel]
    shown = np.ravel(list(table_rows(figure).values()))
    np.testing.assert_allclose(shown, expected, rtol=1e-5, atol=1e-9)


@pytest.mark.needs_chromium
def test_page_values_equal_python(diffusion):
    compare(diffusion, DiffusionFigure())
    control(diffusion, "time step").press("End")
    diffusion.get_by_label("schedule").select_option('"short"')
    compare(diffusion, DiffusionFigure(t=999, schedule="short"))
    diffusion.get_by_role("button", name="reset").click()
    diffusion.get_by_label("digit").select_option("7")
    compare(diffusion, DiffusionFigure(digit=7))
