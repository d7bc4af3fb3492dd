"""The reader's own weights in the place of the book's, in the figures that show the trained DiT."""

import base64
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from playwright.sync_api import expect
from safetensors.torch import save
from torch import nn

from dit_lesson.experiments.recipes import DIGITS_DIT
from dit_lesson.figures.sampling import SamplingFigure
from dit_lesson.figures.training_assets import dit
from dit_lesson.figures.whole_dit_opened import WholeDiTOpenedFigure
from dit_lesson.models import DiT
from tests.browser import at_rest, live_figures, tables

#: The figures, their chapters, and the first of their tables by their stages.
TABLES = {
    WholeDiTOpenedFigure: lambda now: np.stack([now["effects"], now["gates"]], axis=1),
    SamplingFigure: lambda now: now["sizes"],
}
CHAPTERS = {WholeDiTOpenedFigure: "12-whole-dit", SamplingFigure: "14-sampling"}
each_figure = pytest.mark.parametrize("cls", TABLES)


def random_model(hidden_size):
    """A DiT of the book's shape, whose gates and whose last layer are open."""
    model = DiT(replace(DIGITS_DIT, hidden_size=hidden_size)).eval()
    generator = torch.Generator().manual_seed(hidden_size)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2, generator=generator)
    return model


def yours(cls, model):
    return cls(own=model, weights="yours")


@each_figure
def test_the_chosen_weights_are_shown_and_the_others_are_not(cls):
    model = random_model(64)
    book, handed, own = cls(), cls(own=model), yours(cls, model)
    assert book.model() is handed.model() is dit("digits-dit")
    assert book.summary() == handed.summary() == cls(weights="yours").summary()
    assert "by your own weights" in own.summary()
    for name, value in own.model().state_dict().items():
        assert value.dtype == torch.float64
        assert torch.equal(value.float(), model.state_dict()[name])
    shown, others = (TABLES[cls](figure.stages()) for figure in (own, book))
    assert not np.allclose(shown, others, rtol=0.1)


@each_figure
def test_an_untrained_model_is_shown_as_well(cls):
    stages = yours(cls, DiT(DIGITS_DIT)).stages()
    assert all(np.isfinite(value).all() for value in stages.values())


@each_figure
@pytest.mark.parametrize(
    ("changes", "came"),
    [
        ({"depth": 2}, "own's depth is 2, expected 3"),
        ({"conditioning": "adaln"}, "own's conditioning is adaln, expected adaln-zero"),
        ({"hidden_size": 48}, "own's hidden_size is 48, expected 64 or 32"),
    ],
)
def test_weights_of_another_shape_get_a_sentence(cls, changes, came):
    with pytest.raises(ValueError, match=f"^{cls.__name__}: {came}$"):
        cls(own=DiT(replace(DIGITS_DIT, **changes)))


# On the built page


@pytest.fixture
def opened(open_page):
    """Opens a figure's page in a browser that has kept a text for weights."""

    def open_figure(cls, text):
        page = open_page(CHAPTERS[cls])
        page.add_init_script(f"localStorage.setItem('dit-weights', {json.dumps(text)})")
        page.reload()
        return live_figures(page)[-1]

    return open_figure


def kept(model):
    return base64.b64encode(save(model.state_dict())).decode()


@pytest.mark.needs_chromium
@each_figure
@pytest.mark.parametrize("hidden_size", [64, 32])
def test_the_page_shows_kept_weights_as_python_does(opened, cls, hidden_size):
    model = random_model(hidden_size)
    figure = opened(cls, kept(model))
    said = figure.get_by_role("status").last
    for weights in ("yours", "the book's"):
        figure.get_by_label("weights", exact=True).select_option(f'"{weights}"')
        python = cls(own=model, weights=weights)
        expect(said).to_have_text(python.summary())
        at_rest(figure)
        shown = list(tables(figure)[0].values())
        np.testing.assert_allclose(shown, TABLES[cls](python.stages()), rtol=1e-4, atol=1e-4)


@pytest.mark.needs_chromium
@each_figure
@pytest.mark.parametrize(
    "text",
    ["garbage", "bm8gd2VpZ2h0cw==", kept(DiT(replace(DIGITS_DIT, depth=2)))],
    ids=["no bytes", "no file", "no such model"],
)
def test_what_is_no_such_model_is_as_if_nothing_were_kept(opened, cls, text):
    figure = opened(cls, text)
    expect(figure.get_by_label("weights", exact=True)).to_be_hidden()
    expect(figure.get_by_role("status").last).to_have_text(cls().summary())
