"""A new checkout for every test, and one in which a study has run."""

from pathlib import Path

import pytest
from checkout import Checkout


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "checkout")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout in which every rule has run for the tiny study; tests must not change it.

    A job for each run, so that dry runs count those. Its folders have names that an unquoted shell
    command would break.
    """
    folder = tmp_path_factory.mktemp("finished") / "résultats d'été 数据"
    checkout = Checkout(folder / "checkout", results="Zoë's results")
    checkout.edit("config/config.yaml", "runs_per_job: null", "runs_per_job: 1")
    checkout.audit_one_network()
    for targets in (["all", "calibrate"], ["audit"]):  # the audit reads what the study has written
        done = checkout.snakemake(*targets)
        assert done.returncode == 0, done.stdout
    return checkout
