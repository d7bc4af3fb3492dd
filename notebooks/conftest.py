"""Chapters are compared in the environment in which `make notebooks` ran them."""

import os

import pytest

from notebooks import FIXED_ENVIRONMENT  # .ci/notebooks.py


def pytest_configure(config: pytest.Config) -> None:
    """Fix the environment that the kernels inherit, and what strict nbval does not compare."""
    os.environ.update(FIXED_ENVIRONMENT)
    config.option.nbval_sanitize_with = str(config.rootpath / ".ci" / "nbval-sanitize.cfg")
