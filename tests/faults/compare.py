"""differences: compares two folders of the same run, ignoring times."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from posmlp.metrics import TIMES
from posmlp.runs.checkpoints import Checkpoints, read_checkpoint
from posmlp.runs.reading import read_history

# Keys of metrics.json that may differ: times, speed, folder, and state of the repository.
MAY_DIFFER = (
    "command",
    "started_at",
    "finished_at",
    "num_starts",
    "wall_s",
    "images_per_s",
    "git_commit",
    "git_dirty",
)


def differences(folder: Path, other: Path) -> list[str]:
    """List the files that differ between two run folders.

    Weights and config byte by byte; history, trajectory and metrics value by value but for times;
    of the checkpoints the newest, likewise.
    """
    contents, others = content(folder), content(other)
    return [
        f"{name} differs between {folder} and {other}"
        for name in sorted(contents.keys() | others.keys())
        if name not in contents or name not in others or not same(contents[name], others[name])
    ]


def content(folder: Path) -> dict[str, Any]:
    """What must be the same in every training of a run, by file."""
    found: dict[str, Any] = {}
    for path in folder.iterdir():
        if path.suffix == ".safetensors" or path.name == "config.yaml":
            found[path.name] = path.read_bytes()
        elif path.name == "history.csv":
            found[path.name] = without(read_history(path), TIMES)
        elif path.name == "metrics.json":
            found[path.name] = without([json.loads(path.read_text())], MAY_DIFFER)
        elif path.suffix == ".npz":
            found[path.name] = dict(np.load(path))
        elif path.suffix == ".part":
            found[path.name] = "left behind"
    checkpoints = Checkpoints(folder).newest_first()
    if checkpoints:
        state = read_checkpoint(checkpoints[0])
        state["history"] = without(state["history"], TIMES)
        found["the newest checkpoint"] = without([state], ("segments", "seconds"))
    return found


def without(rows: list[dict[str, Any]], keys: tuple[str, ...]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key not in keys} for row in rows]


def same(value: Any, other: Any) -> bool:
    """Whether two nested values are equal bit for bit."""
    if type(value) is not type(other):
        return False
    if isinstance(value, Tensor):
        return value.dtype == other.dtype and torch.equal(value, other)
    if isinstance(value, np.ndarray):
        return value.dtype == other.dtype and np.array_equal(value, other)
    if isinstance(value, dict):
        return value.keys() == other.keys() and all(same(value[k], other[k]) for k in value)
    if isinstance(value, list | tuple):
        return len(value) == len(other) and all(map(same, value, other))
    return value == other
