"""Programs of this machine that a test runs."""

import shutil

import pytest


def needs(*programs):
    """Skips the test if a program is missing. `.ci/run` installs all of them."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
