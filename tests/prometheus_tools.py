"""Programs of Debian's package `prometheus`. This file finds them for the tests, or says what is missing."""

import os
import shutil

import pytest

REQUIRED = "TIERWISE_REQUIRE_PROMTOOL"
IS_REQUIRED = bool(
    os.environ.get(REQUIRED)
)  # Read here: before the tests begin, such switches are taken away.


def needed_program(name: str) -> str:
    """Answer where a program is; skip the test where it is missing, or fail it if it is required."""
    found = shutil.which(name)
    if found is None:
        reason = f"this needs {name} (Debian: prometheus), not found on this machine"
        if IS_REQUIRED:
            pytest.fail(f"{reason}, and {REQUIRED} is set")
        pytest.skip(reason)
    return found
