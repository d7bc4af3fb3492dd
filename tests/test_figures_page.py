"""The figures on the built pages, driven in a browser without kernel and without network.

Every figure on every chapter is found on the page; what one figure alone promises stands in
tests/figures/.
"""

import json
import re

import pytest
from playwright.sync_api import expect

from tests.browser import (
    BOOK,
    LONG_NUMBER,
    PHONE,
    TWO_FRAMES,
    VISIBLE,
    WITH_FIGURES,
    at_rest,
    each_visible,
    figures_of,
    live_figures,
    open_fold,
    seen,
    tables,
    visit,
)

pytestmark = pytest.mark.needs_chromium

each_chapter = pytest.mark.parametrize("chapter", WITH_FIGURES)

# All pictures of a figure, but those that only tell more
PICTURES = ":is(canvas, .dit-valve, .dit-rows, .dit-cost):not(.dit-more *)"
LOOKS = f"""(root) => [...root.querySelectorAll("{PICTURES}")].map((picture) =>
  picture.checkVisibility() && (picture.toDataURL?.() ?? picture.outerHTML))"""
# How many pixels of a control and of the pictures that it changes are out of sight at the best
# place to which the reader can scroll: under the page's header, above the controls that stay at
# the edge of the screen.
HIDDEN = f"""([root, control, changed]) => {{
  const pictures = [...root.querySelectorAll("{PICTURES}")]
    .filter((picture, i) => changed[i] && picture.checkVisibility());
  const beside = root.querySelector(".dit-controls");
  const header = document.querySelector(".bd-header-article");
  const hidden = () => {{
    const top = header.getBoundingClientRect().bottom;
    const edge = beside && getComputedStyle(beside).position === "sticky"
      ? Math.min(innerHeight, beside.getBoundingClientRect().top) : innerHeight;
    const below = (element) => beside?.contains(element) ? innerHeight : edge;
    const out = (element) => {{
      const box = element.getBoundingClientRect();
      return Math.max(0, top - box.top) + Math.max(0, box.bottom - below(element));
    }};
    return Math.max(...[control, ...pictures].map(out));
  }};
  // from the place where the figure stands under the header, away to either side
  const box = root.getBoundingClientRect();
  const start = box.top + scrollY - header.getBoundingClientRect().bottom;
  let best = Infinity;
  for (let away = 0; away < box.height + innerHeight && best > 1; away += 8) {{
    for (const y of [start + away, start - away]) {{
      scrollTo({{ top: y, behavior: "instant" }});
      best = Math.min(best, hidden());
    }}
  }}
  return best;
}}"""

# What has the focus, if nothing of it is to be seen; "" if some is, null if it is not the figure's.
COVERED = """(root) => {
  const focused = document.activeElement;
  if (!root.contains(focused)) return null;
  const { left, top, width, height } = focused.getBoundingClientRect();
  const parts = [0.1, 0.3, 0.5, 0.7, 0.9];
  const on = (x, y) => document.elementFromPoint(left + x * width, top + y * height);
  const own = (e) => focused.contains(e) || [...focused.labels ?? []].some((l) => l.contains(e));
  const free = parts.some((x) => parts.some((y) => own(on(x, y))));
  return free ? "" : focused.id || focused.ariaLabel || focused.textContent || focused.className;
}"""

# Texts that are wider than their box
CUT = """(root) => [...root.querySelectorAll("label, button, .dit-title, .dit-node, .dit-number")]
  .filter((e) => e.checkVisibility() && e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0)
  .map((e) => e.textContent)"""


def nudge(slider):
    """One step by keyboard, away from the end of the range."""
    slider.focus()
    at_end = slider.evaluate("e => Number(e.value) + Number(e.step) > Number(e.max)")
    slider.press("ArrowLeft" if at_end else "ArrowRight")


def choose_other(menu):
    """Another option of a menu."""
    values = menu.locator("option").evaluate_all("options => options.map((o) => o.value)")
    menu.select_option(next(value for value in values if value != menu.input_value()))


def label(control):
    return control.evaluate("e => e.labels[0].textContent")


def check_change(figure, act, name):
    before = seen(figure)
    act()
    after = seen(figure)
    for _ in range(50):  # what a worker does takes time
        if after != before or figure.get_attribute("aria-busy") is None:
            break
        figure.page.wait_for_timeout(100)
        after = seen(figure)
    assert after != before, f"{name} changes nothing"


def press(figure, slider):
    """Moves a slider by keyboard and then types a number beside it."""
    name = label(slider)
    check_change(figure, lambda: nudge(slider), name)
    box = slider.locator("xpath=../..//input[@type='text']")
    number, step = float(box.input_value()), float(slider.get_attribute("step"))
    further = number + step <= float(slider.get_attribute("max"))
    typed = f"{number + step if further else number - step:.6g}"
    check_change(figure, lambda: box.fill(typed), f"{name}, number")
    box.blur()


