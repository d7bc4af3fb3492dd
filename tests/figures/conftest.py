"""One Chromium for the figures' files that follow each other in a process."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser import chromium


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Stays open from file to file."""
    with chromium() as running:
        yield running
