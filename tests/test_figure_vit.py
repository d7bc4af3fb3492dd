"""The ViT figure: its module runs the same model as torch."""

import numpy as np
import pytest
import traitlets

from dit_lesson.figures.vit import ViTFigure
from tests import javascript
from tests.browser import browser, site
from tests.test_figures_page import live_figures, open_page, table_rows

__all__ = ["browser", "open_page", "site"]

SHUFFLED = [3, 1, 2, 0, *range(4, 16)]


@pytest.mark.needs_node
@pytest.mark.parametrize(
    "traits",
    [{}, {"digit": 7, "block": 0}, {"order": SHUFFLED, "hidden": [i % 3 == 0 for i in range(16)]}],
)
def test_module_equals_torch(traits):
    figure = ViTFigure(**traits)
    (result,) = javascript.call("vit", [("stages", figure.state())])
    attention, probabilities = figure.stages()
    np.testing.assert_allclose(result["image"], figure.image(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(result["attention"], attention, rtol=0, atol=1e-5)
    np.testing.assert_allclose(result["probabilities"], probabilities, rtol=0, atol=1e-5)


def test_hidden_patches_are_paper_and_swapped_ones_change_places():
    plain, changed = ViTFigure(), ViTFigure(order=SHUFFLED, hidden=[i == 5 for i in range(16)])
    assert np.array_equal(changed.image()[:7, :7], plain.image()[:7, 21:])
    assert (changed.image()[7:14, 7:14] == -1).all()
    assert np.array_equal(changed.image()[14:], plain.image()[14:])


def test_the_untouched_test_digits_are_read_right():
    said = [ViTFigure(digit=digit).stages()[1].argmax() for digit in range(10)]
    assert sum(s == digit for digit, s in enumerate(said)) >= 9


@pytest.mark.parametrize("traits", [{"order": [0, 1]}, {"hidden": [True]}, {"order": [16] * 16}])
def test_wrong_lists_are_refused(traits):
    with pytest.raises(traitlets.TraitError, match=next(iter(traits))):
        ViTFigure(**traits)


@pytest.mark.needs_chromium
def test_values_on_the_page_equal_torch(open_page):
    figure = live_figures(open_page("01-vit-review", "file"))[0]
    figure.get_by_role("button", name="hide patch 5").click()
    figure.get_by_role("button", name="swap 5 and 9").click()
    order = list(range(16))
    order[5], order[9] = 9, 5
    attention, probabilities = ViTFigure(order=order, hidden=[i == 5 for i in range(16)]).stages()
    rows = table_rows(figure)
    np.testing.assert_allclose(rows["attention"], attention, rtol=0, atol=1e-5)
    np.testing.assert_allclose(rows["probability"], probabilities, rtol=0, atol=1e-5)
