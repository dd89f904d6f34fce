"""Files of weights: the authors' training checkpoints read safely, and ours written like them."""

import argparse
import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from timm.layers import to_2tuple
from torch import Tensor, nn

from posmlp.models import PosMlp
from posmlp.released.architecture import architecture, released_network
from posmlp.released.convert import ReleasedError, export_network
from posmlp.runs.trained_run import WEIGHT_FILES, Weights, load_run

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
    if not any(re.match(r"levels\.\d+\.encoder\.", name) for name in tensors):
        raise ReleasedError(
            f"{path}: not the released PosMLP, whose tensors are named levels.0.encoder.0...; "
            f"found {', '.join([*tensors][:3]) or 'nothing'}. `posmlp released export` converts a "
            "run of ours (its accuracy is in its metrics.json); timm's own validate.py evaluates "
            "timm's models"
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


def export_run(folder: Path, target: Path) -> dict[str, Any]:
    """Write the final weights of one of our runs as a checkpoint in the released layout.

    Args:
        folder: of a finished run.

    Returns:
        What was written, with state_dict, and state_dict_ema if the run averaged its weights.

    Raises:
        ValueError: the run is not finished, or the released code cannot build its network.
    """
    content: dict[str, Any] = {"arch": "Create_PosMLP"}
    for kind, file in WEIGHT_FILES.items():
        if kind == "raw" or (folder / file).is_file():
            run = load_run(folder, kind)
            size = to_2tuple(run.config.data.image_size)
            content[STATES[kind]], options = checked_export(run.network, size)
    content["epoch"] = run.metrics["epochs"] - 1
    content["args"] = {"model": content["arch"], "model_hyper": options}
    torch.save(content, target)
    return content


def checked_export(
    model: nn.Module, img_size: tuple[int, int]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Export a network with the options of the released PosMLP, and compare what both compute.

    Raises:
        ReleasedError: the released code cannot build the network, or its logits differ.
    """
    if not isinstance(model, PosMlp):
        raise ReleasedError(
            f"{type(model).__name__} has no released layout; only the hierarchical PosMlp has one "
            "(the released gMLP is timm's, with timm's names)"
        )
    model = copy.deepcopy(model).double().eval()  # so that any difference but rounding is seen
    try:
        state = export_network(model)
        options = released_options(model, state) | {"img_size": list(img_size)}
        released = released_network(state, options)
        shape, seeded = (1, model.stem[0].in_channels, *img_size), torch.Generator().manual_seed(0)
        image_BCHW = torch.randn(shape, generator=seeded, dtype=torch.double)
        with torch.no_grad():
            close = torch.allclose(model(image_BCHW), released(image_BCHW), rtol=0, atol=1e-9)
    except ValueError as error:
        raise ReleasedError(f"the released code cannot build this network: {error}") from None
    if not close:
        raise ReleasedError(
            "the released code would compute other logits: it has no window shift, no norm in "
            "PoSGU, no token FC beside a quadratic encoding, no softmax over LRPE, and no QPE with "
            "a width other than 1"
        )
    return {k: v.float() if v.is_floating_point() else v for k, v in state.items()}, options


def released_options(model: PosMlp, state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Keyword arguments with which the released PosMLP builds an exported network."""
    mixer, shape = model.stages[0].blocks[0].mlp_channels.gate.proj, architecture(state, {})
    gate = shape["gate"]
    options = {
        "embed_dims": list(shape["dims"]),
        "depths": list(shape["depths"]),
        "num_levels": len(shape["dims"]),
        "win_size": list(shape["windows"]),
        "mlp_ratio": list(shape["mlp_ratios"]),
        "gamma": list(shape["groups"]),
        "num_classes": shape["num_classes"],
    }
    if gate == "sgu":
        return options | {"gate_unit": "SGU"}
    options |= {"quadratic": gate in ("qpe", "gqpe"), "pos_only": gate != "fc_lrpe"}
    options |= {"absolute_bias": mixer.position_bias is not None, "use_softmax": mixer.softmax}
    if options["quadratic"]:
        options |= {"generalized": gate == "gqpe", "symmetric": mixer.position.psd}
    return options
