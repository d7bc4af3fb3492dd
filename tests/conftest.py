"""What a machine may lack: skipped with a sentence here, a failure where CI=true."""

import os
import shutil

import pytest
from hypothesis import settings

from tools.chapters import FIXED_ENVIRONMENT

# before any test imports NumPy or torch: two test processes share two cores
os.environ.update(FIXED_ENVIRONMENT)

# the same examples in every run; a slow machine is no failure
settings.register_profile("book", deadline=None, derandomize=True)
settings.load_profile("book")

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
LACKING = {
    "needs_chromium": not CHROMIUM
    and "Chromium is not installed: on Debian, apt-get install chromium; elsewhere Google Chrome",
    "needs_node": not shutil.which("node")
    and "Node.js is not installed: on Debian, apt-get install nodejs; elsewhere see nodejs.org",
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, or fail in CI, a test whose marker names what this machine lacks."""
    for marker, sentence in LACKING.items():
        if sentence and item.get_closest_marker(marker):
            if os.environ.get("CI") == "true":
                pytest.fail(sentence, pytrace=False)
            pytest.skip(sentence)
