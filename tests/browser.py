"""A real browser on the built book, with the network cut, and what drives a figure in it."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
from playwright.sync_api import Browser, Locator, Page, Route, expect, sync_playwright

from dit_lesson.figures.base import Figure
from tools.chromium import CHROMIUM

BOOK = Path(__file__).parents[1] / "_build" / "html"
#: Chapters with a figure.
WITH_FIGURES = sorted(
    path.stem
    for path in (BOOK / "notebooks").glob("*.html")
    if 'class="dit-figure"' in path.read_text(encoding="utf-8")
)
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
#: Milliseconds by which each frame comes late: SLOW_FRAMES=300 shows what a test reads too early.
LATE = int(os.environ.get("SLOW_FRAMES", "0"))
LATE_FRAMES = f"""((soon) => {{
  requestAnimationFrame = (draw) => soon(() => setTimeout(() => soon(draw), {LATE}));
}})(requestAnimationFrame)"""
#: A number that is hard to read without commas.
LONG_NUMBER = re.compile(r"(?<![\d.])\d{5,}")
READY = """async () => {
  await document.fonts.ready;
  return true;
}"""
PHONE = {"viewport": {"width": 375, "height": 667}, "has_touch": True}


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()


class Silent(SimpleHTTPRequestHandler):
    """A file server that says nothing and lets nothing be cached."""

    def log_message(self, *args: object) -> None:
        """Keep the log out of the tests' output."""


@dataclass
class Visit:
    """An open page and all that it asked for and complained about."""

    page: Page
    requests: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def weight(self) -> int:
        """Bytes of the files that the page loaded, as they lie on the disk."""
        paths = {unquote(urlsplit(address).path).lstrip("/") for address in self.requests}
        return sum((BOOK / path).stat().st_size for path in paths)


def visit(browser: Browser, address: str, **context: object) -> Visit:
    """Opens a page with everything blocked that is not beside it, and waits until it is ready.

    The address is one of the built book's, from `site` or ``file://``.
    """
    home = address[: address.index("/", 8) + 1] if address.startswith("http") else BOOK.as_uri()
    page = browser.new_context(**{"reduced_motion": "reduce", **context}).new_page()
    if LATE:
        page.add_init_script(LATE_FRAMES)
    seen = Visit(page)

    def guard(route: Route) -> None:
        asked = route.request.url
        if asked.startswith(home):
            seen.requests.append(asked)
            route.continue_()
        elif asked.startswith(("data:", "blob:")):
            route.continue_()
        else:
            seen.foreign.append(asked)
            route.abort()

    page.route("**/*", guard)
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.on("requestfailed", lambda request: seen.errors.append(f"failed: {request.url}"))
    page.on(
        "console",
        lambda message: message.type in ("error", "warning") and seen.errors.append(message.text),
    )
    page.goto(address)
    page.wait_for_function(READY)
    return seen


# Figures: what they show, and how a reader drives them

TWO_FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
# without the sentence: it comes late, and could pass for the answer to the next control
SEEN = """(root) => [...root.querySelectorAll("canvas")].map((c) => c.toDataURL()).join()
  + root.innerText.replace(root.querySelector(".dit-waiting").innerText, "")
  + [...root.querySelectorAll("svg")].map((s) => s.outerHTML).join()"""


# as Playwright has it, for many elements at once
VISIBLE = """(element) => {
  const { width, height } = element.getBoundingClientRect();
  return width > 0 && height > 0 && element.checkVisibility({ visibilityProperty: true });
}"""


def live_figures(page: Page) -> list[Locator]:
    """The figures of a page, in view one after the other so that each loads what it needs."""
    page.wait_for_selector(".dit-live")
    for figure in figures_of(page):
        figure.scroll_into_view_if_needed()
        # a sentence with its numbers: not yet there, or that it loads, is to wait
        said = figure.locator(".dit-waiting [role=status]")
        expect(said).to_have_text(re.compile(r"^(?!Loading)\S"), timeout=20_000)
    return figures_of(page)


def figures_of(page: Page) -> list[Locator]:
    """The figures of a page that runs them."""
    return page.locator(".dit-live").all()


def open_fold(figure: Locator, opened: bool = True) -> None:
    """Shows its seldom used controls as well, if it has some, or hides them."""
    state = ":not([open])" if opened else "[open]"
    if (fold := figure.locator(f".dit-fold{state} > summary")).count():
        fold.click()


def seen(figure: Locator) -> str:
    """All that the figure shows: its pictures and its text."""
    figure.page.evaluate(TWO_FRAMES)
    return figure.evaluate(SEEN)


def at_rest(figure: Locator) -> None:
    """Waits until a figure that works, and says so by aria-busy, has done what it was asked for."""
    figure.page.evaluate(TWO_FRAMES)
    expect(figure).not_to_have_attribute("aria-busy", "true", timeout=120_000)
    figure.page.evaluate(TWO_FRAMES)


def each_visible(figure: Locator, selector: str) -> list[Locator]:
    """Its visible elements of a kind."""
    elements = figure.locator(selector)
    seen = elements.evaluate_all(f"(elements) => elements.map({VISIBLE})")
    return [elements.nth(number) for number, is_seen in enumerate(seen) if is_seen]


def control(figure: Locator, name: str) -> Locator:
    """A slider by its label."""
    return figure.get_by_role("slider", name=re.compile(name))


def tables(figure: Locator) -> list[dict[str, list[float]]]:
    """The exact numbers in the folded tables, by row heading."""
    details = figure.locator(".dit-numbers")
    if details.get_attribute("open") is None:
        details.locator("summary").click()
    figure.page.evaluate(TWO_FRAMES)
    return figure.evaluate(
        """(root) => [...root.querySelectorAll("tbody")].map((body) =>
          Object.fromEntries([...body.rows].map((row) =>
            [row.querySelector("th").textContent,
             [...row.querySelectorAll("data")].map((d) => Number(d.value))])))"""
    )


def shows(figure: Locator, python: Figure, names: tuple[str, ...], atol: float) -> None:
    """Its tables hold these stages of the Python figure, and its sentence is the summary."""
    now = python.stages()
    for rows, name in zip(tables(figure), names, strict=True):
        np.testing.assert_allclose(list(rows.values()), now[name], rtol=0, atol=atol)
    expect(figure.get_by_role("status").last).to_have_text(python.summary())


def table_rows(figure: Locator) -> dict[str, list[float]]:
    """The exact numbers in its only table, by row heading."""
    (rows,) = tables(figure)
    return rows
