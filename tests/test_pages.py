"""Every page of the built book, in a real browser with the network cut.

`make test` builds the book first.
"""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import axe_playwright_python
import pytest
from bs4 import BeautifulSoup

from dit_lesson import plots
from tests.browser import BOOK, WITH_FIGURES, visit

FOLDERS = ("book", "notebooks")
PAGES = [f"{name}/{path.name}" for name in FOLDERS for path in sorted((BOOK / name).glob("*.html"))]
PAGES += [name for name in ("genindex.html", "search.html") if (BOOK / name).exists()]
CHAPTERS = [name for name in PAGES if name.startswith("notebooks/")]
WIDTHS = (320, 375, 1280)
CHAPTER = "notebooks/09-adaptive-layer-norm.html"  # the one whose controls are driven
CHAPTER_BYTES = 1_000_000
AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text("utf8")
LEVELS = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
CONTRAST = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
LABEL_IN_NAME = {"label-content-name-mismatch": {"enabled": True}}  # 2.5.3, off by default
REGION = {"region": {"enabled": True}}  # a best practice: everything stands in a landmark
NOT_CONTRAST = {
    "runOnly": LEVELS,
    "rules": {"color-contrast": {"enabled": False}, **LABEL_IN_NAME},
}
CHECKS = (  # width, theme, what axe runs, and what it passes over
    (1280, "light", {"runOnly": LEVELS, "rules": LABEL_IN_NAME | REGION}, []),
    (1280, "dark", CONTRAST, []),  # all that a theme can change
    (375, "light", NOT_CONTRAST, []),
    (375, "light", CONTRAST, [["article"]]),  # an article's colours are those of 1280 px
    (375, "dark", CONTRAST, [["article"]]),
)
ONE_OF_EACH = """() => {
  const ground = (element) => {
    const colour = getComputedStyle(element).backgroundColor;
    return /, 0\\)$/.test(colour) ? ground(element.parentElement) : colour;
  };
  const pieces = [...document.querySelectorAll(".highlight pre span")];
  for (const piece of pieces) piece.style.visibility = "";
  const seen = new Set();
  for (const piece of pieces.filter((piece) => piece.checkVisibility())) {
    const { color, fontSize, fontWeight } = getComputedStyle(piece);
    const look = [color, fontSize, fontWeight, ground(piece)].join();
    if (seen.has(look)) piece.style.visibility = "hidden";
    seen.add(look);
  }
  return seen.size;
}"""  # thousands of pieces of code look alike: axe measures the contrast of one of each look
RUN_AXE = """async ([options, exclude]) => {
  // the glyphs of a formula are hidden from screen readers, which read its MathML instead
  const context = { exclude: [["mjx-math"], ...exclude] };
  const found = await axe.run(context, { ...options, resultTypes: ["violations"] });
  return found.violations.flatMap(({ id, nodes }) =>
    nodes.map((node) => `${id}: ${node.html.slice(0, 200)} ${node.any[0]?.message ?? ""}`));
}"""
PLOTS = """() => {
  const folds = [...document.querySelectorAll("details:not([open])")];
  for (const fold of folds) fold.open = true;
  const found = [...document.querySelectorAll(".plot")].map((plot) => {
    const picture = plot.querySelector("img");
    return {
      shrinks: picture.width / picture.naturalWidth,
      scrolls: plot.scrollWidth > plot.clientWidth,
      named: plot.role === "group" && plot.ariaLabel,
    };
  });
  for (const fold of folds) fold.open = false;
  return found;
}"""
STILL = "*, ::before, ::after { transition: none !important; animation: none !important }"

pytestmark = pytest.mark.needs_chromium


def show(page, theme, width):
    page.set_viewport_size({"width": width, "height": 900})
    page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)


@pytest.fixture(scope="module", params=PAGES)
def opened(request, browser, site):
    seen = visit(browser, site + request.param)
    seen.name = request.param
    yield seen
    seen.page.context.close()


def test_the_book_is_built():
    assert CHAPTER in PAGES, "no chapter in _build/html: run `make book` first"


