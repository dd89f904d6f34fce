"""Read the authors' checkpoints safely."""

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
SWITCHES = ("symmetric", "use_softmax", "absolute_bias")  # not visible in shapes


@dataclass(frozen=True)
class Checkpoint:
    """One set of weights in the released layout."""

    state: dict[str, Tensor]
    weights: Literal["ema", "raw", ""] = ""  # "": the file does not say
    options: Mapping[str, Any] = field(default_factory=dict)  # of the released PosMLP, if recorded
    epoch: int | None = None


def read_checkpoint(path: Path, weights: Weights | None = None) -> Checkpoint:
    """Read a checkpoint of timm's training script or a bare state dict; execute nothing in it.

    Args:
        weights: the set to use; None: the averaged one if the file has it.

    Raises:
        OSError, ReleasedError: the file cannot be read safely or is something else.
    """
    content = load_safely(path)
    if not isinstance(content, dict):
        raise ReleasedError(f"{path}: contains a {type(content).__name__}, not a checkpoint")
    sets = [kind for kind, key in STATES.items() if isinstance(content.get(key), dict)]
    if weights and weights not in sets:
        found = f"only {sets[0]} weights" if sets else "one set of weights, without a label"
        raise ReleasedError(f"{path}: has {found}; omit {weights!r}")
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
    """Load tensors and plain values; refuse anything else."""
    with path.open("rb") as file:
        try:
            # timm's training script stores its parsed arguments.
            with torch.serialization.safe_globals([argparse.Namespace]):
                return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # a broken file can raise anything
            asked = re.search(r"GLOBAL (\S+)", str(error))
            reason = f"it would load {asked[1]}" if asked else "it may be incomplete"
            raise ReleasedError(
                f"{path}: not a torch.save file of tensors and plain values: {reason}; refused, "
                f"nothing in it was executed. Compare its size of {path.stat().st_size:,} bytes "
                "with the source, or download it again"
            ) from None


def clean_state(path: Path, state: Mapping) -> dict[str, Tensor]:
    """The tensors of a PosMLP in float32, without the name prefix of parallel training."""
    tensors = {str(name).removeprefix("module."): value for name, value in state.items()}
    if not any(UNIT.fullmatch(name) for name in tensors):
        raise ReleasedError(
            f"{path}: not the released PosMLP, whose tensors are named levels.0.encoder.0...; "
            f"found {', '.join([*tensors][:3]) or 'nothing'}. For a run of ours, see the accuracy "
            "in its metrics.json; for a timm model, use timm's validate.py"
        )
    if strange := [name for name, value in tensors.items() if not isinstance(value, Tensor)]:
        raise ReleasedError(f"{path}: not tensors: {', '.join(strange[:3])}")
    return {
        name: value.float() if value.is_floating_point() else value
        for name, value in tensors.items()
    }


def recorded_options(args: Any) -> dict[str, Any]:
    """`model_hyper` in the recorded arguments of the training script, if any."""
    values = vars(args) if isinstance(args, argparse.Namespace) else args
    options = values.get("model_hyper") if isinstance(values, dict) else None
    if not isinstance(options, dict):
        return {}
    recorded = {name: bool(options[name]) for name in SWITCHES if name in options}
    size = options.get("img_size")
    if isinstance(size, list | tuple) and [type(side) for side in size] == [int, int]:
        recorded["img_size"] = tuple(size)
    return recorded
