"""What all tests share."""

import os
from collections.abc import Callable

import pytest

# The suite runs a process per core; more threads than cores make small tensors ten times slower.
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session")
def needs() -> Callable[[bool, str], None]:
    """Return a check for a part that the machine may lack: a skip, and in CI a failure."""

    def check(present: bool, package: str) -> None:
        if not present:
            missing = f"Debian's package {package} is not installed"
            (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)

    return check
