"""The loop: it learns, repeats itself, resumes exactly, and stops when the loss is not a number."""

import math
from copy import deepcopy
from pathlib import Path

import pytest
import torch

from posmlp.models.gated_mlp import positional_parameters
from posmlp.training.engine import TrainingError, evaluate, make_trainer, train

CPU = torch.device("cpu")


def trained(config, log=None, state=None):
    trainer = make_trainer(config, Path("unused"), CPU)
    if state:
        trainer.load_state_dict(state)
    train(trainer, log or (lambda row: None), lambda state: None)
    return trainer


def figures(trainer):
    times = ("time", "images_per_s", "epoch_s")
    return [{k: v for k, v in row.items() if k not in times} for row in trainer.history]


def test_it_learns_and_logs_every_epoch(make_config):
    rows = []
    recipe = dict(epochs=5, batch_size=16)
    trained(make_config(model=dict(gate="sgu", groups=1), recipe=recipe), rows.append)
    assert [row["epoch"] for row in rows] == [0, 1, 2, 3, 4]
    assert rows[-1]["train_loss"] < rows[0]["train_loss"] - 0.2
    assert rows[-1]["test_top1"] > 25  # chance is 10
    assert rows[-1]["test_top1"] <= rows[-1]["test_top5"] <= 100
    assert rows[0]["ema_test_top1"] is None


def test_equal_seeds_give_equal_runs_and_others_differ(make_config):
    recipe = dict(mixup=0.5, cutmix=1.0, augment=dict(shift=1, hflip=0.5))
    model = dict(drop_path_rate=0.1)
    first, again, other = (
        trained(make_config(seed=seed, recipe=recipe, model=model)) for seed in (0, 0, 1)
    )
    assert figures(first) == figures(again)
    assert figures(first) != figures(other)


def test_a_resumed_run_equals_an_uninterrupted_one(make_config):
    recipe = dict(epochs=4, mixup=0.5, ema_decay=0.9, augment=dict(shift=1))
    config = make_config(recipe=recipe, model=dict(drop_path_rate=0.1))
    whole = trained(config)
    states = []

    def stop(state):
        states.append(deepcopy(state))
        if state["epoch"] == 2:
            raise KeyboardInterrupt

    trainer = make_trainer(config, Path("unused"), CPU)
    with pytest.raises(KeyboardInterrupt):
        train(trainer, lambda row: None, stop)
    resumed = trained(config, state=states[-1])
    assert figures(resumed) == figures(whole)
    for (name, a), b in zip(
        whole.model.state_dict().items(), resumed.model.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name


def test_the_average_of_weights_is_reported_beside_the_raw_model(make_config):
    last = trained(make_config(recipe=dict(ema_decay=0.5))).history[-1]
    assert last["ema_test_loss"] != last["test_loss"]
    assert 0 <= last["ema_test_top1"] <= 100


def test_learning_rate_warms_up_falls_and_cools_down(make_config):
    recipe = dict(epochs=4, cooldown_epochs=2, warmup_lr=1e-4, min_lr=1e-5, lr=1e-2)
    rates = [row["lr"] for row in trained(make_config(recipe=recipe)).history]
    assert len(rates) == 6
    assert 1e-4 < rates[0] < 1e-2  # the last step of the warm-up
    assert rates[1] > rates[2] > rates[3] > rates[4]
    assert rates[4] == rates[5] == 1e-5


def test_a_diverged_run_ends_with_what_to_change(make_config):
    config = make_config(recipe=dict(lr=1e-2))
    trainer = make_trainer(config, Path("unused"), CPU)
    with torch.no_grad():
        trainer.model.head.bias.fill_(math.nan)
    with pytest.raises(TrainingError, match=r"loss is nan in epoch 0 .* Lower recipe.lr \(0.01\)"):
        train(trainer, lambda row: None, lambda state: None)


@pytest.mark.parametrize("decayed", [False, True])
def test_weight_decay_leaves_positions_alone_unless_asked(make_config, decayed):
    config = make_config(recipe=dict(decay_position=decayed))
    trainer = make_trainer(config, Path("unused"), CPU)
    names = {id(p): n for n, p in trainer.model.named_parameters()}
    decayed_names = {
        names[id(p)]
        for group in trainer.optimizer.param_groups
        if group["weight_decay"]
        for p in group["params"]
    }
    positions = positional_parameters(trainer.model)
    assert positions
    assert (decayed_names & positions == positions) == decayed
    assert bool(decayed_names & positions) == decayed
    assert "blocks.0.mlp_channels.fc1.weight" in decayed_names


def test_evaluation_counts_an_incomplete_batch_exactly(make_config):
    trainer = make_trainer(make_config(), Path("unused"), CPU)
    trainer.test.batch_size = 300  # 500 images
    with torch.no_grad():
        trainer.model.head.weight.zero_()
        trainer.model.head.bias.copy_(-torch.arange(10.0))  # always says 0, then 1, 2, ...
    labels = trainer.test.labels_N
    loss, top1, top5 = evaluate(trainer, trainer.model)
    assert top1 == pytest.approx(100 * (labels == 0).double().mean().item(), abs=1e-9)
    assert top5 == pytest.approx(100 * (labels < 5).double().mean().item(), abs=1e-9)
    expected = torch.nn.functional.cross_entropy(-torch.arange(10.0).expand(500, 10), labels)
    assert loss == pytest.approx(expected.item(), rel=1e-5)
