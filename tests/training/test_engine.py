"""The training loop: learning, repeatability, exact resume, divergence and evaluation."""

import copy
import io
import math

import pytest
import torch

from posmlp.metrics import SCORES, TIMES
from posmlp.models.gated_mlp import positional_parameters
from posmlp.training.engine import Interrupt, Interrupted, train
from posmlp.training.evaluation import evaluate
from posmlp.training.training_error import TrainingError

# Everything that draws random numbers or keeps state between steps.
EVERYTHING = dict(
    epochs=2,
    batch_size=80,  # 3 steps per epoch
    grad_accum=2,
    mixup=0.5,
    cutmix=1.0,
    ema_decay=0.9,
    position_lr=5.0,
    augment=dict(shift=1, hflip=0.5, reprob=0.3),
)
DROPPED = dict(drop_rate=0.1, drop_path_rate=0.1)


def nothing(_):
    pass


@pytest.fixture
def trained(new_trainer):
    """Return a function that trains a run to its end and returns its trainer."""

    def run(config, log=nothing):
        trainer = new_trainer(config)
        train(trainer, log, nothing)
        return trainer

    return run


def metrics(trainer):
    return [{k: v for k, v in row.items() if k not in TIMES} for row in trainer.history]


def tensors(value, name=""):
    """Leaves of a nested state by path."""
    if isinstance(value, dict):
        value = value.items()
    elif isinstance(value, list | tuple):
        value = enumerate(value)
    else:
        return {name: value}
    return {k: v for key, entry in value for k, v in tensors(entry, f"{name}/{key}").items()}


def assert_identical(trainer, whole):
    assert metrics(trainer) == metrics(whole)
    ours, theirs = (
        tensors({k: v for k, v in t.state_dict().items() if k not in ("seconds", "history")})
        for t in (trainer, whole)
    )
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        same = torch.equal if isinstance(value, torch.Tensor) else (lambda a, b: a == b)
        assert same(value, theirs[name]), name


class OnPoll:
    """Answer the n-th poll with `request` and all others with NONE."""

    def __init__(self, number=None, request=Interrupt.STOP):
        self.number, self.request, self.count = number, request, 0

    def __call__(self):
        self.count += 1
        return self.request if self.count == self.number else Interrupt.NONE


def stopped_and_resumed(new_trainer, config, number):
    """Stop a run at the n-th poll and resume it; return the trainer and where it stopped."""
    first, file = new_trainer(config), io.BytesIO()

    def save(state):
        file.seek(0)
        file.truncate()
        torch.save(state, file)

    with pytest.raises(Interrupted):
        train(first, nothing, save, OnPoll(number))
    file.seek(0)
    state = torch.load(file, weights_only=True)
    second = new_trainer(config)
    second.load_state_dict(state)
    train(second, nothing, nothing)
    return second, (state["epoch"], state["step"])


def test_it_learns_and_logs_every_epoch(make_config, trained):
    rows = []
    recipe = dict(epochs=5, batch_size=16)
    trained(make_config(model=dict(gate="sgu", groups=1), recipe=recipe), rows.append)
    assert [row["epoch"] for row in rows] == [0, 1, 2, 3, 4]
    assert rows[-1]["train_loss"] < rows[0]["train_loss"] - 0.2
    assert rows[-1]["test_top1"] > 25  # chance is 10
    assert rows[-1]["test_top1"] <= rows[-1]["test_top5"] <= 100
    assert rows[0]["ema_test_top1"] is rows[0]["val_top1"] is None


def test_eval_every_changes_no_results_and_always_evaluates_the_last_epoch(make_config, trained):
    recipes = (dict(epochs=4, cooldown_epochs=1, eval_every=every) for every in (1, 2))
    full, sparse = (trained(make_config(recipe=recipe)).history for recipe in recipes)
    assert [row["epoch"] for row in sparse if row["test_top1"] is not None] == [1, 3, 4]
    assert [row["train_loss"] for row in sparse] == [row["train_loss"] for row in full]
    assert sparse[4]["test_loss"] == full[4]["test_loss"]


