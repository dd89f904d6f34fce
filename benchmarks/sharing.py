"""Measure what several trainings side by side on one device gain over one after the other.

    python benchmarks/sharing.py --study fashion_full --variant gqpe_s16   # 1, 2, 4 and 8 processes
    python benchmarks/sharing.py --study digits --processes 1 2 --device cpu --seconds 5

Each process builds a run of the study as a training does and takes steps of it; what all of them
train on in the same seconds is counted, and nothing is kept. It takes torch, timm and the light
packages that posmlp/study and posmlp/training import, neither Snakemake nor MLflow. The ratio says
how many times more images are trained on than by one process: how many times sooner a study of many
such runs is done with so many on a GPU (runs_per_gpu in config/config.yaml).
"""

import argparse
import itertools
import sys
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path
from queue import Empty
from typing import NamedTuple

import torch
import torch.multiprocessing as mp
from measure import processor

from posmlp.study import load_study
from posmlp.training.distributed import join_world
from posmlp.training.engine import make_loss, take_step
from posmlp.training.trainer import make_trainer

WARM_UP_STEPS = 5  # allocations, choice of algorithms
PATIENCE_S = 1.0  # between two looks whether a process has died


class Throughput(NamedTuple):
    """What one process trained on while all did."""

    images: int
    seconds: float
    device: str
    device_mb: float  # at most; 0 on CPUs


def train_beside(options: argparse.Namespace, start: Barrier, results: mp.Queue) -> None:
    """Take steps of one run for some seconds, from the moment in which all are ready."""
    torch.set_num_threads(options.threads)
    try:
        config = load_study(options.study).run(options.variant, options.seed)
        world = join_world(options.device)
        trainer = make_trainer(config, options.data_root, world)
    except ValueError as error:  # no such data, no GPU
        sys.exit(f"error: {error}")
    trainer.model.train()
    loss_fn = make_loss(config.recipe, trainer.mixup)
    batches = itertools.chain.from_iterable(
        trainer.train.epoch(config.seed, epoch, 0) for epoch in itertools.count()
    )

    def step() -> None:
        take_step(trainer, batches, loss_fn)
        if world.device.type == "cuda":
            torch.cuda.synchronize()

    for _ in range(WARM_UP_STEPS):
        step()
    start.wait()
    began, steps = time.perf_counter(), 0
    while time.perf_counter() - began < options.seconds:
        step()
        steps += 1
    seconds = time.perf_counter() - began
    on_gpu = world.device.type == "cuda"
    device = torch.cuda.get_device_name() if on_gpu else processor()
    peak = torch.cuda.max_memory_reserved() / 1e6 if on_gpu else 0.0
    results.put(Throughput(steps * config.recipe.batch_size, seconds, device, peak))


def side_by_side(options: argparse.Namespace, number: int) -> list[Throughput]:
    """Train in so many processes at once."""
    context = mp.get_context("spawn")
    start, results = context.Barrier(number), context.Queue()
    arguments = options, start, results
    processes = [context.Process(target=train_beside, args=arguments) for _ in range(number)]
    for process in processes:
        process.start()
    found: list[Throughput] = []
    try:
        while len(found) < number:
            try:
                found.append(results.get(timeout=PATIENCE_S))
            except Empty:
                if any(process.exitcode for process in processes):
                    raise SystemExit(f"one of {number} processes failed: see above") from None
    finally:
        for process in processes:
            if len(found) < number:
                process.terminate()  # the others would wait for it for ever
            process.join()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--study", default="fashion", help="a name, or the path of a study file")
    parser.add_argument("--variant", help="of the study (its reference)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--seconds", type=float, default=20.0, help="of training that are counted")
    parser.add_argument(
        "--threads", type=int, default=1, help="of each process; images read from files need more"
    )
    options = parser.parse_args()
    try:
        study = load_study(options.study)
        options.variant = options.variant or study.reference
        config = study.run(options.variant, options.seed)
    except ValueError as error:
        parser.exit(2, f"error: {error}\n")
    print(f"{config.name}, batches of {config.recipe.batch_size}; torch {torch.__version__}")
    alone = None
    for number in options.processes:
        found = side_by_side(options, number)
        if alone is None:
            print(f"on {found[0].device}")
            print("processes  images/s, all  ratio  MB of the GPU, each")
        rate = sum(each.images / each.seconds for each in found)
        alone = alone or rate / number
        memory = max(each.device_mb for each in found)
        print(f"{number:9}  {rate:13,.0f}  {rate / alone:5.2f}  {memory:19,.0f}", flush=True)


if __name__ == "__main__":
    main()
