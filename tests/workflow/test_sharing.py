"""Runs that share the GPUs of a machine: how many at once, on which. The GPUs are pretended: torch
sees none of them, so that runs train on the CPU.
"""

import json
import os
import signal

import psutil
import pytest
from checkout import Checkout
from test_workflow import wait_until_it_trains

from posmlp.config import read_settings, sharing
from posmlp.study.study_error import StudyError

pytestmark = pytest.mark.xdist_group("workflow")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A checkout whose four runs have trained on two GPUs, and what was said; not to be changed."""
    folder = tmp_path_factory.mktemp("trained")
    checkout = Checkout(folder / "checkout")
    checkout.edit("config/studies/tiny.yaml", "seeds: [0]", "seeds: [0, 1]")
    variables = {"CUDA_VISIBLE_DEVICES": "5,6", "TMPDIR": str(folder)}
    study = checkout.start("--until", "train", cores="3", **variables)
    output, _ = study.communicate(timeout=300)
    assert study.returncode == 0, output
    return checkout, output


@pytest.mark.parametrize("value", [0, -1, 1.5, "two"])
def test_runs_per_gpu_is_a_whole_number_from_one_on(value):
    with pytest.raises(StudyError, match=r"config.yaml or --config: runs_per_gpu"):
        read_settings({"study": "digits", "runs_per_gpu": value})


def test_only_runs_of_one_gpu_share_it():
    settings = read_settings({"study": "digits", "runs_per_gpu": "4"})
    assert sharing(settings, gpus=1) == 4
    with pytest.raises(StudyError, match=r"each takes 2 \(gpus in the study file\)"):
        sharing(settings, gpus=2)
    cpu = read_settings({"study": "digits", "runs_per_gpu": 4, "device": "cpu"})
    assert sharing(cpu, gpus=2) == 1


@pytest.mark.parametrize(
    ("gpus", "runs_per_gpu", "cores", "said"),
    [
        ("0,1", 1, "8", "with 2 runs at once (2 GPUs; 8 cores"),
        ("0,1", 2, "7", "with 4 runs at once (2 GPUs, 2 runs on each at most; 7 cores"),
        ("0,1", 4, "3", "with 3 runs at once (2 GPUs, 4 runs on each at most; 3 cores"),
        ("", 4, "3", "with 3 runs at once (3 cores"),
    ],
)
def test_a_plan_knows_how_many_runs_there_is_room_for(trained, gpus, runs_per_gpu, cores, said):
    config = "--config", "study=tiny", f"runs_per_gpu={runs_per_gpu}"
    arguments = *config, "--cores", cores
    process = trained[0].start("plan", *arguments, study="", cores="", CUDA_VISIBLE_DEVICES=gpus)
    output, _ = process.communicate(timeout=100)
    assert said in output
    assert ("Shared GPUs" in output) == ("on each at most" in said), output


def test_cores_are_divided_among_the_runs(checkout):
    config = "--config", "study=tiny", "runs_per_gpu=2"
    arguments = "--dry-run", "--printshellcmds", *config, "--cores", "9"
    process = checkout.start(*arguments, study="", cores="", CUDA_VISIBLE_DEVICES="0,1")
    output, _ = process.communicate(timeout=100)
    assert output.count("--gpus 1 --runs-per-gpu 2") == 2
    assert output.count("--threads 2 ") == 2
    process = checkout.start(
        "--dry-run", "-p", *arguments, study="", cores="", CUDA_VISIBLE_DEVICES=""
    )
    output, _ = process.communicate(timeout=100)
    assert "posmlp.runs.gpus" not in output
    assert output.count("--threads 1 ") == 2


def test_no_more_runs_train_at_once_than_there_is_room_for(trained):
    checkout, output = trained
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
