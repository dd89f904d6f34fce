"""One run from start to finish: its folder, progress, provenance and figures."""

import contextlib
import datetime
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from posmlp import code_version
from posmlp.data.images import dataset_digest
from posmlp.data.sources import DATASETS
from posmlp.metrics import EVALUATED
from posmlp.runs.checkpoints import Checkpoints, belongs
from posmlp.runs.lock import FolderLock
from posmlp.runs.record import RecordError, RunFolder
from posmlp.runs.watch import TIME_LIMIT, Watch
from posmlp.study import RunConfig
from posmlp.training.cost import multiply_accumulates, num_parameters, token_mixing_parameters
from posmlp.training.distributed import World
from posmlp.training.engine import Interrupted, train
from posmlp.training.errors import TrainingError, explained
from posmlp.training.trainer import Trainer, make_trainer

SECONDS_BETWEEN_LINES = 10  # on the terminal; the log has every epoch
# What must be equal in all parts of a run for its figures to be equal to the last bit.
SAME_MACHINE = (
    *("torch", "timm", "numpy", "device", "cpu_instructions"),
    *("num_threads", "num_processes"),
)


def execute(
    config: RunConfig,
    results: Path,
    data_root: Path,
    world: World,
    command: str,
    watch: Watch,
) -> dict[str, Any]:
    """Train one run in its folder, going on from its checkpoint where there is one.

    Args:
        command: what repeats this run, for the record.
        watch: says when to save and when to leave.

    Returns:
        What stands in metrics.json.

    Raises:
        Interrupted: the watch wanted to leave; a checkpoint is written.
        FolderInUse, RecordError, CheckpointError, DataError, TrainingError: as they say.
    """
    folder = RunFolder(config.folder(results))
    with FolderLock(folder.path) if world.first else nullcontext():
        start = begin(config, folder, world, command) if world.first else None
        state, parts = world.from_first(start)
        with failure_noted(folder, world):
            trainer = make_trainer(config, data_root, world)
            if state:
                trainer.load_state_dict(state)
            began = trainer.epoch, trainer.step
            try:
                run_to_the_end(trainer, folder, parts, watch)
            except Interrupted:
                unmoved = (trainer.epoch, trainer.step) == began
                if watch.signal == TIME_LIMIT and unmoved and "SLURM_JOB_ID" in os.environ:
                    raise TrainingError(
                        f"{config.name}: Slurm's warning of the time limit came before the first "
                        "step; give jobs more time (slurm/site.yaml: hours), or a shorter warning "
                        "(warning_s)"
                    ) from None
                say(
                    f"{config.name}: left at epoch {trainer.epoch}, step {trainer.step} by "
                    f"{watch.signal.name if watch.signal else 'another process'}; the same command "
                    "goes on from there",
                    world,
                )
                raise
            except Exception as error:
                known = explained(error, trainer.train.share.part_size, config.recipe.grad_accum)
                if known:
                    raise known from None
                raise
            return finish(trainer, folder, parts) if world.first else {}


@contextmanager
def failure_noted(folder: RunFolder, world: World) -> Iterator[None]:
    """Leave a failure in the folder, where it tells a failed run from one that was stopped."""
    try:
        yield
    except Exception as error:
        if world.first:
            with contextlib.suppress(RecordError):
                folder.write_json(folder.error.name, {"error": str(error), "time": now()})
        raise


def begin(
    config: RunConfig, folder: RunFolder, world: World, command: str
) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """Make the folder ready; return the checkpoint to go on from and where the run's parts ran."""
    state = Checkpoints(folder.path).load()
    if state and not belongs(state, config, folder.path):
        state = None
    folder.clear(".*.part")
    if state:
        folder.clear(folder.metrics.name)
        folder.clear(folder.error.name)
        folder.write_history(state["history"])
    else:
        folder.clear()
    provenance = {
        "key": config.key,
        "code_version": code_version.training_code_digest(),
        **code_version.git_state(),
        **code_version.environment(world.device.type),
        "num_processes": world.size,
        "started_at": now(),
        "command": command,
    }
    folder.write_config(config.to_yaml())
    folder.write_text("requirements.txt", "".join(f"{p}\n" for p in code_version.packages()))
    parts = [*(state["parts"] if state else []), provenance]
    first = {"first_started_at": parts[0]["started_at"]}
    folder.write_json("provenance.json", provenance | first)
    if state:
        place = f"epoch {state['epoch']}, step {state['step']}"
        say(f"{config.name}: going on at {place} from its checkpoint", world)
        for name in SAME_MACHINE:
            before, here = (part[name] for part in parts[-2:])
            if before != here:
                say(
                    f"warning: {config.name}: {name} was {before} and is {here}; figures may "
                    "differ in their last digits from those of an uninterrupted run",
                    world,
                )
    return state, parts


