"""A study of two variants with two seeds each, and run folders for tests to fill."""

import json
import os
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from posmlp.metrics import EPOCH_COLUMNS
from posmlp.progress.state import Run, Watch
from posmlp.runs.folder_lock import LENGTH
from posmlp.study import load_study

STUDY = """\
title: Tiny
question: How far is it?
data: {name: digits}
model: {name: gmlp_posgu_xs1_8, gate: sgu}
recipe: {epochs: 4, batch_size: 32, lr: 1e-2, weight_decay: 0.05}
seeds: [0, 1]
reference: sgu
"""
SHEET = "variant\tclaim\tmodel.gate\nsgu\tThe reference\t\ngqpe\tA form\tgqpe\n"
NO_PROCESS = 2**22 + 1  # above the largest process id of Linux


class Folder:
    """The folder of a run, written as a training writes it."""

    def __init__(self, study, results: Path, number: int = 0) -> None:
        self.config = study.runs()[number]
        self.path = self.config.folder(results)
        self.path.mkdir(parents=True)

    def write(self, name: str, text: str) -> None:
        part = self.path / f".{name}.part"
        part.write_text(text)
        part.replace(self.path / name)

    def begins(self, key: str = "") -> None:
        self.write("config.yaml", f"key: {key or self.config.key}\n")

    def lock(self, host: str = "", pid: int = 0, beat: int = 0) -> None:
        holder = {"host": host or socket.gethostname(), "pid": pid or os.getpid(), "beat": beat}
        (self.path / ".lock").write_text(json.dumps(holder).ljust(LENGTH))

    def is_killed(self) -> None:
        self.lock(pid=NO_PROCESS)

    def unlock(self) -> None:
        (self.path / ".lock").write_text("")

    def trains(self, epochs: int, top1: float = 50.0, epoch_s: float = 10.0) -> None:
        row = {"time": 1e9, "test_top1": top1, "images_per_s": 800.0, "epoch_s": epoch_s}
        lines = [
            ",".join(str(row.get(name, epoch if name == "epoch" else "")) for name in EPOCH_COLUMNS)
            for epoch in range(epochs)
        ]
        self.write("history.csv", "\n".join([",".join(EPOCH_COLUMNS), *lines, ""]))

    def fails(self, error: str = "the training loss is nan") -> None:
        self.write("error.json", json.dumps({"error": error}))

    def ends(self, key: str = "") -> None:
        values = {"test_top1": 97.5, "images_per_s": 800.0, "wall_s": 40.0}
        self.write("metrics.json", json.dumps({"key": key or self.config.key, **values}))


@pytest.fixture
def study(tmp_path):
    (tmp_path / "tiny.yaml").write_text(STUDY)
    (tmp_path / "tiny.tsv").write_text(SHEET)
    return load_study(tmp_path / "tiny.yaml")


@pytest.fixture
def clock() -> SimpleNamespace:
    return SimpleNamespace(now=1000.0)


@pytest.fixture
def folder(study, tmp_path) -> Folder:
    return Folder(study, tmp_path / "results")


@pytest.fixture
def other(study, tmp_path) -> Folder:
    """The folder of the second run."""
    return Folder(study, tmp_path / "results", number=1)


@pytest.fixture
def watch(study, tmp_path, clock) -> Watch:
    return Watch(study, tmp_path / "results", clock=lambda: clock.now)


@pytest.fixture
def progress(watch, monkeypatch) -> Watch:
    """A study under way: one variant finished, one in training, one failed."""

    def run(variant: str, seed: int, state: str, epochs: int, **values) -> Run:
        return Run(f"{variant} seed {seed}", variant, 40, state, epochs, **values)

    runs = [
        *(run("sgu", seed, "finished", 40, top1=97.0 + seed) for seed in (0, 1)),
        run("lrpe_s16", 0, "in training", 12, top1=88.5, images_per_s=5312.4, epoch_s=0.5),
        run("lrpe_s16", 1, "in training", 0),
        run("gqpe_s16", 0, "failed", 3, error="the training loss is nan"),
        run("gqpe_s16", 1, "waiting", 0),
    ]
    monkeypatch.setattr(Watch, "left_s", 130.4)
    watch.name, watch.runs, watch.elapsed_s = "digits", runs, 62.2
    return watch
