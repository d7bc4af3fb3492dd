"""The figures on the built pages, driven in a browser without kernel and without network.

Every figure on every chapter is found on the page; the tests of one figure's own numbers
stand at the end.
"""

import re

import numpy as np
import pytest

from dit_lesson.figures.adaptive_layer_norm import AdaptiveLayerNormFigure
from tests.browser import BOOK, browser, site, visit

__all__ = ["browser", "site"]

pytestmark = pytest.mark.needs_chromium

CHAPTERS = sorted(path.stem for path in (BOOK / "notebooks").glob("*.html"))
each_chapter = pytest.mark.parametrize("chapter", CHAPTERS)

# without the sentence: it comes late, and could pass for the answer to the next control
SEEN = """(root) => [...root.querySelectorAll("canvas")].map((c) => c.toDataURL()).join()
  + root.innerText.replace(root.querySelector("[role=status]").innerText, "")
  + [...root.querySelectorAll("svg")].map((s) => s.outerHTML).join()"""
TWO_FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


@pytest.fixture
def open_page(browser, site):
    """Opens a chapter with the network cut; afterwards nothing was asked for or complained of."""
    visits = []

    def open_chapter(chapter, scheme, **context):
        start = site if scheme == "http" else f"{BOOK.as_uri()}/"
        opened = visit(browser, f"{start}notebooks/{chapter}.html", **context)
        if context.get("java_script_enabled", True):  # else each script counts as failed
            visits.append(opened)
        return opened.page

    yield open_chapter
    for opened in visits:
        opened.page.context.close()
        assert (opened.foreign, opened.errors) == ([], [])


def seen(figure):
    """All that the figure shows: its pictures and its text."""
    figure.page.evaluate(TWO_FRAMES)
    return figure.evaluate(SEEN)


def live_figures(page):
    page.wait_for_selector(".dit-live")
    figures = page.locator(".dit-live")
    return [figures.nth(i) for i in range(figures.count())]


def nudge(slider):
    """One step by keyboard, away from the end of the range."""
    slider.focus()
    at_end = slider.evaluate("e => Number(e.value) + Number(e.step) > Number(e.max)")
    slider.press("ArrowLeft" if at_end else "ArrowRight")


def other_option(menu):
    values = menu.locator("option").evaluate_all("options => options.map((o) => o.value)")
    return next(value for value in values if value != menu.input_value())


def each_visible(figure, selector):
    found = figure.locator(selector)
    return [found.nth(i) for i in range(found.count()) if found.nth(i).is_visible()]


def check_change(figure, act, name):
    before = seen(figure)
    act()
    assert seen(figure) != before, f"{name} changes nothing"


def press(figure, slider):
    """Moves a slider by keyboard and then types into its number box."""
    name = slider.evaluate("e => e.labels[0].textContent")
    check_change(figure, lambda: nudge(slider), name)
    box = slider.locator("xpath=following-sibling::input[@type='number']")
    number, step = float(box.input_value()), float(box.get_attribute("step"))
    further = number + step <= float(box.get_attribute("max"))
    typed = str(number + step if further else number - step)
    check_change(figure, lambda: box.fill(typed), f"{name}, number")


@pytest.mark.parametrize("scheme", ["http", "file"])
@each_chapter
def test_every_control_changes_what_is_drawn(open_page, chapter, scheme):
    page = open_page(chapter, scheme)
    for figure in live_figures(page):
        known = set()
        for slider in each_visible(figure, "input[type=range]"):
            known.add(slider.get_attribute("id"))
            press(figure, slider)
        for menu in each_visible(figure, "select"):
            chosen, other = menu.input_value(), other_option(menu)
            name = menu.evaluate("e => e.labels[0].textContent")
            check_change(figure, lambda menu=menu, other=other: menu.select_option(other), name)
            for slider in each_visible(figure, "input[type=range]"):
                if slider.get_attribute("id") not in known:  # a slider that this choice reveals
                    press(figure, slider)
            menu.select_option(chosen)
        for button in each_visible(figure, "button"):
            check_change(figure, button.click, button.inner_text())
        for folded in each_visible(figure, "summary"):
            check_change(figure, folded.click, folded.inner_text())


@pytest.fixture(scope="module", params=CHAPTERS)
def shared(request, browser):
    """One visit of a chapter for the tests that leave the page as they found it."""
    opened = visit(browser, f"{BOOK.as_uri()}/notebooks/{request.param}.html")
    yield opened.page
    opened.page.context.close()


def test_controls_are_native_labelled_and_large_enough(shared):
    for figure in live_figures(shared):
        for control in each_visible(figure, "input, select, button"):
            named = control.evaluate(
                "e => e.labels?.length > 0 || !!e.ariaLabel || !!e.textContent.trim()"
            )
            assert named
            assert control.bounding_box()["height"] >= 24


def test_the_dark_theme_has_its_own_colours(shared):
    (figure, *_) = live_figures(shared)
    seen(figure)
    light = figure.screenshot()
    shared.evaluate("document.documentElement.dataset.theme = 'dark'")
    seen(figure)
    assert figure.screenshot() != light
    shared.evaluate("document.documentElement.dataset.theme = 'light'")


