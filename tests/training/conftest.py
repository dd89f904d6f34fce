"""Fixtures of training tests."""

from pathlib import Path

import pytest
import torch

from posmlp.training.distributed import World
from posmlp.training.trainer import make_trainer


@pytest.fixture
def new_trainer():
    """Return a function that builds a run's trainer on the CPU."""
    return lambda config: make_trainer(config, Path("unused"), World(torch.device("cpu")))
