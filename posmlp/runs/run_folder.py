"""RunFolder: the files of one run, config to metrics.

Every file is written under a temporary name, synced and renamed, so that it is either the old one
or the new one, whenever the process dies. `metrics.json` comes last: a run that has it is finished.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from posmlp.metrics import EPOCH_COLUMNS

if TYPE_CHECKING:
    from torch import Tensor

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class RunFolderError(ValueError):
    """A file cannot be written; the message says why and what to do."""


def not_written(path: Path, error: OSError) -> RunFolderError:
    """Translate an OSError into advice for whoever runs a study."""
    what = f"{path} cannot be written ({error.strerror})"
    if error.errno in DISK_FULL:
        free = shutil.disk_usage(path.parent).free / 1e9
        return RunFolderError(
            f"{what}: the disk is full ({free:.3f} GB free) or a quota or size limit is reached. "
            "Free some space and start again; the run resumes from its last checkpoint"
        )
    return RunFolderError(
        f"{what}. Name a folder that you may write to (snakemake --config results=...), or make "
        "this one yours (chown, chmod)"
    )


def write_atomically(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Replace `path` by what `write` puts into a file object, completely or not at all.

    Raises:
        RunFolderError: the disk is full or the folder read-only; the old file is unchanged.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        try:
            with part.open("wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # so that the new name, too, survives a power failure
        finally:
            os.close(folder)
    except OSError as error:
        raise not_written(path, error) from None


class RunFolder:
    """The folder of one run; created where it does not exist.

    Args:
        may_write: called before every write; raises where another process owns the folder by now.

    Raises:
        RunFolderError: it cannot be created.
    """

    def __init__(self, path: Path, may_write: Callable[[], None] = lambda: None) -> None:
        self.path, self.may_write = path, may_write
        self.history = path / "history.csv"
        self.metrics = path / "metrics.json"
        self.error = path / "error.json"
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise not_written(path, error) from None

    def clear(self, pattern: str = "[!.]*") -> None:
        """Remove the files of an earlier training, or those that match `pattern`."""
        self.may_write()
        for path in self.path.glob(pattern):
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
        self.write_text(self.history.name, "\n".join(lines) + "\n")

    def write_weights(self, name: str, weights: dict[str, Tensor]) -> None:
        """Write a state dict as safetensors, which every framework reads and which runs no code."""
        import safetensors.torch

        content = safetensors.torch.save({k: v.contiguous().cpu() for k, v in weights.items()})
        self.write(name, lambda file: file.write(content))

    def write_trajectory(self, trajectory: dict[str, Tensor]) -> None:
        """Write centres and spreads by epoch, {parameter: (epochs + 1, ...)}, as NumPy's npz."""
        arrays = {name: values.numpy() for name, values in trajectory.items()}
        self.write("trajectory.npz", lambda file: np.savez(file, **arrays))