def run_to_the_end(
    trainer: Trainer, folder: RunFolder, parts: list[dict[str, Any]], watch: Watch
) -> None:
    """Train what is left, with checkpoints and history in the folder."""
    progress = Progress(trainer)
    checkpoints = Checkpoints(folder.path)

    def save(state: dict[str, Any]) -> None:
        if trainer.world.first:
            checkpoints.save(state | {"parts": parts})
        watch.saved()

    def log(row: dict[str, Any]) -> None:
        if trainer.world.first:
            folder.write_history(trainer.history)
            progress.epoch_done(row)

    train(trainer, log, save, watch.asked)


def finish(trainer: Trainer, folder: RunFolder, parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Write the weights, the trajectory and, last, the final figures."""
    folder.write_weights("model.safetensors", trainer.model.state_dict())
    if trainer.ema:
        folder.write_weights("ema.safetensors", trainer.ema.module.state_dict())
    if trainer.trajectory:
        folder.write_trajectory(trainer.trajectory)
    metrics = {
        **final_metrics(trainer),
        **parts[-1],
        "started_at": parts[0]["started_at"],
        "num_starts": len(parts),
        "finished_at": now(),
    }
    folder.write_json("metrics.json", metrics)
    return metrics


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def say(line: str, world: World, file: Any = None) -> None:
    """Print for people; a log on a full disk must not end a training."""
    if world.first:
        with contextlib.suppress(OSError):
            print(line, file=file or sys.stdout, flush=True)


def final_metrics(trainer: Trainer) -> dict[str, Any]:
    """Gather the last epoch's figures, the network's cost and the speed of training."""
    config, history, last = trainer.config, trainer.history, trainer.history[-1]
    source = DATASETS[config.data.name]
    mixing = token_mixing_parameters(trainer.model)
    parts = {
        name: batches
        for name, batches in zip(("train", "val", "test"), trainer.parts, strict=True)
        if batches
    }
    digests = {name: batches.digest for name, batches in parts.items()}
    speeds = sorted(row["images_per_s"] for row in history)
    return {
        "study": config.study,
        "variant": config.variant,
        "seed": config.seed,
        "epochs": len(history),
        **{metric.name: last[metric.name] for metric in EVALUATED},
        "train_loss": last["train_loss"],
        "params": num_parameters(trainer.model),
        "token_mixing_params": sum(mixing),
        "token_mixing_params_per_layer": mixing,
        "macs": multiply_accumulates(
            trainer.model, (source.in_chans, config.data.image_size, config.data.image_size)
        ),
        "images_per_s": speeds[len(speeds) // 2],
        "wall_s": sum(row["epoch_s"] for row in history),
        "num_train": trainer.train.num_images,
        "num_val": parts["val"].num_images if "val" in parts else 0,
        "num_test": parts["test"].num_images,
        **{
            f"num_unreadable_{name}": int(batches.unreadable_N.sum())
            for name, batches in parts.items()
        },
        "digests": digests,
        "data_digest": dataset_digest(digests),
        "pixel_mean": trainer.train.pixel_mean,
        "pixel_std": trainer.train.pixel_std,
    }


class Progress:
    """Lines for people: every epoch to standard output, one now and then to standard error."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.shown = time.monotonic()

    def epoch_done(self, row: dict[str, Any]) -> None:
        config, world = self.trainer.config, self.trainer.world
        num_epochs = config.recipe.num_epochs
        left = datetime.timedelta(seconds=round(row["epoch_s"] * (num_epochs - row["epoch"] - 1)))
        line = (
            f"{config.name:<28} epoch {row['epoch'] + 1}/{num_epochs}  "
            f"loss {row['train_loss']:.3f}  top-1 {row['test_top1']:.2f} %  "
            f"{row['images_per_s']:,.0f} images/s  {left} left"
        )
        say(line, world)
        if time.monotonic() - self.shown >= SECONDS_BETWEEN_LINES:
            self.shown = time.monotonic()
            say(line, world, sys.stderr)
