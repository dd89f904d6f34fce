"""A run from start to finish: files in its folder, and resumption after interruptions."""

import json
import shutil
import signal
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from posmlp.metrics import TIMES
from posmlp.runs.checkpoints import CheckpointError
from posmlp.runs.folder_lock import FolderInUse, FolderLock
from posmlp.runs.reading import read_history
from posmlp.study import RunConfig
from posmlp.training.engine import Interrupt, Interrupted

ALL_DRAWS = dict(
    mixup=0.5, ema_decay=0.9, eval_every=2, augment=dict(shift=1, hflip=0.5, reprob=0.3)
)


def metrics(folder):
    """Metrics and weights, which must not depend on interruptions."""
    rows = read_history(folder / "history.csv")
    weights = (folder / "model.safetensors").read_bytes(), (folder / "ema.safetensors").read_bytes()
    return [{k: v for k, v in row.items() if k not in TIMES} for row in rows], weights


def test_a_finished_folder_explains_itself(finished):
    config, folder, metrics = finished
    names = sorted(p.name for p in folder.iterdir() if not p.name.startswith("checkpoint-"))
    assert names == [
        ".lock",
        "config.yaml",
        "history.csv",
        "metrics.json",
        "model.safetensors",
        "predictions.npz",
        "provenance.json",
        "requirements.txt",
        "trajectory.npz",
    ]
    assert RunConfig.read(folder / "config.yaml") == config
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    history = read_history(folder / "history.csv")
    assert len(history) == metrics["epochs"] == 2
    assert metrics["test_top1"] == history[-1]["test_top1"]  # the last epoch, never the best
    assert metrics["key"] == config.key
    assert metrics["token_mixing_params_per_layer"] == [6 * 4 + 64] * 3
    assert metrics["token_mixing_params"] == 3 * 88
    assert metrics["num_test"] == 500
    assert metrics["num_starts"] == 1
    assert len(metrics["data_digest"]) == 16
    assert metrics["images_per_s"] > 0
    for name in ("code_version", "torch", "timm", "device", "hostname", "started_at", "command"):
        assert metrics[name], name


def test_centres_and_spreads_are_kept_from_the_start_to_the_last_epoch(finished):
    _, folder, _ = finished
    weights = load_file(folder / "model.safetensors")
    with np.load(folder / "trajectory.npz") as trajectory:
        assert len(trajectory.files) == 2 * 3
        for name, values in trajectory.items():
            assert values.shape == (3, *weights[name].shape)
            assert np.array_equal(values[-1], weights[name])
            assert not np.array_equal(values[0], values[1])


def test_predictions_of_the_test_images_are_those_that_were_scored(finished):
    _, folder, metrics = finished
    with np.load(folder / "predictions.npz") as kept:
        classes_N, labels_N = kept["classes"], kept["labels"]
    assert classes_N.dtype == labels_N.dtype == np.uint8
    assert len(set(labels_N)) == 10
    assert metrics["test_top1"] == 100 * np.mean(classes_N == labels_N)


@pytest.fixture(scope="module")
def whole(make_config, run, tmp_path_factory):
    """A run that uses every source of randomness, 4 steps an epoch, and its results."""
    config = make_config(recipe=ALL_DRAWS, model=dict(drop_path_rate=0.1))
    results = tmp_path_factory.mktemp("whole")
    run(config, results)
    return config, metrics(config.folder(results))


@pytest.mark.parametrize("steps", [0, 5, 8])
def test_an_interrupted_run_equals_an_uninterrupted_one(
    whole, run, stop_after, tmp_path, capsys, steps
):
    config, expected = whole
    with pytest.raises(Interrupted):
        run(config, tmp_path, stop_after(steps))
    folder = config.folder(tmp_path)
    assert not (folder / "metrics.json").exists()
    assert run(config, tmp_path)["num_starts"] == 2
    assert "resuming at epoch" in capsys.readouterr().out
    assert metrics(folder) == expected