def test_a_run_stopped_anywhere_equals_an_uninterrupted_one(make_config, new_trainer):
    config = make_config(recipe=EVERYTHING, model=DROPPED)
    whole, polls = new_trainer(config), OnPoll()
    train(whole, nothing, nothing, polls)
    positions = []
    for number in range(1, polls.count + 1):
        resumed, position = stopped_and_resumed(new_trainer, config, number)
        positions.append(position)
        assert_identical(resumed, whole)
    # Before the first step, after each step, and between the batches of both evaluations per epoch.
    assert sorted(set(positions)) == [(0, 0), *((e, s) for e in (0, 1) for s in (1, 2, 3))]
    assert positions.count((0, 3)) == positions.count((1, 3)) == 1 + 2 * 2
    other = new_trainer(make_config(seed=1, recipe=EVERYTHING, model=DROPPED))
    train(other, nothing, nothing)
    assert metrics(other) != metrics(whole)


def test_a_batch_in_two_micro_batches_gives_the_same_losses(make_config, trained):
    model = dict(gate="sgu", groups=1)
    one, two = (
        trained(make_config(model=model, recipe=dict(grad_accum=number))).history
        for number in (1, 2)
    )
    for key in ("train_loss", "test_loss"):
        expected = pytest.approx([row[key] for row in one], rel=1e-5)
        assert [row[key] for row in two] == expected


def test_learning_rate_warms_up_falls_cools_down_and_may_follow_the_batch_size(
    make_config, trained
):
    recipe = dict(epochs=4, cooldown_epochs=2, warmup_lr=1e-4, min_lr=1e-5, lr=1e-2)
    rates, scaled = (
        [row["lr"] for row in trained(make_config(recipe=recipe | extra)).history]
        for extra in ({}, dict(lr_base_size=32))
    )
    assert scaled == pytest.approx([2 * rate for rate in rates])  # batch_size is 64
    assert len(rates) == 6
    assert 1e-4 < rates[0] < 1e-2  # the last step of the warm-up
    assert rates[1] > rates[2] > rates[3] > rates[4]
    assert rates[4] == rates[5] == 1e-5


@pytest.mark.parametrize("request_", [Interrupt.SAVE, Interrupt.STOP])
def test_a_diverged_state_is_never_saved(make_config, new_trainer, request_):
    trainer = new_trainer(make_config())
    with torch.no_grad():
        trainer.model.head.bias.fill_(math.nan)
    saved = []
    with pytest.raises(TrainingError, match=r"loss is nan in epoch 0 .* Lower recipe.lr \(0.01\)"):
        train(trainer, nothing, saved.append, OnPoll(2, request_))  # after the first step
    assert trainer.step == 1
    assert not saved


def test_a_compiled_run_matches_and_resumes_exactly(make_config, new_trainer, trained):
    torch.compiler.reset()
    recipe = EVERYTHING | dict(grad_accum=1, epochs=1, warmup_epochs=0)
    compiled, plain = (make_config(recipe=recipe | dict(compile=c)) for c in ("default", None))
    states = []
    whole = new_trainer(compiled)
    train(
        whole, nothing, lambda state: states.append(copy.deepcopy(state)), OnPoll(2, Interrupt.SAVE)
    )
    second = new_trainer(compiled)
    second.load_state_dict(states[0])
    assert (second.epoch, second.step) == (0, 1)
    train(second, nothing, nothing)
    assert_identical(second, whole)
    expected = trained(plain)
    assert whole.model.state_dict().keys() == expected.model.state_dict().keys()
    for row, other in zip(metrics(whole), metrics(expected), strict=True):
        assert row["train_loss"] == pytest.approx(other["train_loss"], rel=1e-4)
        assert row["ema_test_loss"] == pytest.approx(other["ema_test_loss"], rel=1e-4)


