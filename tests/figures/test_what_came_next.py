"""The figure of the blocks: its bars are the parameters of real blocks, on the page as well."""

import json

import pytest
from playwright.sync_api import expect

from dit_lesson.figures.what_came_next import NAMES, WhatCameNextFigure
from dit_lesson.successors import KINDS
from tests.browser import live_figures, table_rows


def test_summary():
    figure = WhatCameNextFigure()
    assert "223.1 of 669.3 million parameters are modulation, 33.3%" in figure.summary()
    assert "8.2 of 454.4 million parameters are modulation, 1.8%" in figure.summary()
    figure.right = "none"
    assert "0.0 of 446.3 million parameters are modulation, 0.0%" in figure.summary()


def test_every_kind_has_its_name():
    assert tuple(NAMES) == KINDS


@pytest.mark.needs_chromium
def test_page_equals_python(open_page):
    (figure,) = live_figures(open_page("17-what-came-next"))
    state = {}
    for label, name, value in (
        ("left block", "left", "two streams"),
        ("right block", "right", "parallel"),
        ("right block", "right", "none"),
    ):
        figure.get_by_label(label, exact=True).select_option(json.dumps(value))
        state[name] = value
        now = WhatCameNextFigure(**state).stages()
        assert table_rows(figure) == {
            part: [pytest.approx(count / 1e6), pytest.approx(now["right"][part] / 1e6)]
            for part, count in now["left"].items()
        }
    expect(figure).to_contain_text("t and y")


@pytest.mark.needs_chromium
def test_the_share_does_not_shrink_with_the_width(open_page):
    (figure,) = live_figures(open_page("17-what-came-next"))
    width = figure.get_by_label("width D", exact=True)
    for value in ("256", "4096"):
        width.fill(value)
        expect(figure.get_by_role("status").last).to_contain_text(
            "million parameters are modulation, 33.3%"
        )
