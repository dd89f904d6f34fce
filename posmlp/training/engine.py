"""The training loop, which can stop and resume at any step."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from enum import IntEnum
from typing import Any

from timm.data import Mixup
from timm.utils import distribute_bn
from torch import nn

from posmlp.metrics import SCORES
from posmlp.study import Recipe
from posmlp.training.evaluation import evaluate
from posmlp.training.randomness import derive_seed, seed_globals
from posmlp.training.trainer import Row, Trainer
from posmlp.training.training_error import TrainingError

Log = Callable[[Row], None]
Save = Callable[[dict[str, Any]], None]
STEPS_BETWEEN_CHECKS = 50  # that the loss is finite; each check waits for the GPU


class Interrupt(IntEnum):
    """A request to the loop between two steps; the maximum over all processes applies."""

    NONE = 0
    SAVE = 1
    STOP = 2


class Interrupted(KeyboardInterrupt):
    """Training stopped on request; its state is saved and the run can be resumed."""


def train(
    trainer: Trainer,
    log: Log,
    save: Save,
    interrupt: Callable[[], Interrupt] = lambda: Interrupt.NONE,
) -> Row:
    """Train from the trainer's current step to the last epoch.

    Args:
        log: called with each epoch's row of the history.
        save: called with the trainer's state after every epoch and on every interrupt.
        interrupt: polled before the first step and after every step.

    Returns:
        The last epoch's row.

    Raises:
        TrainingError: the loss is no longer finite.
        Interrupted: `interrupt` returned STOP.
    """

    def check_interrupt() -> None:
        request = trainer.world.all_max(interrupt())
        if request != Interrupt.NONE:
            check_finite(trainer)
            save(trainer.state_dict())
        if request == Interrupt.STOP:
            raise Interrupted

    check_interrupt()
    while trainer.epoch < trainer.config.recipe.num_epochs:
        train_epoch(trainer, check_interrupt)
        row = finish_epoch(trainer, check_interrupt)
        save(trainer.state_dict())
        log(row)
    return trainer.history[-1]


def train_epoch(trainer: Trainer, check_interrupt: Callable[[], None]) -> None:
    """Take the remaining steps of the epoch."""
    trainer.model.train()
    loss_fn = make_loss(trainer.config.recipe, trainer.mixup)
    batches = iter(trainer.train.epoch(trainer.config.seed, trainer.epoch, trainer.step))
    since = time.perf_counter()
    while trainer.step < trainer.train.num_steps:
        take_step(trainer, batches, loss_fn)
        trainer.step += 1
        last = trainer.step == trainer.train.num_steps
        if last or trainer.step % STEPS_BETWEEN_CHECKS == 0:
            check_finite(trainer)
        if last and trainer.world.size > 1:
            average_batch_norm(trainer)
        now = time.perf_counter()
        trainer.seconds, since = trainer.seconds + now - since, now
        check_interrupt()


def take_step(trainer: Trainer, batches: Iterator, loss_fn: nn.Module) -> None:
    """Take one optimiser step; learning rate and random draws depend only on its number.

    Args:
        batches: micro-batches; each step uses recipe.grad_accum of them.
    """
    config, recipe, network = trainer.config, trainer.config.recipe, trainer.ddp or trainer.model
    number = trainer.epoch * trainer.train.num_steps + trainer.step
    trainer.scheduler.step_update(number)
    trainer.optimizer.zero_grad()
    for micro_batch in range(recipe.grad_accum):
        images, labels = next(batches)
        position = (trainer.epoch, trainer.step, micro_batch, trainer.world.rank)
        seed_globals(derive_seed(config.seed, "regularisation", *position))  # Mixup, dropout, paths
        if trainer.mixup:
            images, labels = trainer.mixup(images, labels)
        last = micro_batch == recipe.grad_accum - 1
        with nullcontext() if last or not trainer.ddp else trainer.ddp.no_sync():
            with trainer.autocast():
                loss = loss_fn(network(images), labels) / recipe.grad_accum
            loss.backward()
        trainer.loss_sum += loss.detach()
    if recipe.clip_grad:
        groups = trainer.optimizer.param_groups  # listed once, unlike model.parameters()
        nn.utils.clip_grad_norm_([p for g in groups for p in g["params"]], recipe.clip_grad)
    trainer.optimizer.step()
    if trainer.ema:
        trainer.ema.update(trainer.model, step=number + 1)


def finish_epoch(trainer: Trainer, check_interrupt: Callable[[], None]) -> Row:
    """Evaluate if due in this epoch, and append the epoch's row to the history."""
    config, world, num_steps = trainer.config, trainer.world, trainer.train.num_steps
    due, splits = config.recipe.evaluates(trainer.epoch), trainer.splits
    started = time.perf_counter()
    row = dict(
        epoch=trainer.epoch,
        time=time.time(),
        lr=trainer.optimizer.param_groups[0]["lr"],
        train_loss=float(world.all_sum(trainer.loss_sum.clone())) / world.size / num_steps,
        **evaluate_split(trainer, "test", due and splits.test, check_interrupt),
        **evaluate_split(trainer, "val", due and splits.validation, check_interrupt),
        images_per_s=num_steps * config.recipe.batch_size / trainer.seconds,
        epoch_s=trainer.seconds + time.perf_counter() - started,
    )
    trainer.epoch, trainer.step, trainer.seconds = trainer.epoch + 1, 0, 0.0
    trainer.loss_sum.zero_()
    trainer.history.append(row)
    trainer.append_positions()
    return row


def evaluate_split(
    trainer: Trainer, split: str, batches: Any, check_interrupt: Callable[[], None]
) -> Row:
    """Score the network and its EMA on a split; scores are None without a split or an EMA."""
    networks = {"": trainer.model, "ema_": trainer.ema.module if trainer.ema else None}
    # Processes may have unequal numbers of batches, so they cannot synchronise after each one.
    hook = {"after_batch": check_interrupt} if trainer.world.size == 1 else {}
    row = {}
    for prefix, network in networks.items():
        scores = dict.fromkeys(score.name for score in SCORES)
        if batches and network:
            scores = evaluate(network, batches, trainer.world, trainer.autocast, **hook)
        row |= {f"{prefix}{split}_{name}": value for name, value in scores.items()}
    return row


def average_batch_norm(trainer: Trainer) -> None:
    """Average running BatchNorm statistics over the processes (released: dist_bn reduce).

    The EMA takes the statistics of rank 0, which the checkpoint holds.
    """
    distribute_bn(trainer.model, trainer.world.size, reduce=True)
    if trainer.ema:
        distribute_bn(trainer.ema.module, trainer.world.size, reduce=False)


def check_finite(trainer: Trainer) -> None:
    """Stop a diverged run before it wastes hours or overwrites a good checkpoint."""
    if not math.isfinite(trainer.loss_sum):
        config, recipe = trainer.config, trainer.config.recipe
        raise TrainingError(
            f"the training loss is {float(trainer.loss_sum)} in epoch {trainer.epoch} of variant "
            f"{config.variant}, seed {config.seed}: training has diverged. "
            f"Lower recipe.lr ({recipe.lr}), lengthen recipe.warmup_epochs "
            f"({recipe.warmup_epochs}) or set recipe.clip_grad ({recipe.clip_grad})"
        )


def make_loss(recipe: Recipe, mixup: Mixup | None) -> nn.Module:
    """Make the loss; Mixup's targets already include label smoothing."""
    return nn.CrossEntropyLoss(label_smoothing=0.0 if mixup else recipe.label_smoothing)
