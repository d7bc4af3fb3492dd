"""A real browser on the built book, with the network cut: fixtures for the tests of pages.

Use them with ``from tests.browser import ...`` and mark the test ``needs_chromium``.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, sync_playwright

from tests.conftest import CHROMIUM

BOOK = Path(__file__).parents[1] / "_build" / "html"
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
READY = """async () => {
  await globalThis.MathJax?.startup?.promise;
  await document.fonts.ready;
  return true;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One headless Chromium for a module's tests."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield chromium
        chromium.close()


class Silent(SimpleHTTPRequestHandler):
    """A file server that says nothing and lets nothing be cached."""

    def log_message(self, *args: object) -> None:
        """Keep the log out of the tests' output."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The built book's address on loopback."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=BOOK)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


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