def hidden_part(figure, control):
    """How many pixels of what a control changes, or of itself, cannot be seen together."""
    page = figure.page
    before = figure.evaluate(LOOKS)
    (nudge if control.get_attribute("type") == "range" else choose_other)(control)
    at_rest(figure)
    after = figure.evaluate(LOOKS)
    changed = [one != other for one, other in zip(before, after, strict=True)]
    return page.evaluate(HIDDEN, [figure.element_handle(), control.element_handle(), changed])


def reset(figure):
    """The figure as it was at first; a menu shows what that made of it with the next frame."""
    figure.get_by_role("button", name="reset", exact=True).click()
    at_rest(figure)


def out_of_sight(page):
    """For every control of a page what cannot be seen together with it, with its pixels.

    Once before the seldom used controls are shown, and once with them.
    """
    lost = []
    every = [(figure, opened) for figure in figures_of(page) for opened in (False, True)]
    for figure, opened in every:
        if opened and not figure.locator(".dit-fold").count():
            continue
        open_fold(figure, opened)
        known = set()
        reset(figure)
        for menu in [None, *each_visible(figure, "select")]:
            choose(figure, menu)
            for control in each_visible(figure, "input[type=range], select"):
                name = control.get_attribute("id")
                if name not in known:
                    known.add(name)
                    if (hidden := hidden_part(figure, control)) > 1:
                        fold = ", more controls shown" if opened else ""
                        lost.append(f"{label(control)}: {hidden:.0f} px out of sight{fold}")
                    reset(figure)
                    choose(figure, menu)
            if menu:
                reset(figure)
    return lost


def choose(figure, menu):
    """What a menu does not say yet, which may reveal other controls."""
    if menu:
        choose_other(menu)
        at_rest(figure)


def test_the_measure_sees_what_is_out_of_sight(open_page):
    """Controls that stand a screen away from the pictures would be found."""
    page = open_page("09-adaptive-layer-norm")
    page.add_style_tag(content=".dit-controls { margin-top: 900px }")
    (figure,) = live_figures(page)
    token = each_visible(figure, "input[type=range]")[-1]
    assert hidden_part(figure, token) > 100


# --- on a large screen ----------------------------------------------------------------------


@pytest.fixture(scope="module", params=WITH_FIGURES)
def shared(request, browser, site):
    """One visit of a chapter at 1280 pixels for several tests; nothing is asked for beyond it.

    By turns from a server and from disk, where the same scripts run.
    """
    start = site if int(request.param[:2]) % 2 else f"{BOOK.as_uri()}/"
    opened = visit(browser, f"{start}notebooks/{request.param}.html")
    live_figures(opened.page)
    yield opened.page
    opened.page.context.close()
    assert (opened.foreign, opened.errors) == ([], [])


def test_cause_and_effect_in_one_look(shared):
    """While a control is moved, every picture that it changes is on the screen with it."""
    assert not out_of_sight(shared)


def test_words_are_whole_at_every_width(shared):
    """From a small phone over tablets to a large screen no label, title or button is cut."""
    size = shared.viewport_size
    for width in (320, 375, 600, 768, 900, 1024, 1280):
        shared.set_viewport_size({**size, "width": width})
        for figure in figures_of(shared):
            open_fold(figure)
            shared.evaluate(TWO_FRAMES)
            assert figure.evaluate(CUT) == [], f"{width} px"
            open_fold(figure, False)
    shared.set_viewport_size(size)


def test_controls_are_native_labelled_and_large_enough(shared):
    for figure in figures_of(shared):
        open_fold(figure)
        wrong = figure.evaluate(
            f"""(root) => [...root.querySelectorAll("input, select, button")].filter({VISIBLE})
              .filter((e) => {{
                const text = e.matches("button") && e.textContent.trim();
                const named = e.labels?.length > 0 || e.ariaLabel || text;
                return !named || e.getBoundingClientRect().height < 24;
              }}).map((e) => e.outerHTML)"""
        )
        assert wrong == []


def test_seldom_used_controls_are_folded_and_reached_by_keyboard(shared):
    for figure in figures_of(shared):
        open_fold(figure, False)
        for fold in figure.locator(".dit-fold").all():
            controls = fold.locator("select, input[type=range]")
            assert controls.count() >= 2  # for one alone the line would take its room
            assert not any(control.is_visible() for control in controls.all())
            fold.locator("summary").focus()
            shared.keyboard.press("Enter")
            assert all(control.is_visible() for control in controls.all())
            shared.keyboard.press("Tab")
            inside = "e => e.closest('.dit-control').contains(document.activeElement)"
            assert controls.first.evaluate(inside)


