"""The ledger figure: its module and its page show what the Python class computes."""

import itertools

import pytest
from playwright.sync_api import expect

from dit_lesson.counting import dit_ledger, total
from dit_lesson.figures.ledger import LedgerFigure
from dit_lesson.models import DESIGNS, DiTConfig
from tests import javascript
from tests.browser import BOOK
from tests.test_figures_page import browser, open_page, site

__all__ = ["browser", "open_page", "site"]  # fixtures

CHAPTER = "11-four-designs"
TWO_FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


@pytest.mark.needs_node
def test_module_equals_python():
    """Every model, design and resolution, every part: equal whole numbers."""
    choices = itertools.product(("S", "B", "L", "XL"), (2, 4, 8), (256, 512))
    figures = [LedgerFigure(size=s, patch_size=p, resolution=r) for s, p, r in choices]
    shown = javascript.call("ledger", [("stages", figure.state()) for figure in figures])
    for figure, ledgers in zip(figures, shown, strict=True):
        expected = {
            design: {
                part: {"parameters": cost.parameters, "macs": cost.macs}
                for part, cost in ledger.items()
            }
            for design, ledger in figure.ledgers().items()
        }
        assert ledgers == expected


@pytest.mark.needs_node
@pytest.mark.parametrize("design", DESIGNS)
def test_ledger_of_core_equals_the_formulae(design):
    sizes = {"inputSize": 8, "patchSize": 2, "hiddenSize": 64, "depth": 3, "channels": 16}
    (ledger,) = javascript.call("core", [("ditLedger", sizes | {"conditioning": design})])
    expected = dit_ledger(
        DiTConfig(
            input_size=8, in_channels=16, hidden_size=64, depth=3, num_heads=4, conditioning=design
        )
    )
    assert {part: tuple(cost.values()) for part, cost in ledger.items()} == {
        part: (cost.parameters, cost.macs) for part, cost in expected.items()
    }


def test_summary_and_wrong_traits():
    figure = LedgerFigure()
    assert "674.83 million parameters, 118.62 GMAC" in figure.summary()
    figure.quantity = "parameters"
    assert "MLP has most million parameters" in figure.summary()
    for name, value in (("patch_size", 3), ("conditioning", "film"), ("resolution", 300)):
        with pytest.raises(Exception, match=name):
            setattr(figure, name, value)


@pytest.mark.needs_chromium
def test_page_equals_python(open_page):
    if not (BOOK / "notebooks" / f"{CHAPTER}.html").is_file():
        pytest.fail(f"the book holds no chapter {CHAPTER}: run `make book`")
    page = open_page(CHAPTER, "file")
    page.wait_for_selector(".dit-live")
    figure = page.locator(".dit-live").first
    details = figure.locator("details")
    details.locator("summary").click()
    state = {}
    for label, name, value in (
        ("size", "size", '"S"'),
        ("patch size", "patch_size", "4"),
        ("design", "conditioning", '"cross-attention"'),
        ("picture", "resolution", "512"),
        ("count", "quantity", '"parameters"'),
    ):
        # exact would miss the symbol that follows a label's text
        select = figure.locator(".dit-control", has=page.get_by_text(label)).first
        if label == "size":
            select = figure.locator(".dit-control").first
        select.locator("select").select_option(value)
        state[name] = int(value) if value.isdigit() else value.strip('"')
        page.evaluate(TWO_FRAMES)
        python = LedgerFigure(**state)
        ledger = python.ledgers()[python.conditioning]
        rows = details.locator("tbody").evaluate(
            "e => [...e.rows].map((r) => [...r.querySelectorAll('data')].map((d) => +d.value))"
        )
        assert rows == [
            [pytest.approx(c.parameters / 1e6), pytest.approx(c.macs / 1e9)]
            for c in ledger.values()
        ]
        cost = total(ledger.values())
        said = expect(figure.get_by_role("status"))
        said.to_contain_text(f"{cost.parameters / 1e6:.2f} million parameters")
        said.to_contain_text(f"{cost.macs / 1e9:.2f} GMAC")
