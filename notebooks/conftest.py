"""Chapters are compared in the environment in which `make notebooks` ran them."""

import os

import pytest

from tools.chapters import FIXED_ENVIRONMENT


def pytest_configure(config: pytest.Config) -> None:
    """Fix the environment that the kernels inherit, and what strict nbval does not compare."""
    os.environ.update(FIXED_ENVIRONMENT)
    config.option.nbval_sanitize_with = str(config.rootpath / "tools" / "nbval-sanitize.cfg")
