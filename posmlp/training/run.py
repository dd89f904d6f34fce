"""One run from start to finish: files, progress, provenance, tracking."""

import datetime
import sys
import time
from pathlib import Path

import torch

from posmlp import code_version
from posmlp.data.images import dataset_digest
from posmlp.data.sources import DATASETS
from posmlp.study.run_config import RunConfig
from posmlp.training.cost import multiply_accumulates, num_parameters, token_mixing_parameters
from posmlp.training.engine import Trainer, make_trainer, train
from posmlp.training.record import RunFolder

SECONDS_BETWEEN_LINES = 10  # on the terminal; the log has every epoch


def execute(
    config: RunConfig,
    results: Path,
    data_root: Path,
    device: torch.device,
    command: str,
) -> dict:
    """Train one run in its folder, going on from a checkpoint of the same key, and measure it.

    Args:
        command: what repeats this run, for the record.

    Returns:
        What stands in metrics.json.
    """
    folder = RunFolder(config.folder(results))
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.metrics.unlink(missing_ok=True)
    config.write(folder.config)
    provenance = {
        "key": config.key,
        "code_version": code_version.training_code_digest(),
        **code_version.git_state(),
        **code_version.environment(device.type),
        "started_at": now(),
        "command": command,
    }
    folder.write_json("provenance.json", provenance)
    trainer = make_trainer(config, data_root, device)
    if state := folder.load_checkpoint(config.key, device):
        trainer.load_state_dict(state)
        print(f"{name(config)}: going on after epoch {trainer.epoch} from its checkpoint")
    progress = Progress(trainer)

    def log(row: dict) -> None:
        folder.write_history(trainer.history)
        progress.epoch_done(row)

    train(trainer, log, folder.save_checkpoint)
    metrics = {**final_metrics(trainer), **provenance, "finished_at": now()}
    folder.write_json("metrics.json", metrics)
    return metrics


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def name(config: RunConfig) -> str:
    return f"{config.variant} seed {config.seed}"


def final_metrics(trainer: Trainer) -> dict:
    """Gather the last epoch's figures, the network's cost and the speed of training."""
    config, history, last = trainer.config, trainer.history, trainer.history[-1]
    source = DATASETS[config.data.name]
    mixing = token_mixing_parameters(trainer.model)
    speeds = sorted(row["images_per_s"] for row in history)
    return {
        "study": config.study,
        "variant": config.variant,
        "seed": config.seed,
        "epochs": len(history),
        "top1": last["test_top1"],
        "top5": last["test_top5"],
        "loss": last["test_loss"],
        "ema_top1": last["ema_test_top1"],
        "ema_top5": last["ema_test_top5"],
        "ema_loss": last["ema_test_loss"],
        "train_loss": last["train_loss"],
        "params": num_parameters(trainer.model),
        "token_mixing_params": sum(mixing),
        "token_mixing_params_per_layer": mixing,
        "macs": multiply_accumulates(
            trainer.model, (source.in_chans, config.data.image_size, config.data.image_size)
        ),
        "train_images_per_s": speeds[len(speeds) // 2],
        "wall_s": sum(row["epoch_s"] for row in history),
        "num_train": trainer.train.num_images,
        "num_test": trainer.test.num_images,
        "data_digest": dataset_digest({"train": trainer.train.digest, "test": trainer.test.digest}),
    }


class Progress:
    """Lines for people: every epoch to standard output, one now and then to standard error."""

    def __init__(self, trainer: Trainer) -> None:
        recipe = trainer.config.recipe
        self.trainer, self.num_epochs = trainer, recipe.epochs + recipe.cooldown_epochs
        self.shown = time.monotonic()

    def epoch_done(self, row: dict) -> None:
        left = datetime.timedelta(
            seconds=round(row["epoch_s"] * (self.num_epochs - row["epoch"] - 1))
        )
        line = (
            f"{name(self.trainer.config):<28} epoch {row['epoch'] + 1}/{self.num_epochs}  "
            f"loss {row['train_loss']:.3f}  top-1 {row['test_top1']:.2f} %  "
            f"{row['images_per_s']:,.0f} images/s  {left} left"
        )
        print(line, flush=True)
        if time.monotonic() - self.shown >= SECONDS_BETWEEN_LINES:
            self.shown = time.monotonic()
            print(line, file=sys.stderr, flush=True)
