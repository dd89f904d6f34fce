"""A checkout for every test, on the cluster started by `make test-slurm`."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from checkout import Checkout
from lab import LAB, Submission, is_up

LONG = """\
title: Long
question: Does a run survive what happens to it?
data: {name: digits}
model: {name: gmlp_posgu_xs1_8, gate: sgu}
recipe: {epochs: 3, batch_size: 8, lr: 1e-2, weight_decay: 0.05}
seeds: [0]
reference: sgu
"""
# Changes to the code of a checkout. While a file `slow` exists, a run waits half a second at every
# step after its first epoch, which gives tests minutes to disturb it; without the file it ends
# within seconds. Snakemake's plugin queries the states of jobs every two seconds; in use, its
# intervals grow to three minutes.
EDITS = [
    ("posmlp/runs/execute.py", "import datetime\n", "import datetime\nimport os\nimport time\n"),
    (
        *("posmlp/runs/execute.py", "save, interrupts.check)"),
        "save, lambda: time.sleep(0.5 * (trainer.epoch > 0 and os.path.exists('slow')))"
        " or interrupts.check())",
    ),
    (
        *("posmlp/slurm/executor.py", "    submitted: list[str]  # numbers of jobs\n"),
        "    submitted: list[str]\n"
        "    next_seconds_between_status_checks = property(lambda self: 2, lambda self, s: None)\n",
    ),
]


@pytest.fixture(autouse=True, scope="session")
def cluster() -> None:
    """Skip without a cluster; fail in CI."""
    if not (shutil.which("scontrol") and LAB.exists() and is_up()):
        reason = "no Slurm runs here: `make test-slurm` starts one (root, Debian's packages)"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A checkout with another study, `long`: one run that lasts until the test lets it end."""
    checkout = Checkout(tmp_path / "checkout")
    for edit in EDITS:
        checkout.edit(*edit)
    studies = checkout.path / "config/studies"
    (studies / "long.yaml").write_text(LONG)
    (studies / "long.tsv").write_text("variant\tclaim\nsgu\tIt goes on\n")
    checkout.check_networks("long")
    return checkout


@pytest.fixture
def submit(checkout: Checkout):
    """Start `snakemake --profile slurm`; its remaining jobs are cancelled at the end."""
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