def test_presets_tell_a_story(shared):
    """Each preset says a sentence of its own, and shows that it is the one in force."""
    for figure in figures_of(shared):
        told = set()
        buttons = figure.locator(".dit-presets button")
        assert 3 <= buttons.count() <= 7
        for button in buttons.all():
            button.click()
            shared.evaluate(TWO_FRAMES)
            assert button.get_attribute("aria-pressed") == "true"
            told.add(figure.locator(".dit-story").inner_text())
        assert len(told) == buttons.count() and "" not in told


def test_long_numbers_have_commas(shared):
    for figure in figures_of(shared):
        tables(figure)  # opened
        assert not LONG_NUMBER.findall(figure.inner_text())


def test_one_preset_at_a_time_is_in_force(shared):
    """What a preset says of the figure would be wrong if another one's changes stayed."""
    for figure in figures_of(shared):
        for button in figure.locator(".dit-presets button").all():
            button.click()
            shared.evaluate(TWO_FRAMES)
            expect(figure.locator('.dit-presets [aria-pressed="true"]')).to_have_count(1)


def test_every_colour_has_a_scale(shared):
    """Where a map shows numbers as colours, a bar says which."""
    for figure in figures_of(shared):
        if figure.locator("canvas.dit-signed").count():
            assert figure.locator(".dit-ramp").count()


def test_the_dark_theme_has_its_own_colours(shared):
    (figure, *_) = figures_of(shared)
    text = "e => getComputedStyle(e).color"
    looks = set()
    for theme in ("light", "dark"):
        shared.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
        seen(figure)
        looks.add((figure.evaluate(text), *figure.evaluate(LOOKS)))
    assert len(looks) == 2
    shared.evaluate("document.documentElement.dataset.theme = 'light'")


def test_figures_fit_a_small_phone(shared):
    shared.set_viewport_size({"width": 320, "height": 640})
    for figure in figures_of(shared):
        open_fold(figure)
        assert figure.evaluate("e => e.scrollWidth <= e.clientWidth")
        assert (
            figure.evaluate(
                """e => [...e.querySelectorAll("canvas, input, select, .dit-node")].filter((p) =>
              p.checkVisibility()
              && p.getBoundingClientRect().right > e.getBoundingClientRect().right + 1)
              .map((p) => p.outerHTML)"""
            )
            == []
        )
        box = figure.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 320
    shared.set_viewport_size({"width": 1280, "height": 720})


def test_print_shows_the_picture(shared):
    shared.emulate_media(media="print")
    assert shared.locator(".dit-figure img").first.is_visible()
    assert not shared.locator(".dit-live").first.is_visible()
    shared.emulate_media(media="screen")


def test_reduced_motion_moves_nothing(shared):
    """A visit asks for reduced motion: what is shown stays, and no style animates."""
    for figure in figures_of(shared):
        before = seen(figure)
        for _ in range(6):
            shared.evaluate(TWO_FRAMES)
        assert seen(figure) == before
        assert figure.evaluate("e => e.getAnimations({ subtree: true }).length") == 0


def test_every_control_changes_what_is_drawn(shared):
    for figure in figures_of(shared):
        open_fold(figure)
        reset(figure)
        known = set()
        for slider in each_visible(figure, "input[type=range]"):
            known.add(slider.get_attribute("id"))
            press(figure, slider)
        for menu in each_visible(figure, "select"):
            if not menu.is_visible():  # another menu's choice has hidden it
                continue
            chosen = menu.input_value()
            check_change(figure, lambda menu=menu: choose_other(menu), label(menu))
            for slider in each_visible(figure, "input[type=range]"):
                if slider.get_attribute("id") not in known:  # a slider that this choice reveals
                    press(figure, slider)
            menu.select_option(chosen)
        for button in each_visible(figure, "button:not(:disabled)"):
            check_change(figure, button.click, button.inner_text())
        for folded in each_visible(figure, "summary"):
            check_change(figure, folded.click, folded.inner_text())


