"""The training loop: a Trainer in, its history out. It can be left and taken up at any step."""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from enum import IntEnum
from typing import Any

import torch
from timm.data import Mixup
from timm.loss import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from timm.utils import distribute_bn
from torch import nn

from posmlp.layers.cache import share_maps
from posmlp.metrics import SCORES
from posmlp.study import Recipe
from posmlp.training.batches import Batches
from posmlp.training.errors import TrainingError
from posmlp.training.randomness import derive_seed, seed_globals
from posmlp.training.trainer import Row, Trainer

Log = Callable[[Row], None]
Save = Callable[[dict[str, Any]], None]
STEPS_BETWEEN_CHECKS = 50  # of the loss; each check waits for the GPU


class Asked(IntEnum):
    """What somebody wants of the loop between two steps."""

    NOTHING = 0
    SAVE = 1
    LEAVE = 2


class Interrupted(KeyboardInterrupt):
    """Training was asked to leave and does; its state is saved, the run goes on another time."""


def train(
    trainer: Trainer,
    log: Log,
    save: Save,
    asked: Callable[[], Asked] = lambda: Asked.NOTHING,
) -> Row:
    """Train from where the trainer stands to the last epoch.

    Args:
        log: takes every epoch's row of the history.
        save: takes the trainer's state after every epoch and whenever `asked` wants that.
        asked: looked at before the first step and after every one.

    Returns:
        The last epoch's row.

    Raises:
        TrainingError: the loss is no longer a finite number.
        Interrupted: `asked` wanted the loop to leave.
    """

    def heed() -> None:
        wish = trainer.world.largest(asked())
        if wish != Asked.NOTHING:
            check_finite(trainer)
            save(trainer.state_dict())
        if wish == Asked.LEAVE:
            raise Interrupted

    heed()
    while trainer.epoch < trainer.config.recipe.num_epochs:
        train_epoch(trainer, heed)
        row = finish_epoch(trainer, heed)
        save(trainer.state_dict())
        log(row)
    return trainer.history[-1]


def train_epoch(trainer: Trainer, heed: Callable[[], None]) -> None:
    """Take the steps that the epoch still lacks."""
    trainer.model.train()
    loss_fn = make_loss(trainer.config.recipe, trainer.mixup)
    parts = iter(trainer.train.epoch(trainer.config.seed, trainer.epoch, trainer.step))
    since = time.perf_counter()
    while trainer.step < trainer.train.num_steps:
        take_step(trainer, parts, loss_fn)
        trainer.step += 1
        last = trainer.step == trainer.train.num_steps
        if last or trainer.step % STEPS_BETWEEN_CHECKS == 0:
            check_finite(trainer)
        if last and trainer.world.size > 1:
            share_statistics(trainer)
        now = time.perf_counter()
        trainer.seconds, since = trainer.seconds + now - since, now
        heed()


def take_step(trainer: Trainer, parts: Batches, loss_fn: nn.Module) -> None:
    """Take one optimiser step. Rate and draws depend on its number, not on where a start lies."""
    config, recipe, network = trainer.config, trainer.config.recipe, trainer.ddp or trainer.model
    number = trainer.epoch * trainer.train.num_steps + trainer.step
    trainer.scheduler.step_update(number)
    trainer.optimizer.zero_grad()
    for part in range(recipe.grad_accum):
        images, labels = next(parts)
        place = (trainer.epoch, trainer.step, part, trainer.world.rank)
        seed_globals(derive_seed(config.seed, "regularisation", *place))  # Mixup, dropout, paths
        if trainer.mixup:
            images, labels = trainer.mixup(images, labels)
        share_maps(trainer.model, part, recipe.grad_accum)
        last = part == recipe.grad_accum - 1
        with nullcontext() if last or not trainer.ddp else trainer.ddp.no_sync():
            with trainer.autocast():
                loss = loss_fn(network(images), labels) / recipe.grad_accum
            loss.backward()
        trainer.loss_sum += loss.detach()
    if recipe.clip_grad:
        nn.utils.clip_grad_norm_(trainer.model.parameters(), recipe.clip_grad)
    trainer.optimizer.step()
    if trainer.ema:
        trainer.ema.update(trainer.model, step=number + 1)


