"""RunFolder: the files of one run.

Every file is written under a temporary name, synced and renamed, so that a crash leaves the old
file or the new one. `metrics.json` is written last: a run that has it is finished.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from posmlp.metrics import EPOCH_COLUMNS

if TYPE_CHECKING:
    from torch import Tensor


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add the file name to an OSError; errors in writing lack it."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def write_atomically(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Replace the file `path` atomically by what `write` writes into a file object."""
    part = path.with_name(f".{path.name}.part")
    with naming(path):
        try:
            with part.open("wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the new name must survive a power failure, too
        finally:
            os.close(folder)


class RunFolder:
    """The folder of one run, created if missing.

    Args:
        may_write: called before every write; raises if another process has taken the folder over.
    """

    def __init__(self, path: Path, may_write: Callable[[], None] = lambda: None) -> None:
        self.path, self.may_write = path, may_write
        path.mkdir(parents=True, exist_ok=True)

    def clear(self, *patterns: str) -> None:
        """Remove files by pattern."""
        self.may_write()
        for path in (path for pattern in patterns for path in self.path.glob(pattern)):
            if path.is_file():
                path.unlink()

    def write(self, name: str, write: Callable[[BinaryIO], Any]) -> None:
        """Write a file atomically, unless another process has taken the folder over."""
        self.may_write()
        write_atomically(self.path / name, write)

    def write_text(self, name: str, text: str) -> None:
        self.write(name, lambda file: file.write(text.encode()))

    def write_json(self, name: str, values: dict[str, Any]) -> None:
        self.write_text(name, json.dumps(values, indent=2, allow_nan=False) + "\n")

    def write_history(self, rows: list[dict[str, float | None]]) -> None:
        """Write one row per epoch; None becomes an empty cell."""
        lines = [",".join(EPOCH_COLUMNS)]
        lines += [
            ",".join("" if row[c] is None else repr(row[c]) for c in EPOCH_COLUMNS) for row in rows
        ]
        self.write_text("history.csv", "\n".join(lines) + "\n")

    def write_weights(self, name: str, weights: dict[str, Tensor]) -> None:
        """Write a state dict as safetensors: readable by every framework, and contains no code."""
        import safetensors.torch

        content = safetensors.torch.save({k: v.contiguous().cpu() for k, v in weights.items()})
        self.write(name, lambda file: file.write(content))

    def write_trajectory(self, trajectory: dict[str, Tensor]) -> None:
        """Write centres and spreads by epoch, {parameter: (epochs + 1, ...)}."""
        arrays = {name: values.numpy() for name, values in trajectory.items()}
        self.write("trajectory.npz", lambda file: np.savez(file, **arrays))

    def write_predictions(self, classes_N: Tensor, labels_N: Tensor) -> None:
        """Write predicted and true classes of the test images as the smallest integer type."""
        integers = np.min_scalar_type(int(max(classes_N.max(), labels_N.max())))
        arrays = {"classes": classes_N.numpy(), "labels": labels_N.numpy()}
        arrays = {name: values.astype(integers) for name, values in arrays.items()}
        self.write("predictions.npz", lambda file: np.savez_compressed(file, **arrays))
