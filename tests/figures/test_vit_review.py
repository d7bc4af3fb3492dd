"""The ViT figure: its module runs the same model as torch."""

import numpy as np
import pytest
import traitlets

from dit_lesson.figures.vit_review import ViTFigure
from tests.browser import live_figures, table_rows

SHUFFLED = [3, 1, 2, 0, *range(4, 16)]


def test_hidden_patches_are_paper_and_swapped_ones_change_places():
    plain, changed = ViTFigure(), ViTFigure(order=SHUFFLED, hidden=[i == 5 for i in range(16)])
    assert np.array_equal(changed.image()[:7, :7], plain.image()[:7, 21:])
    assert (changed.image()[7:14, 7:14] == -1).all()
    assert np.array_equal(changed.image()[14:], plain.image()[14:])


def test_the_untouched_test_digits_are_read_right():
    said = [ViTFigure(digit=digit).stages()["probabilities"].argmax() for digit in range(10)]
    assert sum(s == digit for digit, s in enumerate(said)) >= 9


@pytest.mark.parametrize("traits", [{"order": [0, 1]}, {"hidden": [True]}, {"order": [16] * 16}])
def test_wrong_lists_are_refused(traits):
    with pytest.raises(traitlets.TraitError, match=next(iter(traits))):
        ViTFigure(**traits)


@pytest.mark.needs_chromium
def test_values_on_the_page_equal_torch(open_page):
    figure = live_figures(open_page("01-vit-review"))[0]
    figure.get_by_role("button", name="hide patch 5").click()
    figure.get_by_role("button", name="swap 5 and 9").click()
    order = list(range(16))
    order[5], order[9] = 9, 5
    now = ViTFigure(order=order, hidden=[i == 5 for i in range(16)]).stages()
    rows = table_rows(figure)
    np.testing.assert_allclose(rows["attention"], now["attention"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(rows["probability"], now["probabilities"], rtol=0, atol=1e-5)
