"""A run small enough to train in a test, on the real digits."""

from pathlib import Path

import pytest
import torch

from posmlp.study import RunConfig
from posmlp.training.distributed import World
from posmlp.training.trainer import make_trainer

RECIPE = dict(epochs=2, batch_size=64, lr=1e-2, weight_decay=0.05, warmup_epochs=1, clip_grad=1.0)


@pytest.fixture
def make_config():
    """Return a function that builds a run's config; sections are merged into a small default."""

    def make(seed=0, data=None, model=None, recipe=None, variant="gqpe"):
        return RunConfig.model_validate(
            dict(
                study="small",
                variant=variant,
                seed=seed,
                data=dict(name="digits", train_fraction=0.2) | (data or {}),
                model=dict(name="gmlp_posgu_xs1_8", gate="gqpe", groups=4) | (model or {}),
                recipe=RECIPE | (recipe or {}),
            )
        )

    return make


@pytest.fixture
def new_trainer():
    """Return a function that builds a run's trainer on the CPU."""
    return lambda config: make_trainer(config, Path("unused"), World(torch.device("cpu")))
