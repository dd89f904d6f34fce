"""Runs on several processes, started through torchrun by `posmlp train`, match runs on one.

Processes add their sums in a different order, so metrics differ in float32's last bits and grow
with training: 2e-7 after 2 epochs and 1e-5 after 20 were seen, and ten times that is allowed.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import yaml

from posmlp.runs.reading import read_history

pytestmark = pytest.mark.xdist_group("several processes")

ROOT = Path(__file__).parents[2]
REL = 2e-6
EPOCHS, REL_LATE = 20, 1e-4  # for a run that is stopped
STUDY = {
    "title": "Small",
    "question": "Does it train?",
    "data": {"name": "digits", "train_fraction": 0.2, "eval_fraction": 0.5},
    "model": {"name": "gmlp_posgu_xs1_8", "gate": "sgu"},
    "recipe": {
        "epochs": 2,
        "batch_size": 60,
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
    """Return a function that starts a variant's run on `num` processes."""
    started = []

    def start(num, variant="sgu", **recipe):
        study = STUDY | {"recipe": STUDY["recipe"] | recipe, "gpus": num}
        (tmp_path / "small.yaml").write_text(yaml.safe_dump(study))
        (tmp_path / "small.tsv").write_text(SHEET)
        command = [sys.executable, "-m", "posmlp", "train", str(tmp_path / "small.yaml")]
        command += [f"{variant}/seed0"]
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
def output(tmp_path):
    """Return a function that reads the output of the last process and its children."""

    def read():
        logs = [tmp_path / "out", *tmp_path.glob("*/logs/small/train/*.log")]
        return "".join(path.read_text() for path in logs)

    return read


def test_several_processes_match_one(start, output):
    histories, metrics, labels = [], [], []
    for size in (1, 3):
        process, folder = start(size, "gqpe", grad_accum=2)
        assert process.wait(timeout=120) == 0, output()
        histories.append(read_history(folder / "history.csv"))
        metrics.append(json.loads((folder / "metrics.json").read_text()))
        with np.load(folder / "predictions.npz") as kept:
            labels.append(kept["labels"].tolist())
            hits = np.mean(kept["classes"] == kept["labels"])
            assert 100 * hits == pytest.approx(metrics[-1]["test_top1"])
    assert len(labels[0]) == 250
    assert labels[0] == labels[1]  # in the same order
    assert [m["num_processes"] for m in metrics] == [1, 3]
    assert [m["num_test"] for m in metrics] == [250, 250]  # not a multiple of 3
    one, several = histories
    for key in ("lr", "train_loss", "test_loss", "ema_test_loss"):
        expected = pytest.approx([row[key] for row in one], rel=REL)
        assert [row[key] for row in several] == expected, key
    for key in ("test_top1", "test_top5", "ema_test_top1", "ema_test_top5"):
        for row, other in zip(one, several, strict=True):
            hits = other[key] / 100 * 250
            assert hits == pytest.approx(round(hits), abs=1e-6), key  # every image counts once
            assert hits == pytest.approx(row[key] / 100 * 250, abs=1.01), key  # allows one near tie


def trainers(process):
    """Ids of the processes that torchrun, the child of `process`, has started."""
    (torchrun,) = psutil.Process(process.pid).children()
    return sorted(child.pid for child in torchrun.children() if "--in-process" in child.cmdline())


def test_if_one_process_dies_all_end(start, output):
    process, folder = start(2, epochs=10_000)
    wait_for(folder / "history.csv", process, output)
    pids = trainers(process)
    assert len(pids) == 2
    os.kill(pids[1], signal.SIGKILL)
    assert process.wait(timeout=60) != 0
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    assert "SIGKILL" in output() or "Signal 9" in output()
    assert not (folder / "metrics.json").exists()


def wait_for(path, process, output):
    end = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None, output()
        assert time.monotonic() < end, output()
        time.sleep(0.05)


def test_a_signal_to_one_process_stops_all_and_one_process_can_resume(start, output, tmp_path):
    process, folder = start(2, epochs=EPOCHS)
    wait_for(folder / "history.csv", process, output)
    os.kill(trainers(process)[1], signal.SIGTERM)
    assert process.wait(timeout=60) != 0
    assert list(folder.glob("checkpoint-*.pt"))
    assert not (folder / "metrics.json").exists()
    (tmp_path / "2").rename(tmp_path / "1")
    folder = tmp_path / "1" / folder.relative_to(tmp_path / "2")
    process, _ = start(1, epochs=EPOCHS)
    assert process.wait(timeout=120) == 0, output()
    assert "num_processes was 2 and is 1" in output()
    parts = read_history(folder / "history.csv")
    (tmp_path / "1").rename(tmp_path / "parts")
    process, _ = start(1, epochs=EPOCHS)
    assert process.wait(timeout=120) == 0, output()
    for key in ("train_loss", "test_loss", "ema_test_loss"):
        expected = [row[key] for row in read_history(folder / "history.csv")]
        assert [row[key] for row in parts] == pytest.approx(expected, rel=REL_LATE), key
