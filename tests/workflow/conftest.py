"""A checkout of its own for every test, and one in which the study has run."""

from pathlib import Path

import pytest
from checkout import Checkout


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "checkout")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout in which the tiny study has run; tests must leave it as it was."""
    checkout = Checkout(tmp_path_factory.mktemp("finished") / "checkout")
    done = checkout.snakemake()
    assert done.returncode == 0, done.stdout
    return checkout
