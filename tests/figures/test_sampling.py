"""The figure of sampling: the digits of the page are those of Python, and overruling overrules."""

import numpy as np
import pytest
import torch
from playwright.sync_api import expect

from dit_lesson.checkpoints import load_model
from dit_lesson.evaluation import accuracy
from dit_lesson.figures.sampling import SEEDS, SamplingFigure
from dit_lesson.figures.training_assets import decoder, dit
from tests.browser import control, live_figures, open_fold, shows


def painted(**traits):
    return SamplingFigure(**traits).stages()["painted"]


def read(digit, **traits):
    """The share of the eight noises whose picture the judge reads as a digit."""
    pictures = np.stack([painted(digit=5, seed=seed, **traits) for seed in range(SEEDS)])
    images = torch.tensor(pictures, dtype=torch.float32)[:, None]
    return accuracy(images, torch.full((len(images),), digit))


def test_eight_bits_paint_the_digits_of_the_shipped_model():
    shipped = load_model("digits-dit").double().requires_grad_(False)
    small, x = dit("digits-dit"), torch.randn(8, 8, 4, 4, dtype=torch.float64)
    t, y = torch.linspace(0, 1000, 8), torch.arange(8)
    there, here = shipped(x, t, y), small(x, t, y)
    assert (here - there).square().mean() < 1e-3 * there.square().mean()
    assert read(5, steps=10) >= 7 / 8


def test_a_class_that_comes_early_is_painted_and_a_late_one_is_not():
    change = {"overrule": "change the class", "other": 0, "steps": 10}
    assert read(0, change_at=0.95, **change) >= 7 / 8
    assert read(5, change_at=0.05, **change) >= 7 / 8


def test_an_interval_of_all_times_and_no_interval_guide_alike():
    interval = {"overrule": "guide in an interval", "highest": 1.0}
    np.testing.assert_allclose(painted(lowest=0.0, **interval), painted(), rtol=0, atol=1e-12)
    empty = painted(overrule="guide in an interval", lowest=0.98, highest=0.96)
    np.testing.assert_allclose(empty, painted(guidance=1.0), rtol=0, atol=1e-12)


def test_a_muted_gate_has_size_zero_and_a_held_time_holds_all():
    muted = SamplingFigure(overrule="mute a branch", muted="attention of all blocks", steps=3)
    sizes = muted.stages()["sizes"].reshape(3, 2, 3, 3)
    assert (sizes[:, 0, 2] == 0).all() and (sizes[:, 1, 2] > 0).all()
    held = SamplingFigure(overrule="hold t", held=0.4, steps=3).stages()["sizes"]
    np.testing.assert_allclose(held, held[:, :1] * np.ones(3), rtol=1e-12)


def test_a_step_shows_its_latent_and_what_the_model_takes_it_for():
    walk = {"steps": 4, "sampler": "Heun"}
    for step in (0, 2, 4, 9):
        now, at = SamplingFigure(step=step, **walk).stages(), min(step, 4)
        assert now["step"] == at and now["times"][at] == 1 - at / 4
        latent = torch.tensor(now["latents"][at]).reshape(1, 8, 4, 4)
        with torch.no_grad():
            expected = decoder().from_latents(latent)[0, 0]
        np.testing.assert_allclose(now["painted"], expected, rtol=0, atol=1e-9)
        np.testing.assert_array_equal(now["taken"].ravel(), now["seen"][at])
    np.testing.assert_allclose(now["taken"], now["painted"], rtol=0, atol=1e-9)
    assert np.abs(painted(step=0) - painted(step=20)).mean() > 0.1


def test_one_step_is_one():
    said = SamplingFigure(steps=1).summary()
    assert ": 1 Euler step, 1 time at which the model is asked. After step 1, at t = 0.00" in said


def test_watching_leaves_the_model_as_it_was():
    before = painted()
    painted(overrule="mute a branch", muted="MLP of all blocks")
    np.testing.assert_array_equal(painted(), before)


# On the built page


def compare(figure, traits):
    shows(figure, SamplingFigure(**traits), ("sizes", "painted"), atol=1e-4)


@pytest.mark.needs_chromium
def test_a_step_is_chosen_on_the_axis_and_in_every_row(open_page):
    """The slider ends at the last step, and stands under the middle of the column it chooses."""
    (figure,) = live_figures(open_page("14-sampling"))
    axis, rows = control(figure, "step, from noise"), figure.locator("canvas.dit-pick")
    thumb = 16
    for steps in (20, 5):
        control(figure, "steps$").fill(str(steps))
        expect(axis).to_have_attribute("max", str(steps))
        expect(axis).to_have_value(str(steps))
        track = axis.bounding_box()
        for row in rows.all():
            box = row.bounding_box()
            column = box["width"] / (steps + 1)
            assert abs(track["x"] + thumb / 2 - box["x"] - column / 2) < 1
            assert abs(track["width"] - thumb - steps * column) < 2
    for step, row in ((1, 0), (3, 1), (0, 2)):
        box = rows.nth(row).bounding_box()
        rows.nth(row).click(position={"x": (step + 0.5) * box["width"] / 6, "y": 5})
        expect(axis).to_have_value(str(step))
        compare(figure, {"steps": 5, "step": step})
    axis.press("End")
    control(figure, "steps$").fill("1")  # a step beyond the last is the last
    expect(axis).to_have_value("1")
    compare(figure, {"steps": 1, "step": 5})
    axis.press("ArrowLeft")
    compare(figure, {"steps": 1, "step": 0})


@pytest.mark.needs_chromium
def test_values_equal_python(open_page):
    (figure,) = live_figures(open_page("14-sampling"))
    compare(figure, {})
    figure.get_by_label("digit", exact=True).select_option("3")
    open_fold(figure)
    figure.get_by_label("sampler").select_option('"Heun"')
    compare(figure, {"digit": 3, "sampler": "Heun"})
    figure.get_by_role("button", name="change the class").click()
    compare(
        figure, {"digit": 3, "sampler": "Heun", "overrule": "change the class", "change_at": 0.65}
    )
    figure.get_by_role("button", name="reset").click()
    compare(figure, {})
