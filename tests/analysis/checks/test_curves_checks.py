from dataclasses import replace

import numpy as np
import pytest
import torch
from timm.scheduler import create_scheduler_v2

from posmlp.analysis.checks import Results, curves
from posmlp.study import Recipe


def spoil(results: Results, row: int, **values) -> Results:
    """Change a row of the curves: 0 and 1 are the epochs of sgu seed 0, 2 and 3 those of seed 1."""
    changed = results.curves.copy()
    for column, value in values.items():
        changed.loc[row, column] = value
    return Results(results.study, results.runs, changed)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("train_loss", np.nan, "nan"),
        ("lr", np.inf, "inf"),
        ("test_top1", 100.5, "100.5"),
        ("ema_test_top1", 50.0, "50"),  # no average is asked for
        ("val_top1", 50.0, "50"),  # no validation either
    ],
)
def test_curves_must_be_numbers_in_range(results, problems, column, value, said):
    assert problems(curves.curves_are_numbers) == []
    assert problems(curves.curves_are_numbers, spoil(results, 2, **{column: value})) == [
        f"sgu seed 1: {column} is {said} in epoch 0"
    ]


def test_averages_must_be_there_where_the_recipe_asks_for_them(results, problems, study):
    config = study.configs["sgu"]
    averaged = config.model_copy(
        update={"recipe": config.recipe.model_copy(update={"ema_decay": 0.9})}
    )
    asked = replace(study, configs=study.configs | {"sgu": averaged})
    found = problems(curves.curves_are_numbers, replace(results, study=asked))
    assert len(found) == 3
    assert found[0] == "sgu seed 0, sgu seed 1, sgu seed 2: ema_test_loss is nan in epoch 0"


@pytest.mark.parametrize("column", ["train_loss", "test_top1", "ema_test_top1"])
def test_the_last_epoch_must_be_the_result(results, problems, column):
    assert problems(curves.last_epoch_is_the_result) == []
    was = results.runs[column].iloc[0]
    assert problems(curves.last_epoch_is_the_result, spoil(results, 1, **{column: 96.5})) == [
        f"sgu seed 0: {column} is {was:.9g}, its curve ends at 96.5"
    ]


def test_the_rate_must_follow_the_recipe(results, problems):
    check = curves.rate_follows_the_schedule
    assert problems(check) == []
    assert problems(check, spoil(results, 3, lr=6e-4)) == [
        "sgu seed 1: in epoch 1 lr is 0.0006; the recipe has 0 to 0.0005"
    ]


@pytest.mark.parametrize("warmup_epochs", [0, 3])
@pytest.mark.parametrize("cooldown_epochs", [0, 2])
def test_bounds_hold_the_rates_of_timms_scheduler(warmup_epochs, cooldown_epochs):
    """Step by step as the engine sets them; an epoch's row has the rate of its last step."""
    recipe = Recipe(
        epochs=8,
        cooldown_epochs=cooldown_epochs,
        warmup_epochs=warmup_epochs,
        batch_size=32,
        lr=1e-2,
        warmup_lr=1e-5,
        min_lr=1e-4,
        weight_decay=0.05,
    )
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], recipe.lr)
    scheduler, num_epochs = create_scheduler_v2(
        optimizer,
        "cosine",
        num_epochs=recipe.epochs,
        warmup_epochs=recipe.warmup_epochs,
        warmup_lr=recipe.warmup_lr,
        min_lr=recipe.min_lr,
        cooldown_epochs=recipe.cooldown_epochs,
        step_on_epochs=False,
        updates_per_epoch=10,
    )
    rates = []
    for step in range(10 * num_epochs):
        scheduler.step_update(step)
        rates.append(optimizer.param_groups[0]["lr"])
    last_E = np.array(rates[9::10])
    low_E, high_E = curves.rate_bounds(recipe, np.arange(float(num_epochs)))
    assert (low_E <= last_E + 1e-12).all()
    assert (last_E <= high_E + 1e-12).all()
    assert (high_E - low_E).max() < 0.4 * recipe.lr  # so that the bounds say something


def test_the_loss_must_fall_unless_the_variant_may_learn_nothing(results, problems, study):
    assert problems(curves.loss_fell) == []
    rising = spoil(results, 1, train_loss=2.5)
    assert problems(curves.loss_fell, rising) == ["sgu seed 0: from 2.25 to 2.5"]
    allowed = replace(study, may_not_learn=("sgu",))
    assert problems(curves.loss_fell, replace(rising, study=allowed)) == []
    one_epoch = replace(results, curves=rising.curves[rising.curves["epoch"] == 1])
    assert problems(curves.loss_fell, one_epoch) == []