def test_deterministic_sets_torch_switches(make_config, new_trainer, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)

    def switches():
        return (torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.deterministic)

    try:
        for on in (True, False):
            new_trainer(make_config(recipe=dict(deterministic=on)))
            assert switches() == (on, on)
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("decayed", [False, True])
def test_weight_decay_applies_to_positions_only_if_requested(make_config, new_trainer, decayed):
    trainer = new_trainer(make_config(recipe=dict(decay_position=decayed)))
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


def test_positional_encodings_can_have_their_own_learning_rate(make_config, new_trainer):
    """Weight decay and schedule of their groups stay the same."""
    facts = []
    for factor in (1.0, 5.0):
        trainer = new_trainer(make_config(recipe=dict(position_lr=factor, decay_position=True)))
        trainer.scheduler.step_update(trainer.train.num_steps + 1)  # in the cosine
        groups = trainer.optimizer.param_groups
        names = {id(p): n for n, p in trainer.model.named_parameters()}
        facts.append(
            {names[id(p)]: (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
        )
        assert trainer.optimizer.param_groups[0]["lr"] < 1e-2
    positions = positional_parameters(trainer.model, bias=False)
    assert {name.rpartition(".")[2] for name in positions} == {"center", "spread"}
    for name, (rate, decay) in facts[0].items():
        factor = 5 if name in positions else 1
        assert facts[1][name] == (pytest.approx(factor * rate), decay), name


def test_evaluation_counts_an_incomplete_batch_exactly(make_config, new_trainer):
    trainer = new_trainer(make_config(recipe=dict(batch_size=150)))  # evaluates 300 of 500
    with torch.no_grad():
        trainer.model.head.weight.zero_()
        trainer.model.head.bias.copy_(-torch.arange(10.0))  # always ranks 0, then 1, 2, ...
    labels = trainer.splits.test.labels_N
    assert [len(y) for _, y in trainer.splits.test] == [300, 200]
    scores = evaluate(trainer.model, trainer.splits.test, trainer.world)
    loss, top1, top5 = (scores[name] for name in ("loss", "top1", "top5"))
    assert top1 == pytest.approx(100 * (labels == 0).double().mean().item(), abs=1e-9)
    assert top5 == pytest.approx(100 * (labels < 5).double().mean().item(), abs=1e-9)
    expected = torch.nn.functional.cross_entropy(-torch.arange(10.0).expand(500, 10), labels)
    assert loss == pytest.approx(expected.item(), rel=1e-5)


def test_validation_images_are_evaluated_like_test_images(make_config, new_trainer):
    """In every epoch, by the network and by its EMA."""
    averaged = dict(ema_decay=0.9)
    config = make_config(data=dict(validation=0.2), recipe=averaged)
    trainer = new_trainer(config)
    train(trainer, log=lambda row: None, save=lambda state: None)
    num_val = trainer.splits.validation.num_images
    assert (trainer.train.num_images, num_val, trainer.splits.test.num_images) == (207, 259, 500)
    assert len(trainer.history) == 2
    last = trainer.history[-1]
    for prefix, network in (("", trainer.model), ("ema_", trainer.ema.module)):
        found = evaluate(network, trainer.splits.validation, trainer.world)
        assert found == {s.name: last[f"{prefix}val_{s.name}"] for s in SCORES}
        assert (last[f"{prefix}val_top1"] * num_val / 100) % 1 == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(model=dict(unheard_of=1)), "gmlp_posgu_xs1_8 cannot be built .*unheard"),
        (dict(recipe=dict(compile="reduce-overhead")), "compile: reduce-overhead works on GPUs on"),
        (dict(recipe=dict(dist_bn="sync")), "dist_bn: sync works on GPUs only; set reduce, or dev"),
    ],
)
def test_what_cannot_be_built_is_a_training_error(make_config, new_trainer, settings, message):
    with pytest.raises(TrainingError, match=message):
        new_trainer(make_config(**settings))
