"""Execution of one run: folder, training, provenance and metrics."""

import contextlib
import datetime
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from posmlp import code_version
from posmlp.data.images import dataset_digest
from posmlp.metrics import EVALUATED
from posmlp.runs.checkpoints import Checkpoints, belongs
from posmlp.runs.folder_lock import FolderInUse, FolderLock
from posmlp.runs.interrupts import Interrupts
from posmlp.runs.run_folder import RunFolder
from posmlp.study import RunConfig
from posmlp.training.cost import multiply_accumulates, num_parameters, token_mixing_parameters
from posmlp.training.distributed import World
from posmlp.training.engine import Interrupted, train
from posmlp.training.evaluation import predict
from posmlp.training.trainer import Trainer, make_trainer
from posmlp.training.training_error import explained

# Facts that must be the same in all segments of a run for bit-identical metrics.
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
    interrupts: Interrupts,
) -> dict[str, Any]:
    """Train one run in its folder, resuming from its checkpoint if there is one.

    Args:
        command: command line that repeats this run, for the record.
        interrupts: requests checkpoints and stops.

    Returns:
        The content of metrics.json; empty on ranks other than 0.

    Raises:
        Interrupted: stopped on request, after a checkpoint.
        FolderInUse, OSError, CheckpointError, DataError, TrainingError: see their messages.
    """
    folder = RunFolder(config.folder(results))
    with ExitStack() as stack:
        start = None
        if world.is_rank0:
            folder.may_write = stack.enter_context(FolderLock(folder.path)).check
            start = begin(config, folder, world, command)
        state, segments = world.broadcast(start)
        stack.enter_context(failures_explained(config, folder, world))
        trainer = make_trainer(config, data_root, world)
        stack.callback(trainer.close)
        if state:
            trainer.load_state_dict(state)
        run_to_the_end(trainer, folder, segments, interrupts)
        predictions = predict(trainer.model, trainer.splits.test, world, trainer.autocast)
        return finish(trainer, folder, segments, predictions) if world.is_rank0 else {}


@contextmanager
def failures_explained(config: RunConfig, folder: RunFolder, world: World) -> Iterator[None]:
    """Turn known errors of libraries into TrainingErrors, and write every error to error.json.

    The file distinguishes a failed run from a stopped one.
    """
    try:
        yield
    except Exception as error:
        recipe = config.recipe
        size = recipe.batch_size // (recipe.grad_accum * world.size)
        known = explained(error, size, recipe.grad_accum)
        if world.is_rank0:
            with contextlib.suppress(OSError, FolderInUse):
                folder.write_json("error.json", {"error": str(known or error), "time": now()})
        if known:
            raise known from None
        raise


def begin(
    config: RunConfig, folder: RunFolder, world: World, command: str
) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """Prepare the folder; return the checkpoint to resume from and the provenance of all segments.

    A segment is the part of a run between a start and the next end or interruption.
    """
    state = Checkpoints(folder.path).load()
    if state and not belongs(state, config, folder.path):
        state = None
    folder.clear(".*.part", *(["metrics.json", "error.json"] if state else ["[!.]*"]))
    if state:
        folder.write_history(state["history"])
    provenance = {
        "key": config.key,
        "code_version": code_version.training_code_digest(),
        **code_version.git_state(),
        **code_version.environment(world.device.type),
        "num_processes": world.size,
        "started_at": now(),
        "command": command,
    }
    folder.write_text("config.yaml", config.to_yaml())
    folder.write_text("requirements.txt", "".join(f"{p}\n" for p in code_version.packages()))
    segments = [*(state["segments"] if state else []), provenance]
    first = {"first_started_at": segments[0]["started_at"]}
    folder.write_json("provenance.json", provenance | first)
    if state:
        position = f"epoch {state['epoch']}, step {state['step']}"
        say(f"{config.name}: resuming at {position}")
        before, here = segments[-2:]
        for fact in SAME_MACHINE:
            if before[fact] != here[fact]:
                say(
                    f"warning: {config.name}: {fact} was {before[fact]} and is {here[fact]}; "
                    "metrics may differ from an uninterrupted run in their last digits"
                )
    return state, segments


