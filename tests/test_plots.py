"""What a static picture promises: nothing that it was given is left out."""

import pytest

from dit_lesson import plots


def test_every_curve_is_drawn_in_a_way_of_its_own():
    curves = {name: [1.0, 2.0] for name in "abcde"}
    (axes,) = plots.losses_by_t([0.1, 0.9], curves, limits=(0.5, 3)).axes
    assert [line.get_label() for line in axes.lines] == list(curves)
    looks = {(line.get_color(), str(line._dash_pattern)) for line in axes.lines}
    assert len(looks) == len(curves)
    assert len(axes.get_legend().get_texts()) == len(curves)


def test_more_curves_than_styles_are_refused():
    curves = {name: [1.0, 2.0] for name in "abcdef"}
    with pytest.raises(ValueError, match="6 things to draw, expected at most 5"):
        plots.losses_by_t([0.1, 0.9], curves, limits=(0.5, 3))
