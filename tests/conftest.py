"""Fixtures for all tests, and what a machine may lack: skipped here, a failure where CI=true."""

import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import ThreadingHTTPServer

import pytest
from hypothesis import settings
from playwright.sync_api import Browser, Page

from tests.browser import BOOK, Silent, chromium, visit
from tools.browsers import FIREFOX, WEBKIT
from tools.chapters import FIXED_ENVIRONMENT
from tools.chromium import CHROMIUM

# before any test imports NumPy or torch: two test processes share two cores
os.environ.update(FIXED_ENVIRONMENT)

# the same examples in every run; a slow machine is no failure
settings.register_profile("book", deadline=None, derandomize=True)
settings.load_profile("book")

LACKING = {
    "needs_chromium": not CHROMIUM
    and "Chromium is not installed: on Debian, apt-get install chromium; elsewhere Google Chrome",
    "needs_firefox": not FIREFOX
    and "Firefox is not installed: on Debian, apt-get install firefox-esr",
    "needs_webkit": not WEBKIT
    and "WebKit is not installed: on Debian, apt-get install webkit2gtk-driver xvfb",
}


#: What takes longest begins first, so that all test processes end together.
LONGEST = ("test_figures_page", "test_pages", "test_browsers", "test_experiments", "test_training")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first; else the order stays."""
    items.sort(key=lambda item: [item.path.stem != name for name in LONGEST])


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, or fail in CI, a test whose marker names what this machine lacks."""
    for marker, sentence in LACKING.items():
        if sentence and item.get_closest_marker(marker):
            if os.environ.get("CI") == "true":
                pytest.fail(sentence, pytrace=False)
            pytest.skip(sentence)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One headless Chromium for a module's tests."""
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The built book's address on loopback."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=BOOK)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def open_page(browser: Browser, site: str) -> Iterator[Callable[..., Page]]:
    """Opens a chapter with the network cut; afterwards nothing was asked for or complained of."""
    visits = []

    def open_chapter(chapter: str, scheme: str = "file", **context: object) -> Page:
        start = site if scheme == "http" else f"{BOOK.as_uri()}/"
        opened = visit(browser, f"{start}notebooks/{chapter}.html", **context)
        if context.get("java_script_enabled", True):  # else each script counts as failed
            visits.append(opened)
        return opened.page

    yield open_chapter
    for opened in visits:
        opened.page.context.close()
        assert (opened.foreign, opened.errors) == ([], [])
