"""A short fault campaign, and a check that it detects differences."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.faults.__main__ import write_study
from tests.faults.compare import differences
from tests.faults.runner import KINDS

ROOT = Path(__file__).parents[2]


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_killed_runs_match_uninterrupted_ones():
    """With one fault of every kind."""
    done = python("-m", "tests.faults", "--faults", str(len(KINDS)))
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    last = done.stdout.splitlines()[-1]
    assert last.startswith(f"faults {len(KINDS)}, runs compared "), output
    assert last.endswith(", differences 0"), output
    assert all(f"\n{kind} " in done.stdout for kind in KINDS)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The folder of a finished run."""
    work = tmp_path_factory.mktemp("campaign")
    write_study(work, num_seeds=1)
    # In its own process, because runs must be forked from one that has not used torch yet.
    code = (
        "import sys; from pathlib import Path; from tests.faults.runner import Runner\n"
        "runner = Runner(Path(sys.argv[1]), 'whole', 'cooldown', 0)\n"
        "runner.start(); print(*runner.complaints())"
    )
    done = python("-c", code, str(work))
    assert done.stdout.strip() == "", done.stdout + done.stderr
    return work / "whole" / "runs" / "killed" / "cooldown" / "seed0"


def change_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def change_loss(folder: Path) -> None:
    path = folder / "history.csv"
    lines = path.read_text().splitlines()
    cells = lines[1].split(",")
    cells[3] = repr(float(np.nextafter(float(cells[3]), 9)))
    path.write_text("\n".join([lines[0], ",".join(cells), *lines[2:]]) + "\n")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (change_weights, "model.safetensors"),
        (change_loss, "history.csv"),
        (lambda folder: (folder / ".a.part").touch(), ".a.part"),
        (lambda folder: (folder / "metrics.json").unlink(), "metrics.json"),
    ],
)
def test_a_single_difference_is_seen(finished, tmp_path, change, named):
    copy = shutil.copytree(finished, tmp_path / "copy")
    assert differences(copy, finished) == []
    change(copy)
    (line,) = differences(copy, finished)
    assert line.startswith(f"{named} differs")
