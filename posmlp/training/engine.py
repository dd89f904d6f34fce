"""The training loop: a RunConfig in, an accuracy out, timm's parts in between."""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from timm.data import Mixup
from timm.loss import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import ModelEmaV3
from torch import Tensor, nn

import posmlp.models  # noqa: F401  registers the backbones
from posmlp.data.sources import DATASETS
from posmlp.study.run_config import RunConfig
from posmlp.study.settings import Recipe
from posmlp.training.batches import TrainingError, memory_batches, streamed_batches
from posmlp.training.randomness import seed_globals

Log = Callable[[dict[str, float | None]], None]


@dataclass
class Trainer:
    """What a run is made of while it trains."""

    config: RunConfig
    device: torch.device
    model: nn.Module
    ema: ModelEmaV3 | None
    optimizer: torch.optim.Optimizer
    scheduler: Any
    mixup: Mixup | None
    train: Any  # batches
    test: Any
    epoch: int = 0  # epochs done
    history: list[dict[str, float | None]] | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return all that a later start needs; randomness is derived from seed and epoch alone."""
        return {
            "key": self.config.key,
            "epoch": self.epoch,
            "history": self.history,
            "model": self.model.state_dict(),
            "ema": self.ema.module.state_dict() if self.ema else None,
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.history = state["epoch"], state["history"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.ema:
            self.ema.module.load_state_dict(state["ema"])

    def autocast(self):
        """Compute in bfloat16 where that pays: on GPUs."""
        on = self.config.recipe.amp == "auto" and self.device.type == "cuda"
        return torch.autocast("cuda", torch.bfloat16) if on else nullcontext()


def make_trainer(config: RunConfig, data_root: Path, device: torch.device) -> Trainer:
    """Build the network and everything that trains it.

    Raises:
        DataError, TrainingError: the data set is not there, or smaller than a batch.
    """
    recipe = config.recipe
    seed_globals(config.seed, "init")
    model = timm.create_model(**config.model_arguments()).to(device)
    if device.type == "cuda":
        model = model.to(memory_format=torch.channels_last)
    arguments = (config.data, recipe.augment, recipe.batch_size, data_root, device)
    if DATASETS[config.data.name].in_memory:
        train, test = memory_batches(*arguments)
    else:
        train, test = streamed_batches(*arguments, model.pretrained_cfg)
    fused = {"fused": True} if recipe.opt == "adamw" else {}  # torch's own, one kernel a step
    optimizer = create_optimizer_v2(
        model, recipe.opt, recipe.lr, recipe.weight_decay, eps=recipe.opt_eps, **fused
    )
    scheduler, _ = create_scheduler_v2(
        optimizer,
        "cosine",
        num_epochs=recipe.epochs,
        warmup_epochs=recipe.warmup_epochs,
        warmup_lr=recipe.warmup_lr,
        min_lr=recipe.min_lr,
        cooldown_epochs=recipe.cooldown_epochs,
        step_on_epochs=False,
        updates_per_epoch=len(train),
    )
    ema = ModelEmaV3(model, decay=recipe.ema_decay) if recipe.ema_decay else None
    mixup = make_mixup(recipe, DATASETS[config.data.name].num_classes)
    return Trainer(config, device, model, ema, optimizer, scheduler, mixup, train, test, history=[])


def make_mixup(recipe: Recipe, num_classes: int) -> Mixup | None:
    """Build timm's Mixup and CutMix where the recipe asks for either."""
    if not (recipe.mixup or recipe.cutmix):
        return None
    return Mixup(
        mixup_alpha=recipe.mixup,
        cutmix_alpha=recipe.cutmix,
        prob=recipe.mixup_prob,
        switch_prob=recipe.mixup_switch_prob,
        label_smoothing=recipe.label_smoothing,
        num_classes=num_classes,
    )


