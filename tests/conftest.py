"""Fixtures shared by all tests."""

import os
import signal
from collections.abc import Callable

import pytest

# The suite runs one process per core; with more threads, small tensors are ten times slower.
os.environ["OMP_NUM_THREADS"] = "1"
# Shells start background jobs with SIGINT ignored, and programs inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def needs() -> Callable[[bool, str], None]:
    """Skip a test if a package is not installed; in CI, fail instead."""

    def check(present: bool, package: str) -> None:
        if not present:
            missing = f"Debian's package {package} is not installed"
            (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)

    return check


RECIPE = dict(epochs=2, batch_size=64, lr=1e-2, weight_decay=0.05, warmup_epochs=1, clip_grad=1.0)


@pytest.fixture(scope="session")
def make_config() -> Callable:
    """Return a function that builds the settings of a one-second run on the digits.

    Given sections are merged into the defaults.
    """
    from posmlp.study import RunConfig  # not before the number of threads is set

    def make(seed=0, data=None, model=None, recipe=None, variant="gqpe"):
        return RunConfig.model_validate(
            dict(
                study="small",
                variant=variant,
                seed=seed,
                data=dict(name="digits", train_fraction=0.2) | (data or {}),
                model=dict(name="gmlp_posgu_xs1_8", gate="gqpe", groups=4) | (model or {}),
                recipe=RECIPE | (recipe or {}),
            )
        )

    return make
