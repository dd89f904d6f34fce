"""The files of a run folder: config, provenance, history, checkpoint, metrics.

Every file is written under a temporary name, synced and renamed, so that it is either the old one
or the new one, whenever the process dies. `metrics.json` comes last: a run with it is finished.
"""

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import torch

HISTORY = (
    "epoch",
    "time",
    "lr",
    "train_loss",
    "test_loss",
    "test_top1",
    "test_top5",
    "ema_test_loss",
    "ema_test_top1",
    "ema_test_top5",
    "images_per_s",
    "epoch_s",
)


def write_atomically(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Replace `path` by what `write` puts into a file object, completely or not at all."""
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


class RunFolder:
    """The folder of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.history = path / "history.csv"
        self.checkpoint = path / "checkpoint.pt"
        self.metrics = path / "metrics.json"

    def write_json(self, name: str, values: dict[str, Any]) -> None:
        text = json.dumps(values, indent=2, allow_nan=False) + "\n"
        write_atomically(self.path / name, lambda file: file.write(text.encode()))

    def write_history(self, rows: list[dict[str, float | None]]) -> None:
        """Write one row an epoch; a column that does not apply is empty."""

        def write(file: BinaryIO) -> None:
            lines = [",".join(HISTORY)]
            lines += [
                ",".join("" if row[c] is None else repr(row[c]) for c in HISTORY) for row in rows
            ]
            file.write(("\n".join(lines) + "\n").encode())

        write_atomically(self.history, write)

    def save_checkpoint(self, state: dict[str, Any]) -> None:
        write_atomically(self.checkpoint, lambda file: torch.save(state, file))

    def load_checkpoint(self, key: str, device: torch.device) -> dict[str, Any] | None:
        """Return this run's checkpoint, or None where there is none or it is of other settings."""
        if not self.checkpoint.exists():
            return None
        state = torch.load(self.checkpoint, map_location=device, weights_only=True)
        return state if state["key"] == key else None


def read_history(path: Path) -> list[dict[str, float | None]]:
    """Read history.csv back as it was written."""
    with path.open(newline="") as file:
        return [
            {k: None if v == "" else (int(v) if k == "epoch" else float(v)) for k, v in row.items()}
            for row in csv.DictReader(file)
        ]
