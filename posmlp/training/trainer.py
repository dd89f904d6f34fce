"""Trainer: network, data, optimiser and progress of a run, built from its RunConfig."""

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import timm
import torch
from timm.data import Mixup
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

import posmlp.models  # noqa: F401  registers the backbones
from posmlp.code_version import training_code_digest
from posmlp.data.data_set import open_data
from posmlp.layers.position import Quadratic
from posmlp.models.gated_mlp import positional_parameters
from posmlp.study import Recipe, RunConfig
from posmlp.training.batches import BatchSlice, Splits
from posmlp.training.distributed import World
from posmlp.training.memory_batches import memory_batches
from posmlp.training.randomness import derive_seed, seed_globals
from posmlp.training.training_error import TrainingError

Row = dict[str, float | None]  # a row of history.csv


@dataclass
class Trainer:
    """Everything that trains a run, and its progress."""

    config: RunConfig
    world: World
    model: nn.Module
    ddp: DistributedDataParallel | None  # wraps the model if several processes train
    ema: ModelEmaV3 | None
    optimizer: torch.optim.Optimizer
    scheduler: Any
    mixup: Mixup | None
    splits: Splits
    loss_sum: Tensor  # over this epoch's steps, in this process
    epoch: int = 0  # finished epochs
    step: int = 0  # finished steps of the current epoch
    seconds: float = 0.0  # time of these steps
    history: list[Row] = field(default_factory=list)
    # Centres and spreads of quadratic encodings, initially and after every epoch.
    trajectory: dict[str, Tensor] = field(default_factory=dict)

    @property
    def train(self) -> Any:
        """Batches to train on."""
        return self.splits.train

    def state_dict(self) -> dict[str, Any]:
        """Gather everything needed to resume; all processes of the run must call this together.

        No generators are stored, because none outlives a step (randomness.py), and no gradient
        scaler, because bfloat16 needs none.
        """
        return {
            "config": self.config.model_dump(mode="json"),
            "key": self.config.key,
            "code_version": training_code_digest(),
            "epoch": self.epoch,
            "step": self.step,
            "loss_sum": self.world.all_sum(self.loss_sum.clone()) / self.world.size,
            "seconds": self.seconds,
            "history": list(self.history),
            "trajectory": dict(self.trajectory),
            "unreadable": [self.unreadable(batches) for batches in self.splits.present().values()],
            "model": self.model.state_dict(),
            "ema": self.ema.module.state_dict() if self.ema else None,
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state; the number of processes may differ."""
        self.epoch, self.step, self.seconds = state["epoch"], state["step"], state["seconds"]
        self.history, self.trajectory = state["history"], state["trajectory"]
        if self.world.is_rank0:  # holds the sum over all processes
            self.loss_sum.copy_(state["loss_sum"] * self.world.size)
        present = self.splits.present().values()
        for batches, flags_N in zip(present, state["unreadable"], strict=True):
            batches.unreadable_N.logical_or_(flags_N.cpu())
        self.model.load_state_dict(state["model"])
        if self.ema:
            self.ema.module.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])

    def unreadable(self, batches: Any) -> Tensor:
        """Combine, over the processes, the flags of images that could not be read."""
        flags_N = batches.unreadable_N.to(self.world.device, torch.uint8, copy=True)
        return batches.unreadable_N.logical_or_((self.world.all_sum(flags_N) > 0).cpu()).clone()

    def append_positions(self) -> None:
        """Append the current centres and spreads to the trajectory, as float32 on the CPU."""
        for name, encoding in self.model.named_modules():
            if isinstance(encoding, Quadratic):
                for part in ("center", "spread"):
                    now = getattr(encoding, part).detach().float().cpu().clone()[None]
                    before = self.trajectory.get(f"{name}.{part}", now[:0])
                    self.trajectory[f"{name}.{part}"] = torch.cat([before, now])

    def close(self) -> None:
        """End the workers that read images."""
        for batches in self.splits.present().values():
            batches.close()

    def autocast(self) -> AbstractContextManager:
        """Context of the forward pass: bfloat16 on GPUs if recipe.amp is auto."""
        on = self.config.recipe.amp == "auto" and self.world.device.type == "cuda"
        return torch.autocast("cuda", torch.bfloat16) if on else nullcontext()


def make_trainer(config: RunConfig, data_root: Path, world: World) -> Trainer:
    """Build a run's network, data and optimiser.

    Raises:
        DataError: the data set is missing or invalid.
        TrainingError: there are fewer images than one batch needs, the batch cannot be split over
            the processes, or the device does not support a setting.
    """
    recipe, device = config.recipe, world.device
    if device.type != "cuda":
        refuse_gpu_settings(recipe)
    use_deterministic_algorithms(recipe.deterministic)
    seed_globals(derive_seed(config.seed, "init"))
    model = make_model(config).to(device)
    if device.type == "cuda":
        model = model.to(memory_format=torch.channels_last)
    if recipe.dist_bn == "sync":
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    splits = make_batches(config, data_root, world, model.pretrained_cfg)
    train = splits.train
    optimizer, scheduler = make_optimizer(recipe, model, train.num_steps)
    mixup = make_mixup(recipe, config.data.num_classes)
    if mixup and train.batch_slice.micro_batch_size % 2:
        raise TrainingError(
            f"recipe.batch_size: {recipe.batch_size} leaves {train.batch_slice.micro_batch_size} "
            f"images per micro-batch on {world.size} processes; Mixup and CutMix need an even "
            "number"
        )
    ema = ModelEmaV3(model, decay=recipe.ema_decay) if recipe.ema_decay else None
    for network in [model, ema.module] if ema else [model]:
        if recipe.compile:  # in place, so names stay; compiled at the first call
            network.compile(mode=recipe.compile, fullgraph=True)
    trainer = Trainer(
        config=config,
        world=world,
        model=model,
        ddp=DistributedDataParallel(model) if world.size > 1 else None,
        ema=ema,
        optimizer=optimizer,
        scheduler=scheduler,
        mixup=mixup,
        splits=splits,
        loss_sum=torch.zeros((), dtype=torch.float64, device=device),
    )
    trainer.append_positions()
    return trainer


def make_model(config: RunConfig) -> nn.Module:
    """Build the network; TrainingError if its arguments do not work."""
    try:
        return timm.create_model(**config.model_arguments())
    except Exception as error:  # networks also refuse arguments by assertions and failed lookups
        raise TrainingError(
            f"model: {config.model['name']} cannot be built with {config.model_arguments()} "
            f"({type(error).__name__}: {error}); correct the study file or its sheet"
        ) from error


def use_deterministic_algorithms(on: bool) -> None:
    """Make GPU results repeatable bit for bit; operations that cannot be raise an error."""
    if on:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
    torch.use_deterministic_algorithms(on)
    torch.backends.cudnn.deterministic = on


def refuse_gpu_settings(recipe: Recipe) -> None:
    """Raise TrainingError for settings that only work on GPUs."""
    for key, cpu_values in (("dist_bn", ("reduce",)), ("compile", ("default", None))):
        if (value := getattr(recipe, key)) not in cpu_values:
            allowed = " or ".join(value or "null" for value in cpu_values)
            raise TrainingError(
                f"recipe.{key}: {value} works on GPUs only; set {allowed}, or device: cuda"
            )


def make_batches(config: RunConfig, root: Path, world: World, cfg: dict) -> Splits:
    """Load or stream the images; `cfg` is the model's timm default_cfg."""
    data, recipe = config.data, config.recipe
    batch_slice = BatchSlice(recipe.batch_size, recipe.grad_accum, world.rank, world.size)
    opened = open_data(data, recipe.augment, root)
    arguments = (opened, data, recipe.augment, batch_slice, world.device)
    if opened.in_memory:
        splits = memory_batches(*arguments)
    else:
        from posmlp.training.file_batches import file_batches  # only image files need its imports

        splits = file_batches(*arguments, cfg)
        if data.name == "imagenet" and not data.digest:  # its digest would take minutes
            return splits
    return splits._replace(source_digest=opened.digest)


def make_optimizer(
    recipe: Recipe, model: nn.Module, num_steps: int
) -> tuple[torch.optim.Optimizer, Any]:
    """Build timm's optimiser and its warm-up and cosine schedule; `num_steps` is per epoch."""
    scale = recipe.batch_size / recipe.lr_base_size if recipe.lr_base_size else 1.0
    fused = {"fused": True} if recipe.opt == "adamw" else {}  # torch's own, one kernel per step
    optimizer = create_optimizer_v2(
        model, recipe.opt, scale * recipe.lr, recipe.weight_decay, eps=recipe.opt_eps, **fused
    )
    if recipe.position_lr != 1:
        names = positional_parameters(model, bias=False)
        scale_rate(optimizer, {model.get_parameter(n) for n in names}, recipe.position_lr)
    scheduler, _ = create_scheduler_v2(
        optimizer,
        "cosine",
        num_epochs=recipe.epochs,
        warmup_epochs=recipe.warmup_epochs,
        warmup_lr=scale * recipe.warmup_lr,
        min_lr=scale * recipe.min_lr,
        cooldown_epochs=recipe.cooldown_epochs,
        step_on_epochs=False,
        updates_per_epoch=num_steps,
    )
    return optimizer, scheduler


def scale_rate(
    optimizer: torch.optim.Optimizer, parameters: set[nn.Parameter], factor: float
) -> None:
    """Multiply the learning rate of some parameters by `factor`.

    They move to new groups at the end, with the same weight decay; timm's scheduler multiplies by
    `lr_scale`, as for layer decay.
    """
    for group in list(optimizer.param_groups):
        scaled = [p for p in group["params"] if p in parameters]
        if scaled:
            group["params"] = [p for p in group["params"] if p not in parameters]
            scale = factor * group.get("lr_scale", 1.0)
            optimizer.add_param_group({**group, "params": scaled, "lr_scale": scale})


def make_mixup(recipe: Recipe, num_classes: int) -> Mixup | None:
    """Build timm's Mixup and CutMix if the recipe uses either."""
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
