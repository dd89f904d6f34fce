"""The fault campaign, in its short form; and that it would see a difference."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.faults.__main__ import write_study
from tests.faults.compare import differences
from tests.faults.runner import KINDS, Runner


def test_runs_that_were_killed_are_the_same():
    command = [sys.executable, "-m", "tests.faults", "--faults", "20"]
    done = subprocess.run(command, capture_output=True, text=True)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    last = done.stdout.splitlines()[-1]
    assert last.startswith("faults 20, runs compared "), output
    assert last.endswith(", differences 0"), output
    assert all(f"\n{kind} " in done.stdout for kind in KINDS)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """Return the folder of a campaign with one run, finished."""
    work = tmp_path_factory.mktemp("campaign")
    write_study(work, num_seeds=2)
    run_in_a_process(work, "cooldown", 0)
    return work


def run_in_a_process(
    work: Path, variant: str, seed: int, kind: str = "none", limit: int = 0
) -> str:
    """Start a run where nothing has computed yet, as forks need; return the complaints."""
    code = (
        "import sys; from pathlib import Path; from tests.faults.runner import Runner\n"
        "runner = Runner(Path(sys.argv[1]), 'whole', sys.argv[2], int(sys.argv[3]))\n"
        "runner.start(limit=int(sys.argv[5])); print(*runner.complaints(sys.argv[4]))"
    )
    arguments = [str(work), variant, str(seed), kind, str(limit)]
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


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


def leave_a_part(folder: Path) -> None:
    (folder / ".model.safetensors.part").touch()


def lose_metrics(folder: Path) -> None:
    (folder / "metrics.json").unlink()


def change_metrics(folder: Path) -> None:
    path = folder / "metrics.json"
    path.write_text(path.read_text().replace('"epochs": 3', '"epochs": 4'))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (change_weights, "model.safetensors"),
        (change_loss, "history.csv"),
        (leave_a_part, ".model.safetensors.part"),
        (lose_metrics, "metrics.json"),
        (change_metrics, "metrics.json"),
    ],
)
def test_a_single_difference_is_seen(finished, tmp_path, change, named):
    folder = finished / "whole" / "runs" / "killed" / "cooldown" / "seed0"
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert differences(copy, folder) == []
    change(copy)
    (line,) = differences(copy, folder)
    assert line.startswith(f"{named} differs")


def test_runs_of_two_seeds_differ_in_every_result(finished):
    assert run_in_a_process(finished, "cooldown", 1) == ""
    runs = finished / "whole" / "runs" / "killed" / "cooldown"
    names = [line.split(" differs")[0] for line in differences(runs / "seed1", runs / "seed0")]
    assert {"history.csv", "metrics.json", "model.safetensors", "the newest checkpoint"} <= {*names}


def test_a_start_that_ends_otherwise_than_its_fault_asks_is_a_difference(tmp_path):
    write_study(tmp_path, num_seeds=1)
    complaint = run_in_a_process(tmp_path, "cooldown", 0, kind="SIGTERM", limit=600)
    assert complaint.startswith("exit status 2 after SIGTERM: error: ")
    assert not Runner(tmp_path, "other", "cooldown", 0).finished
