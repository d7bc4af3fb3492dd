"""The patchify figure: its module and its page show what the Python class computes."""

import itertools

import numpy as np
import pytest
from playwright.sync_api import expect

from dit_lesson.counting import dit_ledger, total
from dit_lesson.figures.patchify import DIGITS, ORDERS, PATCH_SIZES, PatchifyFigure
from dit_lesson.models import DIT_CONFIGS
from dit_lesson.patches import patchify, unpatchify
from tests.browser import control, live_figures, open_fold, seen, table_rows


def test_right_order_is_exact_and_wrong_order_is_not():
    for p in PATCH_SIZES:
        figure = PatchifyFigure(patch_size=p)
        assert np.array_equal(figure.output(), figure.latent())
        assert figure.kept() == 256
        assert np.array_equal(
            figure.output(), unpatchify(patchify(figure.latent()[None], p), p, 8, 8)[0]
        )
        figure.read_order = "C,p,p"
        assert (figure.kept() == 256) == (p == 1)
        assert sorted(figure.output().ravel()) == sorted(figure.latent().ravel())


def test_costs_are_the_papers_configurations():
    figure = PatchifyFigure(size="L")
    for p, (tokens, cost) in zip(PATCH_SIZES, figure.costs(), strict=True):
        assert tokens == (32 // p) ** 2
        if p > 1:
            assert cost == total(dit_ledger(DIT_CONFIGS[f"DiT-L/{p}"]).values())


def test_decoded_pictures():
    """The latents are good ones: the right way gives a digit, every wrong way something else."""
    for digit in DIGITS:
        right = PatchifyFigure(digit=digit).stages()["decoded"]
        assert right[[0, -1]].max() < -0.8  # paper above and below
        assert right.max() > 0.8  # ink
        for p in PATCH_SIZES[1:]:
            for cut, read in itertools.permutations(ORDERS):
                wrong = PatchifyFigure(digit=digit, patch_size=p, cut_order=cut, read_order=read)
                assert ((wrong.stages()["decoded"] - right) ** 2).mean() > 0.1


def test_summary_and_wrong_traits():
    figure = PatchifyFigure(patch_size=4, cut_order="C,p,p", size="S")
    assert "4 tokens of 64 features" in figure.summary()
    assert "1.41 GMAC" in figure.summary()


# On the built page


@pytest.fixture
def figure(open_page):
    (figure,) = live_figures(open_page("04-patchify"))
    return figure


def compare(figure, traits):
    python = PatchifyFigure(**traits)
    rows = list(table_rows(figure).values())
    np.testing.assert_allclose(rows, python.tokens(), rtol=0, atol=1e-12)
    said = expect(figure.get_by_role("status").last)
    token, feature = python.place()["tokens"]
    channel, row, column = python.place()["output"]
    said.to_contain_text(f"feature {feature} of token {token};")
    said.to_contain_text(f"lands in channel {channel}, row {row}, column {column}.")
    assert figure.get_by_text(f"{python.kept()} of 256").is_visible()
    cost = python.costs()[PATCH_SIZES.index(python.patch_size)][1]
    marked = " ".join(figure.locator(".dit-chosen").all_inner_texts())
    assert f"{cost.parameters / 1e6:.2f}" in marked and f"{cost.macs / 1e9:.2f}" in marked


@pytest.mark.needs_chromium
def test_values_equal_python(figure):
    compare(figure, {})
    figure.get_by_label("cut as").select_option('"C,p,p"')
    figure.get_by_label("patch size").select_option("4")
    control(figure, "row").press("End")
    compare(figure, {"cut_order": "C,p,p", "patch_size": 4, "row": 7})
    open_fold(figure)
    figure.get_by_label("cost of").select_option('"S"')
    figure.get_by_label("digit").select_option("8")
    figure.get_by_label("read as").select_option('"C,p,p"')
    state = {"cut_order": "C,p,p", "read_order": "C,p,p", "patch_size": 4, "row": 7}
    compare(figure, {**state, "size": "S", "digit": 8})
    figure.get_by_role("button", name="reset").click()
    compare(figure, {})


@pytest.mark.needs_chromium
def test_a_number_can_be_chosen_by_pointer(figure):
    latent, matrix = (figure.locator("canvas").nth(i) for i in range(2))
    box = latent.bounding_box()
    latent.click(position={"x": box["width"] - 3, "y": box["height"] - 3})
    compare(figure, {"channel": 3, "row": 7, "column": 7})
    matrix.click(position={"x": 3, "y": 3})
    compare(figure, {"channel": 0, "row": 0, "column": 0})


@pytest.mark.needs_chromium
def test_the_decoded_picture_changes_with_the_order(figure):
    picture = figure.locator("canvas").nth(3)
    seen(figure)
    before = picture.evaluate("c => c.toDataURL()")
    figure.get_by_role("button", name="wrong order", exact=True).click()
    seen(figure)
    assert picture.evaluate("c => c.toDataURL()") != before
    figure.get_by_role("button", name="wrong order, p = 1").click()
    seen(figure)
    assert picture.evaluate("c => c.toDataURL()") == before
