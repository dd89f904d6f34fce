"""How fast a variant trains on this machine, measured in seconds rather than hours."""

import csv
import io
import itertools
import time
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch

from posmlp.code_version import environment
from posmlp.plan.calibration import Calibration, read_calibrations
from posmlp.runs.run_folder import write_atomically
from posmlp.study import RunConfig
from posmlp.training.distributed import World
from posmlp.training.engine import make_loss, take_step
from posmlp.training.trainer import Trainer, make_trainer

WARM_UP_STEPS = 3  # allocations, choice of algorithms
MEASURED_S = 6.0  # of training steps; as long again, at most, of test batches


def calibrate(config: RunConfig, data_root: Path, world: World, process_s: float) -> Calibration:
    """Train some steps and test some batches; nothing is kept of the network.

    Args:
        process_s: what a process takes before it can begin: its start and its imports.

    Raises:
        DataError, TrainingError: as for a training.
    """
    if world.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()  # of the variant before
    began = time.perf_counter()
    trainer = make_trainer(config, data_root, world)
    start_s = process_s + time.perf_counter() - began
    facts = environment(world.device.type)
    weights = trainer.model.state_dict().values()
    return Calibration(
        variant=config.variant,
        settings=config.speed_key,
        device=facts["device"],
        processes=world.size,
        threads=torch.get_num_threads(),
        start_s=start_s,
        step_s=step_seconds(trainer),
        test_image_s=test_image_seconds(trainer),
        num_steps=trainer.train.num_steps,
        num_test=sum(
            batches.num_images
            for split, batches in trainer.splits.present().items()
            if split != "train"
        ),
        checkpoint_mb=size_mb(trainer.state_dict()),
        weights_mb=sum(tensor.nbytes for tensor in weights) / 1e6 * (2 if trainer.ema else 1),
        device_mb=device_mb(world),
    )


def step_seconds(trainer: Trainer) -> float:
    """The median time of a training step, in whole batches; data and optimiser included."""
    loss_fn = make_loss(trainer.config.recipe, trainer.mixup)
    trainer.model.train()
    times: list[float] = []
    batches = itertools.chain.from_iterable(
        trainer.train.epoch(trainer.config.seed, epoch, 0) for epoch in itertools.count()
    )
    while len(times) <= WARM_UP_STEPS or trainer.world.all_max(int(sum(times) < MEASURED_S)):
        began = time.perf_counter()
        take_step(trainer, batches, loss_fn)
        synchronise(trainer.world)
        times.append(time.perf_counter() - began)
    measured = sorted(times[WARM_UP_STEPS:])
    return measured[len(measured) // 2]


@torch.inference_mode()
def test_image_seconds(trainer: Trainer) -> float:
    """The time that testing takes for each image, all processes together."""
    trainer.model.eval()
    began, images_done = time.perf_counter(), 0
    for images, _ in trainer.splits.test:
        with trainer.autocast():
            trainer.model(images)
        synchronise(trainer.world)
        images_done += len(images)
        if time.perf_counter() - began > MEASURED_S:
            break
    return (time.perf_counter() - began) / max(images_done, 1) / trainer.world.size


def synchronise(world: World) -> None:
    if world.device.type == "cuda":
        torch.cuda.synchronize()


def size_mb(state: dict[str, Any]) -> float:
    """How much a checkpoint of this state fills."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.tell() / 1e6


def device_mb(world: World) -> float | None:
    if world.device.type != "cuda":
        return None
    return torch.cuda.max_memory_allocated() / 1e6


def write_calibrations(path: Path, new: list[Calibration]) -> None:
    """Add measurements to a file; a variant's earlier one on the same kind of machine goes."""

    def place(row: Calibration) -> tuple:
        return row.variant, row.device, row.processes, row.threads

    places = {place(row) for row in new}
    rows = [row for row in read_calibrations(path) if place(row) not in places] + new
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Calibration)])
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    write_atomically(path, lambda file: file.write(text.getvalue().encode()))