def test_page_asks_for_nothing_beyond_the_book(opened):
    assert opened.foreign == []
    assert opened.errors == []


def test_mathematics_is_rendered(opened):
    formulas = opened.page.locator(".math")
    assert opened.page.locator(".math mjx-container").count() == formulas.count()
    assert opened.page.locator("mjx-merror, [data-mjx-error]").count() == 0


def test_chapter_is_light(opened):
    """All that a chapter loads before anything is asked for."""
    if opened.name in CHAPTERS:
        assert opened.weight() <= CHAPTER_BYTES


def test_nothing_scrolls_sideways(opened):
    for width in WIDTHS:
        show(opened.page, "light", width)
        wide = opened.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{wide} px wide in a window of {width} px"


def test_plots_can_be_read_on_a_phone(opened):
    """Their text is at least 12 px large; where they are too wide for that, they scroll."""
    pictures = opened.page.locator(".cell_output img:not(.dit-figure img)").count()
    for theme in ("light", "dark"):
        show(opened.page, theme, 375)
        found = opened.page.evaluate(PLOTS)
        assert len(found) == pictures
        for plot in found:
            assert plots.TEXT * plot["shrinks"] >= 12
            assert plot["scrolls"] and plot["named"]


def test_axe_finds_no_violation(opened):
    opened.page.add_style_tag(content=STILL)
    opened.page.evaluate(AXE)
    found = set()
    for width, theme, options, passed_over in CHECKS:
        show(opened.page, theme, width)
        looks = opened.page.evaluate(ONE_OF_EACH)
        assert looks > 1 or opened.name not in CHAPTERS
        lines = opened.page.evaluate(RUN_AXE, [options, passed_over])
        found |= {f"{theme} {width}: {line}" for line in lines}
    assert not found, "\n".join(sorted(found))


@pytest.mark.parametrize("name", [name for name in PAGES if Path(name).stem not in WITH_FIGURES])
def test_page_opens_from_disk(browser, name):
    """The others do so in tests/test_figures_page.py."""
    seen = visit(browser, (BOOK / name).as_uri())
    assert (seen.foreign, seen.errors) == ([], [])
    formulas = seen.page.locator(".math").count()
    assert seen.page.locator(".math mjx-container").count() == formulas
    seen.page.context.close()


@pytest.fixture(scope="module")
def soups():
    return {
        name: BeautifulSoup((BOOK / name).read_text("utf8"), "html.parser")
        for name in [*PAGES, "index.html"]
    }


def test_every_link_leads_somewhere(soups):
    identities = {name: {tag["id"] for tag in soup.select("[id]")} for name, soup in soups.items()}
    broken = []
    for name, soup in soups.items():
        for tag in soup.select("a[href], link[href], script[src], img[src]"):
            address = tag.get("href") or tag.get("src")
            parts = urlsplit(address)
            if parts.scheme or parts.netloc or not (parts.path or parts.fragment):
                continue
            target = (BOOK / name).parent / unquote(parts.path) if parts.path else BOOK / name
            if not target.resolve().is_file():
                broken.append(f"{name}: {address}")
                continue
            anchors = identities.get(target.resolve().relative_to(BOOK.resolve()).as_posix())
            fragment = unquote(parts.fragment)
            if fragment and anchors is not None and fragment not in anchors:
                broken.append(f"{name}: {address}")
    assert not broken


def test_every_identity_is_unique(soups):
    for name, soup in soups.items():
        names = [tag["id"] for tag in soup.select("[id]")]
        assert len(names) == len(set(names)), name


def test_every_picture_has_a_text(soups):
    for name, soup in soups.items():
        for picture in soup.select("img"):
            text = (picture.get("alt") or "").strip()
            assert text and "_images" not in text, f"{name}: {str(picture)[:200]}"


def test_pages_hold_no_live_code_loader():
    for name in PAGES:
        page = (BOOK / name).read_text("utf8")
        assert not re.search(r"THEBE|require\.js|unpkg|jsdelivr|cdnjs", page), name