def finish_epoch(trainer: Trainer, heed: Callable[[], None]) -> Row:
    """Test, and write the epoch's row into the history."""
    config, world, num_steps = trainer.config, trainer.world, trainer.train.num_steps
    started = time.perf_counter()
    row = dict(
        epoch=trainer.epoch,
        time=time.time(),
        lr=trainer.optimizer.param_groups[0]["lr"],
        train_loss=float(world.summed(trainer.loss_sum.clone())) / world.size / num_steps,
        **figures(trainer, "test", trainer.parts.test, heed),
        **figures(trainer, "val", trainer.parts.validation, heed),
        images_per_s=num_steps * config.recipe.batch_size / trainer.seconds,
        epoch_s=trainer.seconds + time.perf_counter() - started,
    )
    trainer.epoch, trainer.step, trainer.seconds = trainer.epoch + 1, 0, 0.0
    trainer.loss_sum.zero_()
    trainer.history.append(row)
    trainer.note_positions()
    return row


def figures(trainer: Trainer, name: str, batches: Any, heed: Callable[[], None]) -> Row:
    """Return loss, top-1 and top-5 of the network and of its average; None where there is none."""
    networks = {"": trainer.model, "ema_": trainer.ema.module if trainer.ema else None}
    row = {}
    for prefix, network in networks.items():
        found = dict.fromkeys(score.name for score in SCORES)
        if batches and network:
            found = evaluate(trainer, network, batches, heed)
        row |= {f"{prefix}{name}_{score}": value for score, value in found.items()}
    return row


def share_statistics(trainer: Trainer) -> None:
    """Give all processes the mean of their running BatchNorm statistics (released: dist_bn reduce).

    The averaged weights keep those of the first process, which are what a checkpoint holds.
    """
    distribute_bn(trainer.model, trainer.world.size, reduce=True)
    if trainer.ema:
        distribute_bn(trainer.ema.module, trainer.world.size, reduce=False)


def check_finite(trainer: Trainer) -> None:
    """End a run that has diverged rather than let it burn its hours or save what is lost."""
    if not math.isfinite(trainer.loss_sum):
        config, recipe = trainer.config, trainer.config.recipe
        raise TrainingError(
            f"the training loss is {float(trainer.loss_sum)} in epoch {trainer.epoch} of variant "
            f"{config.variant}, seed {config.seed}: training has diverged. "
            f"Lower recipe.lr ({recipe.lr}), lengthen recipe.warmup_epochs "
            f"({recipe.warmup_epochs}) or set recipe.clip_grad ({recipe.clip_grad})"
        )


def make_loss(recipe: Recipe, mixup: Mixup | None) -> nn.Module:
    """Pick the loss; Mixup's targets carry the label smoothing already."""
    if mixup:
        return SoftTargetCrossEntropy()
    if recipe.label_smoothing:
        return LabelSmoothingCrossEntropy(recipe.label_smoothing)
    return nn.CrossEntropyLoss()


@torch.inference_mode()
def evaluate(
    trainer: Trainer, model: nn.Module, batches: Any, heed: Callable[[], None] = lambda: None
) -> dict[str, float]:
    """Average every score over all images of `batches`, each once.

    An image that cannot be read, its label being negative, is left out.
    """
    model.eval()
    sums = torch.zeros(len(SCORES) + 1, dtype=torch.float64, device=trainer.world.device)
    for images, labels in batches:
        if batches.unreadable_N.any():
            readable = labels >= 0
            images, labels = images[readable], labels[readable]
        if len(labels):
            with trainer.autocast():
                logits = model(images).float()
            totals = [score.of_images(logits, labels).sum().double() for score in SCORES]
            sums += torch.stack([*totals, labels.new_tensor(len(labels)).double()])
        if trainer.world.size == 1:  # several processes have unequal numbers of batches
            heed()
    *totals, num = trainer.world.summed(sums).tolist()
    return {score.name: total / num for score, total in zip(SCORES, totals, strict=True)}
