"""Two processes train one run, started by torchrun as a user does: the figures of one process.

The processes' sums are added in another order, so figures differ in float32's last bits and what
training makes of these: REL is some ten times what was seen.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from posmlp.runs.record import read_history

pytestmark = pytest.mark.xdist_group("several processes")

ROOT = Path(__file__).parents[2]
REL = 1e-4
STUDY = {
    "title": "Small",
    "question": "Does it train?",
    "data": {"name": "digits", "train_fraction": 0.2, "eval_fraction": 0.51},
    "model": {"name": "gmlp_posgu_xs1_8", "gate": "sgu"},
    "recipe": {
        "epochs": 2,
        "batch_size": 64,
        "lr": 1e-2,
        "weight_decay": 0.05,
        "warmup_epochs": 1,
        "clip_grad": 1.0,
        "ema_decay": 0.9,
        "augment": {"shift": 1, "hflip": 0.5},
    },
    "seeds": [0],
    "reference": "sgu",
}
SHEET = "variant\tclaim\tmodel.gate\tmodel.groups\nsgu\treference\t\t\ngqpe\tfour\tgqpe\t4\n"
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def start(tmp_path):
    """Return a function that starts a variant's run on so many processes."""
    started = []

    def start(num, variant="sgu", **recipe):
        study = STUDY | {"recipe": STUDY["recipe"] | recipe}
        (tmp_path / "small.yaml").write_text(yaml.safe_dump(study))
        (tmp_path / "small.tsv").write_text(SHEET)
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(num)]
        command = [sys.executable, *(launcher if num > 1 else []), "-m", "posmlp", "train"]
        command += ["--study", str(tmp_path / "small.yaml"), "--variant", variant, "--seed", "0"]
        command += ["--results", str(tmp_path / f"{num}"), "--device", "cpu"]
        command += ["--data-root", str(tmp_path / "data")]
        out = (tmp_path / "out").open("w")
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=ENVIRONMENT,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        started.append(process)
        return process, tmp_path / f"{num}" / "runs" / "small" / variant / "seed0"

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def said(tmp_path):
    """Return a function that reads what the last process and its children printed."""
    return (tmp_path / "out").read_text


@pytest.mark.parametrize(("variant", "grad_accum"), [("sgu", 1), ("gqpe", 2)])
def test_two_processes_train_what_one_does(start, said, variant, grad_accum):
    histories, metrics = [], []
    for num in (1, 2):
        process, folder = start(num, variant, grad_accum=grad_accum)
        assert process.wait(timeout=120) == 0, said()
        histories.append(read_history(folder / "history.csv"))
        metrics.append(json.loads((folder / "metrics.json").read_text()))
    one, two = histories
    for key in ("lr", "train_loss", "test_loss", "ema_test_loss"):
        assert [row[key] for row in two] == pytest.approx([row[key] for row in one], rel=REL), key
    num_test = metrics[0]["num_test"]
    assert num_test % 2 == 1
    for key in ("test_top1", "test_top5", "ema_test_top1", "ema_test_top5"):
        for row, other in zip(one, two, strict=True):
            hits = other[key] / 100 * num_test
            assert hits == pytest.approx(round(hits), abs=1e-6)  # of the images, each once
            assert hits == pytest.approx(row[key] / 100 * num_test, abs=1.01), key  # a near tie
    assert [m["num_processes"] for m in metrics] == [1, 2]


def trainers(process):
    """Process ids of the trainers that a torchrun has started."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(child) for child in children if b"train" in Path(f"/proc/{child}/cmdline").read_bytes()]


def test_the_death_of_one_process_ends_all(start, said):
    process, folder = start(2, epochs=10_000)
    wait_for(folder / "history.csv", process, said)
    pids = trainers(process)
    assert len(pids) == 2
    os.kill(pids[1], signal.SIGKILL)
    assert process.wait(timeout=60) != 0
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    assert "SIGKILL" in said() or "Signal 9" in said()
    assert not (folder / "metrics.json").exists()


def wait_for(path, process, said):
    end = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None, said()
        assert time.monotonic() < end, said()
        time.sleep(0.05)


def test_a_run_goes_on_with_another_number_of_processes(start, said):
    whole, folder = start(1, epochs=4)
    assert whole.wait(timeout=120) == 0, said()
    expected = read_history(folder / "history.csv")
    process, folder = start(2, epochs=4)
    wait_for(folder / "history.csv", process, said)
    for pid in trainers(process):
        os.kill(pid, signal.SIGTERM)
    assert process.wait(timeout=60) != 0
    assert not (folder / "metrics.json").exists()
    folder.parents[3].rename(folder.parents[3].with_name("1"))


def test_a_batch_that_cannot_be_split_is_an_error(start, said):
    process, _ = start(2, batch_size=63)
    assert process.wait(timeout=60) != 0
    assert "error: recipe.batch_size: 63 images cannot be split evenly over 2 processes" in said()
    assert "take a multiple of 2" in said()