def test_a_finished_run_of_other_settings_is_replaced(make_config, run, tmp_path, capsys):
    run(make_config(), tmp_path)
    metrics = run(make_config(recipe=dict(lr=5e-3)), tmp_path)
    assert "resuming" not in capsys.readouterr().out
    assert metrics["num_starts"] == 1
    assert len(read_history(make_config().folder(tmp_path) / "history.csv")) == 2


def test_settings_changed_within_a_run_are_named_and_nothing_is_lost(
    make_config, run, stop_after, tmp_path
):
    config, folder = make_config(), make_config().folder(tmp_path)
    with pytest.raises(Interrupted):
        run(config, tmp_path, stop_after(6))
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    with pytest.raises(CheckpointError, match=r"recipe.lr is 0.005 here and 0.01 there.*rm -r"):
        run(make_config(recipe=dict(lr=5e-3)), tmp_path)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert run(config, tmp_path)["num_starts"] == 2


def test_a_checkpoint_of_another_seed_is_refused_by_name(make_config, run, stop_after, tmp_path):
    with pytest.raises(Interrupted):
        run(make_config(), tmp_path, stop_after(6))
    other = make_config(seed=1)
    shutil.copytree(make_config().folder(tmp_path), other.folder(tmp_path))
    with pytest.raises(CheckpointError, match=r"to study small, gqpe seed 0, not to .* seed 1"):
        run(other, tmp_path)


def test_segments_on_unlike_machines_are_pointed_out(
    make_config, run, stop_after, tmp_path, capsys, monkeypatch
):
    with pytest.raises(Interrupted):
        run(make_config(), tmp_path, stop_after(6))
    monkeypatch.setattr("posmlp.code_version.cpu_name", lambda: "another processor")
    run(make_config(), tmp_path)
    assert "is another processor; metrics may differ" in capsys.readouterr().out


def wait_for_step(process, folder):
    """Wait until a process has trained an epoch."""
    deadline = time.monotonic() + 60
    while not (folder / "history.csv").exists() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def ignore_interrupts():
    """Shells of scripts do this for background processes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@pytest.mark.parametrize(
    ("name", "before"),
    [("SIGTERM", None), ("SIGINT", ignore_interrupts)],
)
def test_a_signal_costs_a_step_and_says_run_me_again(start_process, tmp_path, name, before):
    results = tmp_path / "résultats d'été/数据"
    process = start_process(results=results, preexec_fn=before)
    folder = results / "runs/long/sgu/seed0"
    wait_for_step(process, folder)
    process.send_signal(getattr(signal, name))
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 75, output
    log = (results / "logs/long/train/sgu-seed0.log").read_text()
    assert f"by {name}; the same command resumes there" in log
    assert "stopped with 0 of 1 runs done; the same command resumes the rest" in output
    assert "Traceback" not in output + log
    assert not (folder / "metrics.json").exists()
    assert torch.load(max(folder.glob("checkpoint-*.pt")), weights_only=True)["epoch"] >= 1


@pytest.mark.parametrize("step", [1, 5])
def test_a_trainer_whose_folder_was_taken_over_writes_nothing_more(
    make_config, run, stop_after, tmp_path, monkeypatch, step
):
    """The files must stay unchanged after the takeover, in either of two epochs of 4 steps."""
    config, folder = make_config(), make_config().folder(tmp_path)
    monkeypatch.setattr(FolderLock, "take", lambda lock: None)
    found = {}

    class TakenOver(stop_after):
        def check(self):
            if self.left == 0:
                holder = {"host": "node7", "pid": 4242, "job": None, "beat": "another 1"}
                (folder / ".lock").write_text(json.dumps(holder))
                found.update({path.name: path.read_bytes() for path in folder.iterdir()})
            self.left -= 1
            return Interrupt.SAVE if self.left == -2 else Interrupt.NONE

    with pytest.raises(FolderInUse, match="taken over by process 4242 on node7"):
        run(config, tmp_path, TakenOver(step))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == found