PRESS_EVERY_BUTTON = """async () => {
  const dead = [];
  const note = (what) => { document.body.dataset.pressed = what + Math.random(); };
  window.print = () => note("print");
  Element.prototype.requestFullscreen = () => note("fullscreen");
  const shown = [...document.querySelectorAll("button")].filter(
    (button) => button.checkVisibility() && !button.closest(".dit-figure, dialog"));
  for (const button of shown) {
    let effects = 0;
    const watch = new MutationObserver((records) => { effects += records.length; });
    watch.observe(document, { attributes: true, childList: true, subtree: true });
    button.click();
    await new Promise((resolve) => setTimeout(resolve, 50));
    watch.disconnect();
    if (!effects) dead.push(button.outerHTML.slice(0, 200));
    for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  }
  return { pressed: shown.length, dead };
}"""


@pytest.fixture
def chapter(browser, site):
    seen = visit(browser, site + CHAPTER, viewport={"width": 1280, "height": 900})
    yield seen.page
    seen.page.context.close()


@pytest.mark.parametrize("width", WIDTHS[1:])
def test_no_button_is_dead(chapter, width):
    show(chapter, "light", width)
    result = chapter.evaluate(PRESS_EVERY_BUTTON)
    assert result["pressed"] >= 4
    assert result["dead"] == []


def test_theme_switch_changes_the_page(chapter):
    ground = "getComputedStyle(document.body).backgroundColor"
    grounds = set()
    for _ in range(3):
        chapter.locator(".article-header-buttons .theme-switch-button").click()
        grounds.add(chapter.evaluate(ground))
    assert len(grounds) == 2
    chosen = chapter.evaluate("document.documentElement.dataset.mode")
    chapter.reload()
    assert chapter.evaluate("document.documentElement.dataset.mode") == chosen


def test_sidebar_hides_and_comes_back(chapter):
    sidebar = chapter.locator("#pst-primary-sidebar")
    toggle = chapter.locator(".bd-header-article .primary-toggle")
    wide = sidebar.bounding_box()
    toggle.click()
    sidebar.wait_for(state="hidden")
    toggle.click()
    sidebar.wait_for(state="visible")
    chapter.wait_for_function("(e) => e.getAnimations().length === 0", arg=sidebar.element_handle())
    assert sidebar.bounding_box() == wide


def test_menu_on_a_small_screen_opens_and_closes_by_keyboard(chapter):
    show(chapter, "light", 375)
    link = chapter.locator("#pst-primary-sidebar-modal a", has_text="Glossary")
    chapter.locator(".bd-header-article .primary-toggle").focus()
    chapter.keyboard.press("Enter")
    link.wait_for(state="visible")
    chapter.keyboard.press("Escape")
    link.wait_for(state="hidden")


def test_a_plot_says_that_it_scrolls_and_does_so_by_keyboard(chapter):
    plot = chapter.locator(".plot").first
    hint = "e => getComputedStyle(e, '::before').content"
    assert plot.get_attribute("tabindex") is None and plot.evaluate(hint) == "none"
    show(chapter, "light", 375)
    plot.and_(chapter.locator("[tabindex='0']")).wait_for()
    assert "scrolls sideways" in plot.evaluate(hint)
    plot.focus()
    for _ in range(30):
        chapter.keyboard.press("ArrowRight")
    chapter.wait_for_function("e => e.scrollLeft > 300", arg=plot.element_handle())
    assert chapter.evaluate("scrollX") == 0


def test_every_opener_fits_on_a_phones_screen(browser):
    page = visit(browser, (BOOK / CHAPTER).as_uri(), viewport={"width": 375, "height": 667}).page
    for name in CHAPTERS:
        page.goto((BOOK / name).as_uri())
        opener = page.locator(".bd-article .admonition").first.bounding_box()
        assert 0 < opener["y"] and opener["y"] + opener["height"] < 667, name
    page.context.close()


def test_every_opener_leads_to_its_figure(browser):
    page = visit(browser, (BOOK / CHAPTER).as_uri(), viewport={"width": 1280, "height": 720}).page
    for name in CHAPTERS:
        page.goto((BOOK / name).as_uri())
        page.locator(".dit-live").first.wait_for()
        page.locator(".bd-article .admonition").first.get_by_text("Go to the figure.").click()
        page.wait_for_function(
            """() => {
              const { top } = document.querySelector(".dit-live").getBoundingClientRect();
              const bar = document.querySelector(".bd-header-article").getBoundingClientRect();
              return bar.bottom <= top && top < 200;
            }"""
        )
    page.context.close()