def test_figures_fit_a_small_phone(shared):
    shared.set_viewport_size({"width": 320, "height": 640})
    for figure in live_figures(shared):
        assert figure.evaluate("e => e.scrollWidth <= e.clientWidth")
        box = figure.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 320
    shared.set_viewport_size({"width": 1280, "height": 720})


def test_print_shows_the_picture(shared):
    live_figures(shared)
    shared.emulate_media(media="print")
    assert shared.locator(".dit-figure img").first.is_visible()
    assert not shared.locator(".dit-live").first.is_visible()
    shared.emulate_media(media="screen")


def test_reduced_motion_moves_nothing(shared):
    """A visit asks for reduced motion: what is shown stays, and no style animates."""
    for figure in live_figures(shared):
        before = seen(figure)
        shared.wait_for_timeout(200)
        assert seen(figure) == before
        assert figure.evaluate("e => e.getAnimations({ subtree: true }).length") == 0


@each_chapter
def test_without_javascript_the_picture_stays(open_page, chapter):
    page = open_page(chapter, "file", java_script_enabled=False)
    pictures = page.locator(".dit-figure img")
    assert pictures.count() > 0
    for i in range(pictures.count()):
        pictures.nth(i).scroll_into_view_if_needed()
        assert pictures.nth(i).is_visible()
        assert len(pictures.nth(i).get_attribute("alt")) > 40


@each_chapter
def test_touch_moves_a_control(open_page, chapter):
    page = open_page(chapter, "file", has_touch=True, viewport={"width": 375, "height": 700})
    (figure, *_) = live_figures(page)
    sliders, buttons = each_visible(figure, "input[type=range]"), each_visible(figure, "button")
    control = (sliders or buttons)[0]
    control.scroll_into_view_if_needed()
    before, box = seen(figure), control.bounding_box()
    page.touchscreen.tap(box["x"] + 0.9 * box["width"], box["y"] + box["height"] / 2)
    assert seen(figure) != before


# The adaptive layer norm figure's own numbers


@pytest.fixture
def adaptive(open_page):
    return live_figures(open_page("09-adaptive-layer-norm", "file"))[0]


def table_rows(figure):
    """The exact numbers in the folded table, by row heading."""
    details = figure.locator("details")
    if details.get_attribute("open") is None:
        details.locator("summary").click()
    figure.page.evaluate(TWO_FRAMES)
    return figure.evaluate(
        """(root) => Object.fromEntries([...root.querySelectorAll("tbody tr")].map((row) =>
          [row.querySelector("th").textContent,
           [...row.querySelectorAll("data")].map((d) => Number(d.value))]))"""
    )


def control(figure, name):
    return figure.get_by_role("slider", name=re.compile(name))


def compare(figure, traits):
    python = AdaptiveLayerNormFigure(**traits)
    rows = table_rows(figure)
    before, normalised, scaled, modulated = (stage[python.token] for stage in python.stages())
    shift, scale = python.modulation()
    expected = [before, normalised, scale, scaled, shift, modulated]
    np.testing.assert_allclose(list(rows.values()), expected, rtol=0, atol=1e-5)


def test_values_equal_python(adaptive):
    compare(adaptive, {})
    for _ in range(3):
        control(adaptive, "scale").press("ArrowRight")
    control(adaptive, "token").press("End")
    compare(adaptive, {"scale": 0.95, "token": 15})
    adaptive.get_by_label("acts on").select_option("5")
    compare(adaptive, {"scale": 0.95, "token": 15, "feature": 5})


def test_condition_values_equal_python(adaptive):
    adaptive.get_by_label("set by").select_option('"condition"')
    control(adaptive, "time step").press("Home")
    adaptive.get_by_label("class y").select_option("8")
    compare(adaptive, {"mode": "condition", "t": 0, "label": 8})
    assert not adaptive.get_by_label("acts on").is_visible()


def test_reset_is_the_identity(adaptive):
    adaptive.get_by_role("button", name="reset").click()
    rows = table_rows(adaptive)
    assert rows["after shift"] == rows["LN(x)"]


def test_a_row_and_a_patch_can_be_chosen_by_pointer(adaptive):
    adaptive.locator("canvas").first.click(position={"x": 2, "y": 2})
    assert control(adaptive, "token").input_value() == "0"
    heatmap = adaptive.locator(".dit-panel canvas").nth(3)
    box = heatmap.bounding_box()
    heatmap.click(position={"x": 5, "y": box["height"] - 3})
    assert control(adaptive, "token").input_value() == "15"


def test_number_box_ignores_what_is_no_number_and_keeps_to_the_range(adaptive):
    box = adaptive.get_by_role("spinbutton", name=re.compile("scale"))
    box.fill("")
    assert control(adaptive, "scale").input_value() == "0.8"
    box.fill("9")
    assert control(adaptive, "scale").input_value() == "2"
