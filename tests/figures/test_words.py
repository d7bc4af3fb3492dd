"""The figure of words: it shows what the shipped models paint, and the proof holds in it."""

import numpy as np
import pytest
import torch
from playwright.sync_api import expect

from dit_lesson.checkpoints import load_model
from dit_lesson.experiments import words as w
from dit_lesson.figures.words import WordsFigure, painted
from tests.browser import live_figures, table_rows

SWAPPED = {
    "slant_left": "upright",
    "name_left": "seven",
    "slant_right": "tilted",
    "name_right": "three",
}


def test_every_way_and_caption_has_its_row():
    assert painted().shape == (3 * 400, 128 + 192)


def test_the_pooled_canvas_is_that_of_the_mirror_image_and_no_other_is():
    one, other = (WordsFigure(**traits).stages()["canvases"] for traits in ({}, SWAPPED))
    gaps = np.abs(one - other).max(axis=(1, 2))
    assert gaps[0] < 0.2 and (gaps[1:] > 0.5).all()  # a level of four bits may fall otherwise


def test_with_two_streams_a_name_moves_its_half_and_pooled_both():
    sides = WordsFigure().stages()["sides"]
    assert sides[1, 0] > 2 * sides[1, 1] and sides[3, 1] > 2 * sides[3, 0]
    sides = WordsFigure(way="pooled").stages()["sides"]
    assert 0.5 < sides[1, 0] / sides[1, 1] < 2


@pytest.mark.parametrize("way", w.SHOWN)
def test_a_canvas_is_what_the_shipped_model_paints(way):
    y = w.encode(["tilted three left-of upright seven"])
    z = w.paint(load_model(w.SHOWN[way]), y, w.noises(1, 0))
    expected = torch.cat(list(w.halves(z)[0, :, 0]), dim=-1)
    shown = WordsFigure().stages()["canvases"][list(w.SHOWN).index(way)]
    assert np.abs(shown - expected.numpy()).mean() < 0.1  # the latent has steps of a third


@pytest.mark.needs_chromium
def test_the_page_shows_what_python_computes(open_page):
    figure = live_figures(open_page("18-words"))[0]
    for button, traits in (
        ("swap", SWAPPED),
        ("pooled words", {"way": "pooled"}),
        ("reset", {}),
    ):
        figure.get_by_role("button", name=button).click()
        expected = WordsFigure(**traits).stages()["sides"]
        np.testing.assert_allclose(list(table_rows(figure).values()), expected, atol=1e-3)


@pytest.mark.needs_chromium
def test_a_click_on_a_canvas_shows_the_maps_of_its_model(open_page):
    figure = live_figures(open_page("18-words"))[0]
    menu = figure.get_by_label("maps of the model")
    for i, way in enumerate(w.SHOWN):
        figure.locator("canvas").nth(i).click()
        expect(menu).to_have_value(f'"{way}"')
        expected = WordsFigure(way=way).stages()["sides"]
        np.testing.assert_allclose(list(table_rows(figure).values()), expected, atol=1e-3)
