"""Checkpoints of a run: the last two, named by position and SHA-256."""

import hashlib
import io
import re
import shlex
from pathlib import Path
from typing import Any

import torch

from posmlp.code_version import training_code_digest
from posmlp.runs.run_folder import write_atomically
from posmlp.study import RunConfig

NUM_KEPT = 2
NAME = re.compile(r"checkpoint-\d{5}-\d{7}-([0-9a-f]{16})\.pt")


class CheckpointError(ValueError):
    """A checkpoint from which the run cannot resume; the message says what to do."""


class Checkpoints:
    """The checkpoints in a run folder.

    A file is called checkpoint-<epochs>-<steps>-<digest>.pt. The digest, 16 hex digits of the
    SHA-256 of its bytes, shows whether the file is intact (torch.hub does the same).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def newest_first(self) -> list[Path]:
        found = [path for path in self.folder.glob("checkpoint-*.pt") if NAME.fullmatch(path.name)]
        return sorted(found, reverse=True)  # numbers are padded with zeros

    def save(self, state: dict[str, Any]) -> Path:
        """Write a checkpoint and remove all but the NUM_KEPT newest."""
        # In memory first: torch.save kills the process if it cannot write a file.
        buffer = io.BytesIO()
        torch.save(state, buffer)
        digest = hashlib.sha256(buffer.getbuffer()).hexdigest()[:16]
        path = self.folder / f"checkpoint-{state['epoch']:05d}-{state['step']:07d}-{digest}.pt"
        write_atomically(path, lambda file: file.write(buffer.getbuffer()))
        others = [other for other in self.newest_first() if other != path]
        for old in others[NUM_KEPT - 1 :]:
            old.unlink()
        return path

    def load(self) -> dict[str, Any] | None:
        """Load the newest intact checkpoint onto the CPU; None if there are no checkpoints.

        A damaged one is reported and renamed to *.damaged, and the previous one is used.

        Raises:
            CheckpointError: all checkpoints are damaged.
        """
        damaged = {}
        for path in self.newest_first():
            try:
                state = read_checkpoint(path)
            except CheckpointError as error:
                damaged[path] = error
            else:
                for other, error in damaged.items():
                    print(f"warning: {error}; resuming from the checkpoint before it", flush=True)
                    other.rename(f"{other}.damaged")
                return state
        if damaged:
            raise CheckpointError(
                f"no intact checkpoint is left: {'; '.join(map(str, damaged.values()))}. To start "
                f"this run again: rm -r {shlex.quote(str(self.folder))}"
            )
        return None


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read and verify one file without running code from it (weights_only).

    Raises:
        CheckpointError: the file is damaged or of another version.
    """
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:16]
    if digest != NAME.fullmatch(path.name)[1]:
        raise CheckpointError(f"{path} is damaged: its SHA-256 begins with {digest}")
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        RunConfig.model_validate(state["config"])
    except Exception as error:  # pickle, zip and torch raise many kinds
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"{path} is not a checkpoint of this version ({reason})") from None
    return state


def belongs(state: dict[str, Any], config: RunConfig, folder: Path) -> bool:
    """Whether `config` resumes from `state`; False for a finished run with other settings.

    Raises:
        CheckpointError: the checkpoint belongs to another run, or to an unfinished one with other
            settings or code.
    """
    other = RunConfig.model_validate(state["config"])
    if (other.study, other.name) != (config.study, config.name):
        raise CheckpointError(
            f"{folder}: the checkpoint belongs to study {other.study}, {other.name}, not to study "
            f"{config.study}, {config.name}. Move it to that run's folder, or delete it"
        )
    if state["key"] == config.key:
        return True
    if state["epoch"] >= other.recipe.num_epochs:
        return False
    changes = config.differences(other)
    if state["code_version"] != training_code_digest():
        changes.append("the code in posmlp/{layers,models,data,training} has changed")
    raise CheckpointError(
        f"{folder}: {other.name} is at epoch {state['epoch']} of {other.recipe.num_epochs} "
        f"with other settings or code: {'; '.join(changes)}. Restore them to resume, or "
        f"start the run again: rm -r {shlex.quote(str(folder))}"
    )