def test_a_step_of_a_slider_does_not_lay_out_the_page(open_page):
    """The slider, its number, its valve and the lines are laid out, each alone."""
    page = open_page("10-adaln-zero")
    (figure,) = live_figures(page)
    sliders = each_visible(figure, "input[type=range]")
    page.context.browser.start_tracing(page=page, categories=["devtools.timeline"])
    for slider in 3 * sliders:  # the first step leaves the preset, and its button changes
        nudge(slider)
        page.evaluate(TWO_FRAMES)
    events = json.loads(page.context.browser.stop_tracing())["traceEvents"]
    layouts = [event["args"]["endData"] for event in events if event["name"] == "Layout"]
    # what stands here was not laid out with the document
    alone = {root["nodeName"] for end in layouts for root in end["layoutRoots"]}
    ids = [slider.get_attribute("id") for slider in sliders]
    assert {f"INPUT id='{name}'" for name in ids} < alone
    assert {"INPUT class='dit-value'", "svg class='dit-valve'", "svg"} < alone


# --- on a phone -----------------------------------------------------------------------------


@pytest.fixture(scope="module", params=WITH_FIGURES)
def phone(request, browser):
    """One visit of a chapter from disk on a phone; nothing is asked for beyond the book."""
    opened = visit(browser, f"{BOOK.as_uri()}/notebooks/{request.param}.html", **PHONE)
    live_figures(opened.page)
    yield opened.page
    opened.page.context.close()
    assert (opened.foreign, opened.errors) == ([], [])


def test_no_preset_moves_the_pictures(phone):
    """On a phone a sentence takes one line or four."""
    for figure in figures_of(phone):
        stage = figure.locator(".dit-stage")
        places = set()
        for button in figure.locator(".dit-presets button").all():
            button.click()
            phone.evaluate(TWO_FRAMES)
            places.add(stage.evaluate("e => e.offsetTop"))
        assert len(places) == 1


def test_formulas_are_set_from_disk(phone):
    assert phone.locator(".math mjx-container").count() == phone.locator(".math").count()


def test_touch_moves_a_control(phone):
    (figure, *_) = figures_of(phone)
    sliders, buttons = each_visible(figure, "input[type=range]"), each_visible(figure, "button")
    control = (sliders or buttons)[0]
    # away from the controls that stay at the edge of the screen and may cover it
    control.evaluate("e => e.scrollIntoView({ block: 'center', behavior: 'instant' })")
    box = control.bounding_box()
    place = box["x"] + 0.9 * box["width"], box["y"] + box["height"] / 2
    check_change(figure, lambda: phone.touchscreen.tap(*place), "a touch")


def test_what_is_focused_is_not_covered(phone):
    """By the controls at the edge of the screen, while Tab goes through a figure (WCAG 2.4.11)."""
    for figure in figures_of(phone):
        reset(figure)
        figure.evaluate("e => e.scrollIntoView({ block: 'end', behavior: 'instant' })")
        each_visible(figure, "button, input, select")[0].focus()
        covered = []
        while (name := figure.evaluate(COVERED)) is not None:
            covered.append(name)
            phone.keyboard.press("Tab")
        assert len(covered) > 5
        assert not [name for name in covered if name]


def test_cause_and_effect_in_one_look_on_a_phone(phone):
    assert not out_of_sight(phone)


# --- without JavaScript, and before what is loaded when it is asked for


@each_chapter
def test_without_javascript_the_picture_stays(open_page, chapter):
    page = open_page(chapter, java_script_enabled=False)
    pictures = page.locator(".dit-figure img")
    assert pictures.count() > 0
    for i in range(pictures.count()):
        pictures.nth(i).scroll_into_view_if_needed()
        assert pictures.nth(i).is_visible()
        assert len(pictures.nth(i).get_attribute("alt")) > 40


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_a_model_that_does_not_load_is_a_sentence_and_a_button(browser, site, scheme):
    """The first picture does not wait for it, and another try brings it."""
    start = site if scheme == "http" else f"{BOOK.as_uri()}/"
    page = browser.new_page()
    page.route("**/vit_review-weights.js", lambda route: route.abort())
    page.goto(f"{start}notebooks/01-vit-review.html")
    page.wait_for_selector(".dit-live")
    figure = page.locator(".dit-live").first
    blank = page.evaluate("() => document.createElement('canvas').toDataURL()")
    assert figure.locator("canvas").first.evaluate("c => c.toDataURL()") != blank
    figure.scroll_into_view_if_needed()
    said = figure.get_by_role("status").last
    expect(said).to_contain_text("could not be loaded")
    page.unroute("**/vit_review-weights.js")
    figure.get_by_role("button", name="try again").click()
    expect(said).to_contain_text(re.compile(r"The model says \d"))
    assert not figure.get_by_role("button", name="try again").is_visible()
    page.close()


def test_a_model_is_loaded_only_when_its_figure_comes_near(browser):
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{BOOK.as_uri()}/notebooks/01-vit-review.html")
    page.wait_for_selector(".dit-live")
    assert not any("weights" in address for address in asked)
    live_figures(page)
    assert any("vit_review-weights.js" in address for address in asked)
    page.close()
