"""Measure in a few seconds how fast each variant of a study trains on this machine."""

import io
import itertools
import statistics
import time
from pathlib import Path

import psutil
import torch

from posmlp.code_version import environment
from posmlp.plan.estimate import Calibration, write_calibrations
from posmlp.study import RunConfig, Study
from posmlp.training.distributed import World, join_world
from posmlp.training.engine import make_loss, take_step
from posmlp.training.trainer import Trainer, make_trainer

WARM_UP_STEPS = 3  # for allocations and the choice of algorithms
MEASURED_S = 6.0  # of training steps, and at most of test batches


def calibrate_study(study: Study, results: Path, data_root: Path, device: str) -> None:
    """Measure every variant and write RESULTS/STUDY/calibration.csv.

    Raises:
        DataError, TrainingError: as in training.
    """
    file = results / study.name / "calibration.csv"
    file.parent.mkdir(parents=True, exist_ok=True)  # fails now rather than after the measurements
    process_s = time.time() - psutil.Process().create_time()
    world, rows = join_world(device), []
    for config in study.configs.values():
        row, images_per_s = calibrate(config, data_root, world, process_s)
        rows.append(row)
        if world.is_rank0:
            print(f"{row.variant}: {images_per_s:,.0f} images/s on {row.device}", flush=True)
    if world.is_rank0:
        write_calibrations(file, rows)
    world.leave()


def calibrate(
    config: RunConfig, data_root: Path, world: World, process_s: float
) -> tuple[Calibration, float]:
    """Train some steps, test some batches and discard the network.

    Args:
        process_s: seconds that starting the process and importing took.

    Returns:
        The calibration, and training images per second.
    """
    began = time.perf_counter()
    trainer, recipe = make_trainer(config, data_root, world), config.recipe
    start_s = process_s + time.perf_counter() - began
    step_s, splits = step_seconds(trainer), trainer.splits.present()
    num_tested = sum(splits[name].num_images for name in splits if name != "train")
    num_tested *= 1 if recipe.ema_decay is None else 2  # averaged weights are tested too
    epoch_s = trainer.train.num_steps * step_s + num_tested * test_image_seconds(trainer)
    checkpoint = io.BytesIO()
    torch.save(trainer.state_dict(), checkpoint)
    weights = sum(tensor.nbytes for tensor in trainer.model.state_dict().values())
    row = Calibration(
        variant=config.variant,
        settings=config.speed_key,
        device=environment(world.device.type)["device"],
        processes=world.size,
        threads=torch.get_num_threads(),
        start_s=start_s,
        run_s=recipe.num_epochs * epoch_s,
        disk_mb=(2 * checkpoint.tell() + weights * (2 if trainer.ema else 1)) / 1e6,
    )
    return row, recipe.batch_size / step_s


def step_seconds(trainer: Trainer) -> float:
    """Median time of a training step, including data loading and optimiser."""
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
    return statistics.median(times[WARM_UP_STEPS:])


@torch.inference_mode()
def test_image_seconds(trainer: Trainer) -> float:
    """Test time per image, over all processes."""
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
