"""Fixtures that train a small run: whole, in part, or in its own process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from posmlp.runs.execute import execute
from posmlp.runs.interrupts import Interrupts
from posmlp.training.distributed import World
from posmlp.training.engine import Interrupt

ROOT = Path(__file__).parents[2]


class StopAfter(Interrupts):
    """Requests a stop after a number of steps."""

    def __init__(self, num_steps):
        super().__init__(checkpoint_minutes=10)
        self.left = num_steps

    def check(self):
        self.left -= 1
        return Interrupt.STOP if self.left < 0 else super().check()


@pytest.fixture
def stop_after():
    """Interrupts that request a stop after a number of steps."""
    return StopAfter


def train(config, results, interrupts=None):
    """Train a run in a results folder."""
    world = World(torch.device("cpu"))
    interrupts = interrupts or Interrupts(checkpoint_minutes=10)
    return execute(config, results, Path("unused"), world, "posmlp train", interrupts)


@pytest.fixture(scope="session")
def run():
    return train


@pytest.fixture(scope="session")
def finished(make_config, tmp_path_factory):
    """The settings, folder and metrics of a finished run; tests must not change it."""
    config, results = make_config(), tmp_path_factory.mktemp("finished")
    metrics = train(config, results)
    return config, config.folder(results), metrics


@pytest.fixture
def study_file(tmp_path):
    """A study of two runs that train for a minute unless they are stopped."""
    (tmp_path / "long.tsv").write_text("variant\tclaim\nsgu\tThe reference\n")
    path = tmp_path / "long.yaml"
    path.write_text(
        "title: Long\nquestion: Does it stop?\nreference: sgu\nseeds: [0, 1]\n"
        "data: {name: digits}\nmodel: {name: gmlp_posgu_xs1_8, gate: sgu}\n"
        "recipe: {epochs: 200, batch_size: 32, lr: 1e-2, weight_decay: 0.05}\n"
    )
    return path


@pytest.fixture
def start_process(study_file, tmp_path):
    """A function that starts `python -m posmlp train` for the long study."""
    started = []

    def start(*words, results=tmp_path / "results", **options):
        command = [sys.executable, "-m", "posmlp", "train", str(study_file)]
        command += [*(words or ["sgu/seed0"]), "--results", str(results)]
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **options,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()
