"""Benchmarks can be imported; gpu_hour.py plans epochs and packs runs as documented."""

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from posmlp.study import load_study

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_every_benchmark_can_be_imported():
    names = sorted(path.stem for path in BENCHMARKS.glob("*.py"))
    program = "\n".join(f"import {name}" for name in names)
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=BENCHMARKS, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def gpu_hour(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import gpu_hour

    return gpu_hour


def test_the_epochs_of_a_borrowed_gpu_fit_its_time(gpu_hour, tmp_path):
    # 12 runs in 3 rounds of 4: 0.9 x 600 / 3 = 180 s a round, 20 s of them to start
    assert gpu_hour.epochs_that_fit(600, 12, 4, start_s=20, epoch_s=8) == 20
    assert gpu_hour.epochs_that_fit(10, 12, 4, start_s=20, epoch_s=8) == 2
    study = load_study("tiny_imagenet")
    for epochs, warm_up in ((33, 2), (2, 1)):
        changed = load_study(str(gpu_hour.with_epochs(study.files, epochs, tmp_path)))
        recipe = changed.configs["sgu"].recipe
        assert (recipe.epochs, recipe.warmup_epochs) == (epochs, warm_up)
        assert changed.name == study.name


def test_run_folders_come_whole_and_in_parts_without_checkpoints(gpu_hour, tmp_path):
    folders = [tmp_path / "runs/study/sgu" / f"seed{k}" for k in range(3)]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_bytes(b" " * 40)
        (folder / "checkpoint-1.pt").write_bytes(b" " * 1000)
    parts = gpu_hour.pack(folders, tmp_path / "runs", tmp_path, most_bytes=100)
    packed = []
    for part in parts:
        with tarfile.open(part) as archive:
            packed.append(archive.getnames())
    names = [f"study/sgu/seed{k}/metrics.json" for k in range(3)]
    assert packed == [names[:2], names[2:]]
