"""Runs on the GPUs of a machine: how many at once, on which.

The GPUs exist only in CUDA_VISIBLE_DEVICES: torch finds none, so runs train on the CPU.
"""

import json
import os
import signal

import psutil
import pytest
from test_starts import wait_until_it_trains


def test_no_more_runs_train_at_once_than_there_is_room_for(checkout, tmp_path):
    checkout.edit("config/studies/tiny.yaml", "seeds: [0]", "seeds: [0, 1]")
    variables = {"CUDA_VISIBLE_DEVICES": "5,6", "TMPDIR": str(tmp_path)}
    study = checkout.start("--until", "train", "--printshellcmds", cores="4", **variables)
    output, _ = study.communicate(timeout=300)
    assert study.returncode == 0, output
    assert output.count("--gpus 1 --runs-per-gpu 1") == 4
    assert output.count("--threads 2 ") == 4  # cores are divided among the runs
    runs = (checkout.path / "results/runs/tiny").glob("*/seed*/metrics.json")
    metrics = [json.loads(path.read_text()) for path in runs]
    starts, ends = (
        sorted(run[f"{word}_at"] for run in metrics) for word in ("started", "finished")
    )
    assert starts[2] >= ends[0]
    assert starts[3] >= ends[1]
    assert "waiting for a GPU" not in output  # Snakemake knows; no run that it starts has to


@pytest.mark.parametrize(
    ("visible", "config"), [("5,6", "runs_per_gpu=1"), ("5", "runs_per_gpu=2")]
)
def test_two_runs_train_at_once_where_there_is_room(checkout, tmp_path, visible, config):
    checkout.edit("config/studies/tiny.yaml", "epochs: 1", "epochs: 60")
    variables = {"CUDA_VISIBLE_DEVICES": visible, "TMPDIR": str(tmp_path)}
    arguments = "--until", "train", "--config", "study=tiny", config
    study = checkout.start(*arguments, study="", **variables)
    runs = checkout.path / "results/runs/tiny"
    pids = [wait_until_it_trains(runs / name / "seed0", study) for name in ("sgu", "gqpe")]
    held = [psutil.Process(pid).environ()["CUDA_VISIBLE_DEVICES"] for pid in pids]
    assert sorted(held) == sorted((visible.split(",") * 2)[:2])
    os.killpg(study.pid, signal.SIGINT)
    study.communicate(timeout=100)