def run_to_the_end(
    trainer: Trainer, folder: RunFolder, segments: list[dict[str, Any]], interrupts: Interrupts
) -> None:
    """Train the remaining epochs, writing checkpoints and history."""
    checkpoints, rank0 = Checkpoints(folder.path), trainer.world.is_rank0

    def save(state: dict[str, Any]) -> None:
        if rank0:
            folder.may_write()
            checkpoints.save(state | {"segments": segments})
        interrupts.saved()

    def log(row: dict[str, Any]) -> None:
        if rank0:
            folder.write_history(trainer.history)
            say(progress(trainer, row))

    try:
        train(trainer, log, save, interrupts.check)
    except Interrupted:
        if rank0:
            signal = interrupts.signal.name if interrupts.signal else "another process"
            say(
                f"{trainer.config.name}: stopped at epoch {trainer.epoch}, step {trainer.step} by "
                f"{signal}; the same command resumes there"
            )
        raise


def finish(
    trainer: Trainer,
    folder: RunFolder,
    segments: list[dict[str, Any]],
    predictions: tuple[Tensor, Tensor],
) -> dict[str, Any]:
    """Write weights, trajectory, predictions and, last, the metrics."""
    folder.write_weights("model.safetensors", trainer.model.state_dict())
    if trainer.ema:
        folder.write_weights("ema.safetensors", trainer.ema.module.state_dict())
    if trainer.trajectory:
        folder.write_trajectory(trainer.trajectory)
    folder.write_predictions(*predictions)
    metrics = {
        **final_metrics(trainer),
        **segments[-1],
        "started_at": segments[0]["started_at"],
        "num_starts": len(segments),
        "finished_at": now(),
    }
    folder.write_json("metrics.json", metrics)
    return metrics


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def say(line: str) -> None:
    """Print into the run's log; a full disk must not stop a training."""
    with contextlib.suppress(OSError):
        print(line, flush=True)


def final_metrics(trainer: Trainer) -> dict[str, Any]:
    """Metrics of the last epoch, cost of the network, data, and speed of training."""
    config, history, last = trainer.config, trainer.history, trainer.history[-1]
    mixing = token_mixing_parameters(trainer.model)
    splits = trainer.splits.present()
    digests = {name: batches.digest for name, batches in splits.items()}
    speeds = sorted(row["images_per_s"] for row in history)
    side = config.data.image_size
    return {
        "study": config.study,
        "variant": config.variant,
        "seed": config.seed,
        "epochs": len(history),
        **{metric: last[metric] for metric in EVALUATED},
        "train_loss": last["train_loss"],
        "params": num_parameters(trainer.model),
        "token_mixing_params": sum(mixing),
        "token_mixing_params_per_layer": mixing,
        "macs": multiply_accumulates(trainer.model, (config.data.in_chans, side, side)),
        "images_per_s": speeds[len(speeds) // 2],
        "wall_s": sum(row["epoch_s"] for row in history),
        **{
            f"num_{name}": splits[name].num_images if name in splits else 0
            for name in ("train", "val", "test")
        },
        **{
            f"num_unreadable_{name}": int(batches.unreadable_N.sum())
            for name, batches in splits.items()
        },
        "digests": digests,
        "data_digest": dataset_digest(digests),
        "source_digest": trainer.splits.source_digest,
        "pixel_mean": trainer.train.pixel_mean,
        "pixel_std": trainer.train.pixel_std,
    }


def progress(trainer: Trainer, row: dict[str, Any]) -> str:
    """A log line on a finished epoch."""
    config, epoch, num_epochs = trainer.config, row["epoch"] + 1, trainer.config.recipe.num_epochs
    left = datetime.timedelta(seconds=round(row["epoch_s"] * (num_epochs - epoch)))
    top1 = row["test_top1"]
    tested = "" if top1 is None else f"top-1 {top1:.2f} %  "
    return (
        f"{config.name:<28} epoch {epoch}/{num_epochs}  "
        f"loss {row['train_loss']:.3f}  {tested}"
        f"{row['images_per_s']:,.0f} images/s  {left} left"
    )