def test_a_figure_passes_under_the_bar_and_not_beside_it(chapter):
    figure = chapter.locator(".dit-live").first
    figure.wait_for()
    covered = "([x, y]) => !document.elementFromPoint(x, y).closest('.dit-live')"
    beside = [figure.bounding_box()["width"] + figure.bounding_box()["x"] - 20, 20]
    figure.evaluate("e => scrollBy(0, e.getBoundingClientRect().top + 200)")
    chapter.wait_for_function(covered, arg=beside)
    assert chapter.evaluate(covered, [beside[0], 200]) is False


def test_an_equation_is_as_large_as_its_screen_allows(chapter):
    widths = """() => [...document.querySelectorAll("mjx-container[display]")].map((equation) => [
      parseFloat(getComputedStyle(equation).fontSize), equation.scrollWidth / equation.clientWidth,
      equation.querySelector("mjx-math").offsetWidth / equation.clientWidth])"""
    show(chapter, "light", 1280)
    (full,) = {size for size, *_ in chapter.evaluate(widths)}
    show(chapter, "light", 375)
    chapter.wait_for_function(f"({widths})().some(([size]) => size < {full})")
    small = chapter.evaluate(widths)
    assert all(overflow == 1 for _, overflow, _ in small)
    assert all(size == full or 0.9 < filled for size, _, filled in small)


def test_search_finds_a_word_of_a_chapter(chapter, site):
    title = chapter.locator("article h1").evaluate("e => e.firstChild.textContent")
    chapter.keyboard.press("Control+k")
    chapter.locator("#pst-search-dialog input").fill("modulate")
    chapter.keyboard.press("Enter")
    chapter.wait_for_url("**/search.html?q=modulate")
    chapter.locator("#search-results li a").first.wait_for()
    links = [link.get_attribute("href") for link in chapter.locator("#search-results li a").all()]
    # what excerpts are cut from: the chapter, without the buttons above it
    read = "async (page) => Search.htmlToText(await (await fetch(page)).text()).trim()"
    assert chapter.evaluate(read, site + CHAPTER).startswith(title)
    assert any(Path(CHAPTER).name in link for link in links)


def test_search_works_from_disk(browser):
    seen = visit(browser, (BOOK / "search.html").as_uri() + "?q=modulate")
    seen.page.locator("#search-results li a").first.wait_for()
    assert (seen.foreign, seen.errors) == ([], [])
    seen.page.context.close()


def test_chapter_can_be_downloaded_as_a_notebook(chapter):
    chapter.locator(".dropdown-download-buttons button").first.click()
    with chapter.expect_download() as download:
        chapter.locator(".btn-download-source-button").click()
    assert download.value.suggested_filename == Path(CHAPTER).with_suffix(".ipynb").name


def test_solutions_are_folded_and_open_by_keyboard(chapter):
    solution = chapter.locator("details.solution").first
    summary = solution.locator("summary").first
    assert solution.get_attribute("open") is None
    summary.focus()
    chapter.keyboard.press("Enter")
    assert solution.get_attribute("open") is not None
    assert solution.locator(".cell").first.is_visible()


def test_solutions_are_open_on_paper(chapter):
    chapter.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert chapter.locator("details:not([open])").count() == 0
    chapter.evaluate("dispatchEvent(new Event('afterprint'))")
    assert chapter.locator("details.solution[open]").count() == 0


def test_figures_are_pictures_on_paper(chapter):
    asked = []
    chapter.on("request", lambda request: asked.append(request.url))
    chapter.wait_for_selector(".dit-live")
    chapter.pdf()
    assert any("_images/figure-" in address for address in asked)
    loaded = "pictures => pictures.every((picture) => picture.naturalWidth > 0)"
    assert chapter.locator(".dit-figure img").evaluate_all(loaded)
