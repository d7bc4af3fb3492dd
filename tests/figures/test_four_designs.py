"""The ledger figure: its module and its page show what the Python class computes."""

import json

import pytest
from playwright.sync_api import expect

from dit_lesson.counting import total
from dit_lesson.figures.four_designs import LedgerFigure
from tests.browser import live_figures, table_rows


def test_summary_and_wrong_traits():
    figure = LedgerFigure()
    assert "674.83 million parameters, 118.62 GMAC" in figure.summary()
    figure.quantity = "parameters"
    assert "MLP has most million parameters" in figure.summary()


@pytest.mark.needs_chromium
def test_page_equals_python(open_page):
    (figure,) = live_figures(open_page("11-four-designs"))
    state = {}
    for label, name, value in (
        ("size", "size", "S"),
        ("patch size p", "patch_size", 4),
        ("design", "conditioning", "cross-attention"),
        ("pixels", "resolution", 512),
        ("count", "quantity", "parameters"),
    ):
        figure.get_by_label(label, exact=True).select_option(json.dumps(value))
        state[name] = value
        python = LedgerFigure(**state)
        ledger = python.ledgers()[python.conditioning]
        assert list(table_rows(figure).values()) == [
            [pytest.approx(cost.parameters / 1e6), pytest.approx(cost.macs / 1e9)]
            for cost in ledger.values()
        ]
        cost = total(ledger.values())
        said = expect(figure.get_by_role("status").last)
        said.to_contain_text(f"{cost.parameters / 1e6:.2f} million parameters")
        said.to_contain_text(f"{cost.macs / 1e9:.2f} GMAC")


@pytest.mark.needs_chromium
def test_the_drawing_is_the_chosen_design(open_page):
    """Its boxes hold the cost of every part once, and the condition enters where it does."""
    (figure,) = live_figures(open_page("11-four-designs"))
    nodes = figure.locator(".dit-stage .dit-node:visible")
    entries = {
        "in-context": ["N", "N\u202f+\u202f2", "+", "+", "N"],
        "cross-attention": ["N", "+", "+", "+", "t and y as\nkeys and values", "N"],
        "adaln": ["N", "+", "+", "N"],
        "adaln-zero": ["N", "gate α", "+", "gate α", "+", "N"],
    }
    figure.get_by_label("count", exact=True).select_option(json.dumps("parameters"))
    for design, expected in entries.items():
        figure.get_by_label("design", exact=True).select_option(json.dumps(design))
        expect(nodes).to_have_text(expected, use_inner_text=True)
        costs = LedgerFigure(conditioning=design, quantity="parameters").shares()[design]
        shown = figure.locator(".dit-cost:visible .dit-number").all_inner_texts()
        whole = sum(costs.values())
        assert sorted(shown) == sorted(f"{c:.2f} · {c / whole:.1%}" for c in costs.values())
