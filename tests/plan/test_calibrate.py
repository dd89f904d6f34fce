"""A calibration measures what a run is made of."""

import pytest
import torch

from posmlp.plan import calibrate as module
from posmlp.plan.calibrate import calibrate
from posmlp.study import load_study
from posmlp.training.distributed import World

WORLD = World(torch.device("cpu"))


@pytest.fixture
def brief(monkeypatch):
    monkeypatch.setattr(module, "MEASURED_S", 0.05)


def test_a_variant_is_measured(brief, tmp_path):
    config = load_study("digits").configs["gqpe_s4"]
    row = calibrate(config, tmp_path, WORLD, process_s=3.0)
    assert (row.variant, row.settings) == ("gqpe_s4", config.speed_key)
    assert (row.num_steps, row.num_test, row.processes) == (32, 500 + 259, 1)
    assert row.start_s > 3.0
    assert 0 < row.test_image_s < row.step_s < 1
    epoch_s = 32 * row.step_s + 759 * row.test_image_s
    assert row.run_seconds(config) == pytest.approx(config.recipe.num_epochs * epoch_s)
    assert 0 < row.weights_mb < row.checkpoint_mb


def test_averaged_weights_take_room_too(brief, tmp_path):
    config = load_study("digits").configs["sgu"]
    recipe = config.recipe.model_copy(update={"ema_decay": 0.9})
    with_average = calibrate(config.model_copy(update={"recipe": recipe}), tmp_path, WORLD, 0.0)
    without = calibrate(config, tmp_path, WORLD, 0.0)
    assert with_average.weights_mb == 2 * without.weights_mb
    assert with_average.checkpoint_mb > without.checkpoint_mb
    averaged = config.model_copy(update={"recipe": recipe})
    assert without.run_seconds(averaged) > without.run_seconds(config)
