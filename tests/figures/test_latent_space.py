"""The figure of latent space: its module and its page show what the Python class computes."""

import numpy as np
import pytest
import torch

from dit_lesson.checkpoints import load_model
from dit_lesson.figures import samples
from dit_lesson.figures.latent_space import LatentSpaceFigure, greyness
from tests.browser import control, live_figures, shows


def test_the_weights_of_the_page_are_those_that_ship():
    """Half precision and rounded latents change no grey level that one could see."""
    shipped = load_model("autoencoder-8x8x4")
    latents = torch.tensor(samples.latents("test"))
    there = shipped.from_latents(latents.float()).numpy()
    here = samples.autoencoder().from_latents(latents).numpy()
    np.testing.assert_allclose(here, there, rtol=0, atol=0.01)


def test_ends_of_the_walk_are_the_digits():
    figure = LatentSpaceFigure(position=0.0)
    start = figure.stages()["decoded"]
    assert ((figure.stages()["pixels"] - start) ** 2).mean() < 0.03
    figure.first, figure.second, figure.position = figure.second, figure.first, 1.0
    np.testing.assert_allclose(figure.stages()["decoded"], start, rtol=0, atol=1e-12)
    figure.position = 0.5
    pixels, decoded = figure.stages()["grey"]
    assert decoded < pixels


def test_greyness():
    assert greyness(np.array([[1.0, -1.0, 3.0]])) == 0
    assert greyness(np.array([[0.0, 0.5]])) == 0.75


# On the built page


@pytest.fixture
def figure(open_page):
    (figure,) = live_figures(open_page("03-latent-space"))
    return figure


def compare(figure, traits):
    shows(figure, LatentSpaceFigure(**traits), ("latent", "decoded"), atol=1e-5)


@pytest.mark.needs_chromium
def test_values_equal_python(figure):
    compare(figure, {})
    figure.get_by_label("from").select_option("2")
    figure.get_by_label("to", exact=True).select_option("7")
    control(figure, "position").press("End")
    compare(figure, {"first": 2, "second": 7, "position": 1.0})
    figure.get_by_role("button", name="a quarter").click()
    compare(figure, {"position": 0.25})
    figure.get_by_role("button", name="reset").click()
    compare(figure, {})
