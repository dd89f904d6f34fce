"""A calibration adds up training steps, tests and start of a run."""

import pytest
import torch

from posmlp.plan import calibrate as module
from posmlp.plan.calibrate import calibrate
from posmlp.study import load_study
from posmlp.training.distributed import World


def test_a_run_is_the_sum_of_steps_and_tests_and_ema_is_tested_too(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "MEASURED_S", 0.05)
    monkeypatch.setattr(module, "step_seconds", lambda trainer: 0.5)
    monkeypatch.setattr(module, "test_image_seconds", lambda trainer: 0.01)
    config = load_study("digits").configs["gqpe_s4"]
    recipe = config.recipe.model_copy(update={"ema_decay": 0.9})
    averaged = config.model_copy(update={"recipe": recipe})
    world = World(torch.device("cpu"))
    (row, images_per_s), (more, _) = (
        calibrate(run, tmp_path, world, process_s=3.0) for run in (config, averaged)
    )
    assert (row.variant, row.settings, row.processes) == ("gqpe_s4", config.speed_key, 1)
    assert images_per_s == config.recipe.batch_size / 0.5
    assert row.start_s > 3.0
    num_tested = 500 + 259  # test and validation images
    assert row.run_s == pytest.approx(recipe.num_epochs * (32 * 0.5 + num_tested * 0.01))
    assert more.run_s == pytest.approx(recipe.num_epochs * (32 * 0.5 + 2 * num_tested * 0.01))
    assert 0 < row.disk_mb < more.disk_mb
