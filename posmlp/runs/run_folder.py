"""RunFolder: the files of one run, config to metrics.

Every file is written under a temporary name, synced and renamed, so that it is either the old one
or the new one, whenever the process dies. `metrics.json` comes last: a run that has it is finished.
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
    """Let an OSError name the file, which errors of writing do not."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def write_atomically(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Replace `path` by what `write` puts into a file object, completely or not at all."""
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
            os.fsync(folder)  # so that the new name, too, survives a power failure
        finally:
            os.close(folder)


class RunFolder:
    """The folder of one run; created where it does not exist.

    Args:
        may_write: called before every write; raises where another process owns the folder by now.
    """

    def __init__(self, path: Path, may_write: Callable[[], None] = lambda: None) -> None:
        self.path, self.may_write = path, may_write
        path.mkdir(parents=True, exist_ok=True)

    def clear(self, *patterns: str) -> None:
        """Remove the files that match a pattern."""
        self.may_write()
        for path in (path for pattern in patterns for path in self.path.glob(pattern)):
            if path.is_file():
                path.unlink()

    def write(self, name: str, write: Callable[[BinaryIO], Any]) -> None:
        """Write a file as `write_atomically` does, if this process may."""
        self.may_write()
        write_atomically(self.path / name, write)

    def write_text(self, name: str, text: str) -> None:
        self.write(name, lambda file: file.write(text.encode()))

    def write_json(self, name: str, values: dict[str, Any]) -> None:
        self.write_text(name, json.dumps(values, indent=2, allow_nan=False) + "\n")

    def write_history(self, rows: list[dict[str, float | None]]) -> None:
        """Write one row per epoch; a metric that does not apply is empty."""
        lines = [",".join(EPOCH_COLUMNS)]
        lines += [
            ",".join("" if row[c] is None else repr(row[c]) for c in EPOCH_COLUMNS) for row in rows
        ]
        self.write_text("history.csv", "\n".join(lines) + "\n")

    def write_weights(self, name: str, weights: dict[str, Tensor]) -> None:
        """Write a state dict as safetensors, which every framework reads and which runs no code."""
        import safetensors.torch

        content = safetensors.torch.save({k: v.contiguous().cpu() for k, v in weights.items()})
        self.write(name, lambda file: file.write(content))

    def write_trajectory(self, trajectory: dict[str, Tensor]) -> None:
        """Write centres and spreads by epoch, {parameter: (epochs + 1, ...)}, as NumPy's npz."""
        arrays = {name: values.numpy() for name, values in trajectory.items()}
        self.write("trajectory.npz", lambda file: np.savez(file, **arrays))

    def write_predictions(self, classes_N: Tensor, labels_N: Tensor) -> None:
        """Write predicted and true classes of the test images in the smallest integers."""
        integers = np.min_scalar_type(int(max(classes_N.max(), labels_N.max())))
        arrays = {"classes": classes_N.numpy(), "labels": labels_N.numpy()}
        arrays = {name: values.astype(integers) for name, values in arrays.items()}
        self.write("predictions.npz", lambda file: np.savez_compressed(file, **arrays))
