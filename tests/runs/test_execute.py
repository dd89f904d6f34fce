"""The run folder: what is in it, how it survives, what is used again."""

import json
from pathlib import Path

import pytest
import torch

from posmlp.study import RunConfig
from posmlp.training.record import HISTORY, RunFolder, read_history, write_atomically
from posmlp.training.run import execute

CPU = torch.device("cpu")


def run(config, results):
    return execute(config, results, Path("unused"), CPU, "python -m posmlp train")


def test_a_finished_folder_explains_itself(make_config, tmp_path):
    config = make_config()
    metrics = run(config, tmp_path)
    folder = config.folder(tmp_path)
    names = {p.name for p in folder.iterdir()}
    assert names == {
        "config.yaml",
        "provenance.json",
        "history.csv",
        "checkpoint.pt",
        "metrics.json",
    }
    assert RunConfig.read(folder / "config.yaml") == config
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    history = read_history(folder / "history.csv")
    assert len(history) == metrics["epochs"] == 2
    assert metrics["top1"] == history[-1]["test_top1"]  # the last epoch, never the best
    assert metrics["key"] == config.key
    assert metrics["token_mixing_params_per_layer"] == [6 * 4 + 64] * 3
    assert metrics["token_mixing_params"] == 3 * 88
    assert metrics["num_test"] == 500
    assert len(metrics["data_digest"]) == 16
    assert metrics["train_images_per_s"] > 0
    for name in ("code_version", "torch", "timm", "device", "hostname", "started_at", "command"):
        assert metrics[name], name


def test_an_interrupted_run_goes_on_from_its_checkpoint(make_config, tmp_path, capsys, monkeypatch):
    config = make_config(recipe=dict(epochs=4))
    whole = run(config, tmp_path / "whole")
    write = RunFolder.write_history

    def stop_after_two(folder, rows):
        write(folder, rows)
        if len(rows) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(RunFolder, "write_history", stop_after_two)
    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path / "parts")
    monkeypatch.undo()
    folder = config.folder(tmp_path / "parts")
    assert not (folder / "metrics.json").exists()
    assert len(read_history(folder / "history.csv")) == 2
    parts = run(config, tmp_path / "parts")
    assert "going on after epoch 2" in capsys.readouterr().out
    assert [parts[k] for k in ("top1", "loss", "train_loss", "epochs")] == [
        whole[k] for k in ("top1", "loss", "train_loss", "epochs")
    ]


def test_a_checkpoint_of_other_settings_is_not_used(make_config, tmp_path, capsys):
    run(make_config(), tmp_path)
    run(make_config(recipe=dict(lr=5e-3)), tmp_path)
    assert "going on" not in capsys.readouterr().out


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text("old")

    def fail(file):
        file.write(b"half of the new")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, fail)
    assert path.read_text() == "old"


def test_history_reads_back_to_the_last_digit(tmp_path):
    row = dict.fromkeys(HISTORY, 1 / 3) | dict(epoch=0, ema_test_top1=None)
    RunFolder(tmp_path).write_history([row])
    assert read_history(tmp_path / "history.csv") == [row]
