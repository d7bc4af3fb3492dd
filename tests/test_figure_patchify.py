"""The patchify figure: its module and its page show what the Python class computes."""

import numpy as np
import pytest
from playwright.sync_api import expect

from dit_lesson.counting import dit_ledger, total
from dit_lesson.figures.patchify import DIGITS, PATCH_SIZES, PatchifyFigure, way
from dit_lesson.models import DIT_CONFIGS, DiTConfig
from dit_lesson.patches import patchify, unpatchify
from tests import javascript
from tests.browser import BOOK
from tests.test_figures_page import browser, control, open_page, site

__all__ = ["browser", "open_page", "site"]  # fixtures

CHAPTER = "04-patchify"
STATES = [
    {},
    {"patch_size": 1, "cut_order": "C,p,p", "size": "S"},
    {"patch_size": 4, "cut_order": "C,p,p", "row": 7, "column": 0, "channel": 3, "size": "B"},
    {"patch_size": 4, "read_order": "C,p,p", "digit": 8, "size": "L"},
    {"patch_size": 8, "cut_order": "C,p,p", "read_order": "C,p,p", "column": 7},
    {"patch_size": 2, "cut_order": "C,p,p", "row": 5, "column": 2},
]


@pytest.mark.needs_node
@pytest.mark.parametrize("traits", STATES, ids=str)
def test_module_equals_python(traits):
    figure = PatchifyFigure(**traits)
    (shown,) = javascript.call("patchify", [("stages", figure.state())])
    for name in ("latent", "tokens", "output"):
        expected = getattr(figure, name)()
        np.testing.assert_allclose(shown[name], expected, rtol=0, atol=1e-12)
    place, back = figure.place(), shown["back"]
    assert place["tokens"] == (shown["token"], shown["feature"])
    assert place["output"] == (back["channel"], back["row"], back["column"])
    assert shown["kept"] == figure.kept()
    assert [(cost["tokens"], cost["parameters"], cost["macs"]) for cost in shown["costs"]] == [
        (tokens, cost.parameters, cost.macs) for tokens, cost in figure.costs()
    ]


@pytest.mark.needs_node
@pytest.mark.parametrize("order", ["p,p,C", "C,p,p"])
def test_patches_of_core_equal_numpy(order):
    """Not square, and with a batch of one: what the figure's square latent cannot show."""
    image = np.random.default_rng(0).normal(size=(3, 4, 6))
    tokens = patchify(image[None], 2)[0]
    if order == "C,p,p":
        tokens = tokens.reshape(6, 4, 3).swapaxes(1, 2).reshape(6, 12)
    calls = [
        ("patchifyChannels", image.tolist(), 2, order),
        ("unpatchify", tokens.tolist(), 2, 4, 6, order),
    ]
    cut, back = javascript.call("core", calls)
    assert np.array_equal(cut, tokens)
    assert np.array_equal(back, image)


@pytest.mark.needs_node
def test_cost_of_core_equals_the_ledger():
    arguments = {"inputSize": 8, "patchSize": 2, "hiddenSize": 64, "depth": 3, "channels": 16}
    (cost,) = javascript.call("core", [("ditCost", arguments)])
    expected = total(
        dit_ledger(
            DiTConfig(input_size=8, in_channels=16, hidden_size=64, depth=3, num_heads=4)
        ).values()
    )
    assert cost == {"tokens": 16, "parameters": expected.parameters, "macs": expected.macs}


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
    figure = PatchifyFigure()
    for digit in DIGITS:
        figure.digit = digit
        right = figure.picture_of("right")
        assert right[[0, -1]].max() < -0.8  # paper above and below
        assert right.max() > 0.8  # ink
        for p in PATCH_SIZES[1:]:
            for orders in (("p,p,C", "C,p,p"), ("C,p,p", "p,p,C")):
                assert ((figure.picture_of(way(p, *orders)) - right) ** 2).mean() > 0.1


def test_summary_and_wrong_traits():
    figure = PatchifyFigure(patch_size=4, cut_order="C,p,p", size="S")
    assert "4 tokens of 64 features" in figure.summary()
    assert "1.41 GMAC" in figure.summary()
    for name, value in (("patch_size", 3), ("cut_order", "C,C,p"), ("digit", 7), ("row", 8)):
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


def settle(figure):
    figure.page.evaluate(
        "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )


def compare(figure, traits):
    python = PatchifyFigure(**traits)
    details = figure.locator("details")
    if details.get_attribute("open") is None:
        details.locator("summary").click()
    settle(figure)
    rows = details.locator("tbody").evaluate(
        "e => [...e.rows].map((r) => [...r.querySelectorAll('data')].map((d) => Number(d.value)))"
    )
    np.testing.assert_allclose(rows, python.tokens(), rtol=0, atol=1e-12)
    said = expect(figure.get_by_role("status"))
    token, feature = python.place()["tokens"]
    channel, row, column = python.place()["output"]
    said.to_contain_text(f"feature {feature} of token {token};")
    said.to_contain_text(f"lands in channel {channel}, row {row}, column {column}.")
    assert figure.get_by_text(f"{python.kept()} of 256 numbers").is_visible()
    cost = python.costs()[PATCH_SIZES.index(python.patch_size)][1]
    marked = figure.locator("tr[style]").inner_text()
    assert f"{cost.parameters / 1e6:.2f} M" in marked
    assert f"{cost.macs / 1e9:.2f}" in marked


@pytest.mark.needs_chromium
def test_values_equal_python(figure):
    compare(figure, {})
    figure.get_by_label("cut as").select_option('"C,p,p"')
    figure.get_by_label("patch size").select_option("4")
    control(figure, "row").press("End")
    compare(figure, {"cut_order": "C,p,p", "patch_size": 4, "row": 7})
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
    settle(figure)
    before = picture.evaluate("c => c.toDataURL()")
    figure.get_by_role("button", name="wrong order", exact=True).click()
    settle(figure)
    assert picture.evaluate("c => c.toDataURL()") != before
    figure.get_by_role("button", name="wrong order, p = 1").click()
    settle(figure)
    assert picture.evaluate("c => c.toDataURL()") == before
