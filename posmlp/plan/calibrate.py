"""Measure for some seconds how fast a variant trains on this machine."""

import io
import itertools
import statistics
import time
from pathlib import Path

import torch

from posmlp.code_version import environment
from posmlp.plan.calibration import Calibration
from posmlp.study import RunConfig
from posmlp.training.distributed import World
from posmlp.training.engine import make_loss, take_step
from posmlp.training.trainer import Trainer, make_trainer

WARM_UP_STEPS = 3  # allocations, choice of algorithms
MEASURED_S = 6.0  # of training steps; as long again, at most, of test batches


def calibrate(config: RunConfig, data_root: Path, world: World, process_s: float) -> Calibration:
    """Train some steps and test some batches; the network is thrown away.

    Args:
        process_s: seconds that the process took to start and import.

    Raises:
        DataError, TrainingError: as for a training.
    """
    began = time.perf_counter()
    trainer = make_trainer(config, data_root, world)
    start_s = process_s + time.perf_counter() - began
    weights = trainer.model.state_dict().values()
    tested = [batches for split, batches in trainer.splits.present().items() if split != "train"]
    checkpoint = io.BytesIO()
    torch.save(trainer.state_dict(), checkpoint)
    return Calibration(
        variant=config.variant,
        settings=config.speed_key,
        device=environment(world.device.type)["device"],
        processes=world.size,
        threads=torch.get_num_threads(),
        start_s=start_s,
        step_s=step_seconds(trainer),
        test_image_s=test_image_seconds(trainer),
        num_steps=trainer.train.num_steps,
        num_test=sum(batches.num_images for batches in tested),
        checkpoint_mb=checkpoint.tell() / 1e6,
        weights_mb=sum(tensor.nbytes for tensor in weights) / 1e6 * (2 if trainer.ema else 1),
    )


def step_seconds(trainer: Trainer) -> float:
    """Median time of a training step, loading and optimiser included."""
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
    """Time of testing for each image, all processes together."""
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