def train(trainer: Trainer, log: Log, save: Callable[[dict[str, Any]], None]) -> dict[str, float]:
    """Train to the last epoch; call `log` with every epoch's row and `save` with its state.

    Returns:
        The last epoch's row of the history.

    Raises:
        TrainingError: the loss is no longer a finite number.
    """
    recipe = trainer.config.recipe
    for epoch in range(trainer.epoch, recipe.epochs + recipe.cooldown_epochs):
        started = time.perf_counter()
        train_loss = train_one_epoch(trainer, epoch)
        trained_s = time.perf_counter() - started
        raw = evaluate(trainer, trainer.model)
        ema = evaluate(trainer, trainer.ema.module) if trainer.ema else (None, None, None)
        row = dict(
            epoch=epoch,
            time=time.time(),
            lr=trainer.optimizer.param_groups[0]["lr"],
            train_loss=train_loss,
            **dict(zip(("test_loss", "test_top1", "test_top5"), raw, strict=True)),
            **dict(zip(("ema_test_loss", "ema_test_top1", "ema_test_top5"), ema, strict=True)),
            images_per_s=len(trainer.train) * recipe.batch_size / trained_s,
            epoch_s=time.perf_counter() - started,
        )
        trainer.epoch = epoch + 1
        trainer.history.append(row)
        save(trainer.state_dict())
        log(row)
    return trainer.history[-1]


def train_one_epoch(trainer: Trainer, epoch: int) -> float:
    """Train one epoch and return its mean loss."""
    recipe, model = trainer.config.recipe, trainer.model
    loss_fn = make_loss(recipe, trainer.mixup)
    model.train()
    seed_globals(trainer.config.seed, "regularisation", epoch)  # Mixup, drop path, dropout
    total = torch.zeros((), dtype=torch.float64, device=trainer.device)
    step = epoch * len(trainer.train)
    for images, labels in trainer.train.epoch(trainer.config.seed, epoch):
        trainer.scheduler.step_update(step)  # so that step k's rate does not depend on the start
        if trainer.mixup:
            images, labels = trainer.mixup(images, labels)
        with trainer.autocast():
            loss = loss_fn(model(images), labels)
        trainer.optimizer.zero_grad()
        loss.backward()
        if recipe.clip_grad:
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_grad)
        trainer.optimizer.step()
        step += 1
        if trainer.ema:
            trainer.ema.update(model, step=step)
        total += loss.detach()
        if step % 50 == 0:
            check_finite(total, epoch, trainer)
    check_finite(total, epoch, trainer)
    return float(total) / len(trainer.train)


def check_finite(total: Tensor, epoch: int, trainer: Trainer) -> None:
    """End a run that has diverged rather than let it burn its hours."""
    if not math.isfinite(total):
        raise TrainingError(
            f"the training loss is {float(total)} in epoch {epoch} of variant "
            f"{trainer.config.variant}, seed {trainer.config.seed}: training has diverged. "
            f"Lower recipe.lr ({trainer.config.recipe.lr}), lengthen recipe.warmup_epochs "
            f"({trainer.config.recipe.warmup_epochs}) or set recipe.clip_grad "
            f"({trainer.config.recipe.clip_grad})"
        )


def make_loss(recipe: Recipe, mixup: Mixup | None) -> nn.Module:
    """Pick the loss; Mixup's targets carry the label smoothing already."""
    if mixup:
        return SoftTargetCrossEntropy()
    if recipe.label_smoothing:
        return LabelSmoothingCrossEntropy(recipe.label_smoothing)
    return nn.CrossEntropyLoss()


@torch.inference_mode()
def evaluate(trainer: Trainer, model: nn.Module) -> tuple[float, float, float]:
    """Return cross-entropy, top-1 and top-5 (per cent) over the whole test set."""
    model.eval()
    loss = torch.zeros((), dtype=torch.float64, device=trainer.device)
    hits_2 = torch.zeros(2, dtype=torch.long, device=trainer.device)
    num = 0
    for images, labels in trainer.test:
        with trainer.autocast():
            logits = model(images)
        loss += F.cross_entropy(logits.float(), labels, reduction="sum")
        best_B5 = logits.topk(min(5, logits.shape[1]), dim=1).indices
        right_B5 = best_B5 == labels[:, None]
        hits_2 += torch.stack([right_B5[:, 0].sum(), right_B5.sum()])
        num += len(labels)
    top1, top5 = (100 * hits_2.double() / num).tolist()
    return float(loss) / num, top1, top5
