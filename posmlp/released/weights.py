"""The authors' training checkpoints, read safely."""

import argparse
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from posmlp.released.convert import UNIT, ReleasedError
from posmlp.runs.trained_run import Weights

STATES: dict[Weights, str] = {"ema": "state_dict_ema", "raw": "state_dict"}
SWITCHES = ("symmetric", "use_softmax", "absolute_bias")  # shapes don't tell these


@dataclass(frozen=True)
class Checkpoint:
    """One set of weights of a file, in the released layout."""

    state: dict[str, Tensor]
    weights: Literal["ema", "raw", ""] = ""  # which set; empty: the file does not say
    options: Mapping[str, Any] = field(default_factory=dict)  # recorded ones of the released PosMLP
    epoch: int | None = None


def read_checkpoint(path: Path, weights: Weights | None = None) -> Checkpoint:
    """Read a checkpoint of timm's training script, or a bare state dict; execute nothing in it.

    Args:
        weights: which set to take; None: the averaged one where the file has it.

    Raises:
        OSError, ReleasedError: the file cannot be read safely, or holds something else.
    """
    content = load_safely(path)
    if not isinstance(content, dict):
        raise ReleasedError(f"{path}: holds a {type(content).__name__}, not a checkpoint")
    sets = [kind for kind, key in STATES.items() if isinstance(content.get(key), dict)]
    if weights and weights not in sets:
        found = f"{sets[0]} weights only" if sets else "one set, averaged or not"
        raise ReleasedError(f"{path}: has {found}; leave {weights!r} out")
    if not sets:
        return Checkpoint(clean_state(path, content))
    taken, epoch = weights or sets[0], content.get("epoch")
    return Checkpoint(
        clean_state(path, content[STATES[taken]]),
        taken,
        recorded_options(content.get("args")),
        epoch if isinstance(epoch, int) else None,
    )


def load_safely(path: Path) -> Any:
    """Load tensors and plain values; refuse anything else without executing it."""
    with path.open("rb") as file:
        try:
            # timm's training script keeps its parsed arguments, which are plain values.
            with torch.serialization.safe_globals([argparse.Namespace]):
                return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # a broken file can raise anything
            asked = re.search(r"GLOBAL (\S+)", str(error))
            reason = f"it asks to load {asked[1]}" if asked else "it may be incomplete"
            raise ReleasedError(
                f"{path}: not a file of tensors and plain values by torch.save: {reason}; refused, "
                f"nothing in it was executed. Compare its {path.stat().st_size:,} bytes with the "
                "source, and download it again"
            ) from None


def clean_state(path: Path, state: Mapping) -> dict[str, Tensor]:
    """The tensors of a PosMLP as float32, without the name prefix of parallel training."""
    tensors = {str(name).removeprefix("module."): value for name, value in state.items()}
    if not any(UNIT.fullmatch(name) for name in tensors):
        raise ReleasedError(
            f"{path}: not the released PosMLP, whose tensors are named levels.0.encoder.0...; "
            f"found {', '.join([*tensors][:3]) or 'nothing'}. The accuracy of a run of ours is in "
            "its metrics.json; timm's own validate.py evaluates timm's models"
        )
    if strange := [name for name, value in tensors.items() if not isinstance(value, Tensor)]:
        raise ReleasedError(f"{path}: not tensors: {', '.join(strange[:3])}")
    return {
        name: value.float() if value.is_floating_point() else value
        for name, value in tensors.items()
    }


def recorded_options(args: Any) -> dict[str, Any]:
    """`model_hyper` of the arguments that the training script recorded, if it did."""
    values = vars(args) if isinstance(args, argparse.Namespace) else args
    options = values.get("model_hyper") if isinstance(values, dict) else None
    if not isinstance(options, dict):
        return {}
    recorded = {name: bool(options[name]) for name in SWITCHES if name in options}
    size = options.get("img_size")
    if isinstance(size, list | tuple) and [type(side) for side in size] == [int, int]:
        recorded["img_size"] = tuple(size)
    return recorded
