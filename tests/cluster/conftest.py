"""A checkout for every test, on the cluster that `make test-slurm` has started."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from checkout import Checkout
from lab import LAB, Submission

LONG = """\
title: Long
question: Does a run survive what happens to it?
data: {name: digits}
model: {name: gmlp_posgu_xs1_8, gate: sgu}
recipe: {epochs: 10, batch_size: 8, lr: 1e-2, weight_decay: 0.05}
seeds: [0]
reference: sgu
"""


@pytest.fixture(autouse=True, scope="session")
def cluster() -> None:
    """Skip without a cluster, which is a failure in CI."""
    up = shutil.which("scontrol") and LAB.exists()
    if not up or subprocess.run(["scontrol", "ping"], capture_output=True).returncode:
        reason = "no Slurm runs here: `make test-slurm` starts one (root, Debian's packages)"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A checkout with one more study: `long`, one run of half a minute or more."""
    checkout = Checkout(tmp_path / "checkout")
    studies = checkout.path / "config/studies"
    (studies / "long.yaml").write_text(LONG)
    (studies / "long.tsv").write_text("variant\tclaim\nsgu\tIt goes on\n")
    checkout.check_networks("long")
    return checkout


@pytest.fixture
def submit(checkout: Checkout):
    """Start `snakemake --profile slurm`; whatever it leaves is cancelled at the end."""
    started = []

    def start(*arguments: str, study: str = "tiny", **site) -> Submission:
        started.append(Submission(checkout, *arguments, study=study, **site))
        return started[-1]

    yield start
    for submission in started:
        if submission.process and submission.process.poll() is None:
            submission.process.kill()
            submission.process.communicate()
        if jobs := submission.jobs():
            subprocess.run(["scancel", *jobs], check=False)
