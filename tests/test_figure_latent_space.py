"""The figure of latent space: its module and its page show what the Python class computes."""

import numpy as np
import pytest
import torch
from playwright.sync_api import expect
from torch.nn import functional as F

from dit_lesson.autoencoder import Autoencoder
from dit_lesson.checkpoints import load_weights
from dit_lesson.figures.latent_space import LatentSpaceFigure, constants, decoder, greyness
from tests import javascript
from tests.browser import BOOK
from tests.test_figures_page import browser, control, open_page, site

__all__ = ["browser", "open_page", "site"]  # fixtures

CHAPTER = "03-latent-space"
STATES = [
    {},
    {"position": 0.0},
    {"first": 0, "second": 1, "position": 0.37},
    {"first": 8, "second": 8, "position": 1.0},
]


@pytest.mark.needs_node
@pytest.mark.parametrize("traits", STATES, ids=str)
def test_module_equals_python(traits):
    figure = LatentSpaceFigure(**traits)
    (shown,) = javascript.call("latent_space", [("stages", figure.state())])
    for name in ("pixels", "decoded"):
        np.testing.assert_allclose(shown[name], getattr(figure, name)(), rtol=0, atol=1e-9)
    latent = figure.latent().reshape(32, 8)
    np.testing.assert_allclose(shown["latent"], latent, rtol=0, atol=1e-12)
    expected = [greyness(figure.pixels()), greyness(figure.decoded())]
    np.testing.assert_allclose(shown["grey"], expected, rtol=0, atol=1e-9)


@pytest.mark.needs_node
def test_convolution_of_core_equals_torch():
    random = np.random.default_rng(0)
    image, weight = random.normal(size=(3, 5, 5)), random.normal(size=(8, 3, 3, 3))
    bias = random.normal(size=8)
    rows = weight.reshape(8, -1).tolist()
    convolved, shuffled = javascript.call(
        "core",
        [
            ("convolve", image.ravel().tolist(), 5, rows, bias.tolist()),
            ("pixelShuffle", np.arange(8 * 25).tolist(), 5),
        ],
    )
    expected = F.conv2d(*map(torch.tensor, (image, weight, bias)), padding=1)
    np.testing.assert_allclose(convolved, expected.ravel(), rtol=0, atol=1e-9)
    assert np.array_equal(
        shuffled, F.pixel_shuffle(torch.arange(8 * 25).reshape(8, 5, 5), 2).ravel()
    )


def test_the_weights_of_the_page_are_those_that_ship():
    """Half precision and rounded latents change no grey level that one could see."""
    shipped = Autoencoder(downsample=4)
    shipped.load_state_dict(load_weights("autoencoder-8x8x4"))
    latents = torch.tensor(constants()["latents"]).reshape(10, 4, 8, 8)
    there = shipped.from_latents(latents).numpy()
    here = decoder().from_latents(latents.double()).numpy()
    np.testing.assert_allclose(here, there, rtol=0, atol=0.01)


def test_ends_of_the_walk_are_the_digits():
    figure = LatentSpaceFigure(position=0.0)
    assert ((figure.pixels() - figure.decoded()) ** 2).mean() < 0.03
    start = figure.decoded()
    figure.first, figure.second, figure.position = figure.second, figure.first, 1.0
    np.testing.assert_allclose(figure.decoded(), start, rtol=0, atol=1e-12)
    figure.position = 0.5
    assert greyness(figure.decoded()) < greyness(figure.pixels())


def test_greyness():
    assert greyness(np.array([[1.0, -1.0, 3.0]])) == 0
    assert greyness(np.array([[0.0, 0.5]])) == 0.75


def test_wrong_traits():
    figure = LatentSpaceFigure()
    for name, value in (("first", 10), ("second", -1), ("position", 1.5)):
        with pytest.raises(Exception, match=name):
            setattr(figure, name, value)


# On the built page


@pytest.fixture
def figure(open_page):
    if not (BOOK / "notebooks" / f"{CHAPTER}.html").is_file():
        pytest.fail(f"the book holds no chapter {CHAPTER}: run `make book`")
    page = open_page(CHAPTER, "file")
    page.wait_for_selector(".dit-live")
    return page.locator(".dit-live").first


def compare(figure, traits):
    python = LatentSpaceFigure(**traits)
    details = figure.locator("details")
    if details.get_attribute("open") is None:
        details.locator("summary").click()
    figure.page.evaluate(
        "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )
    tables = details.locator("tbody").evaluate_all(
        "all => all.map((e) => [...e.rows].map((r) => "
        "[...r.querySelectorAll('data')].map((d) => Number(d.value))))"
    )
    np.testing.assert_allclose(tables[0], python.latent().reshape(32, 8), rtol=0, atol=1e-9)
    np.testing.assert_allclose(tables[1], python.decoded(), rtol=0, atol=1e-9)
    expect(figure.get_by_role("status")).to_have_text(python.summary())


@pytest.mark.needs_chromium
def test_values_equal_python(figure):
    compare(figure, {})
    figure.get_by_label("from").select_option("2")
    figure.get_by_label("to", exact=True).select_option("7")
    control(figure, "position").press("End")
    compare(figure, {"first": 2, "second": 7, "position": 1.0})
    figure.get_by_role("button", name="a quarter").click()
    compare(figure, {"first": 2, "second": 7, "position": 0.25})
    figure.get_by_role("button", name="reset").click()
    compare(figure, {})
