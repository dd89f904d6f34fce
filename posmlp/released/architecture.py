"""A released state dict to our network: its architecture read from names and shapes."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from posmlp.layers import LRPE, QPE, GatingUnit
from posmlp.layers.position import num_tokens
from posmlp.models import PosMlp
from posmlp.released.convert import (
    NAMES,
    OFFSETS,
    TABLE,
    UNIT,
    ReleasedError,
    convert_network,
    renamed,
    unit_groups,
    unit_settings,
)

OPTIONAL = (*OFFSETS, "num_batches_tracked")  # written by the release, follow from the rest
OURS = {ours: released for released, ours in NAMES.items()}
NUM_NAMED = 3  # tensors that an error names


def released_network(state: Mapping[str, Tensor], options: Mapping) -> PosMlp:
    """Build our network for a released one and load its weights.

    Args:
        options: keyword arguments of the released PosMLP. Only those that shapes don't tell are
            read: img_size, symmetric, use_softmax, absolute_bias.

    Raises:
        ReleasedError: tensors are missing, unknown, of a wrong shape, or not finite.
    """
    arguments = architecture(state, options)
    check_layout(state, arguments)
    model = PosMlp(**arguments).to(state["head.weight"].dtype)
    ours = convert_network(state, arguments["windows"], options)
    counters = {k: v for k, v in model.state_dict().items() if k.endswith("num_batches_tracked")}
    model.load_state_dict(counters | ours)
    return model.eval()


def architecture(state: Mapping[str, Tensor], options: Mapping) -> dict:
    """Read the arguments of PosMlp from a released network's names and shapes."""

    def shape(name: str) -> torch.Size:
        if name not in state:
            raise ReleasedError(f"the tensor {name} of the released PosMLP is missing")
        return state[name].shape

    units: dict[int, dict[int, dict[str, Tensor]]] = {}  # by stage and block
    for name, value in state.items():
        if match := UNIT.fullmatch(name):
            units.setdefault(int(match[1]), {}).setdefault(int(match[2]), {})[match[3]] = value
    if not units:
        raise ReleasedError("no tensor is named like levels.0.encoder.0.gate_unit...")
    first = [units.get(stage, {}).get(0, {}) for stage in range(len(units))]
    prefixes = [f"levels.{stage}.encoder.0." for stage in range(len(units))]
    dims = [shape(f"{prefix}norm.weight")[0] for prefix in prefixes]
    hidden = [shape(f"{prefix}proj_c_e.bias")[0] for prefix in prefixes]
    return dict(
        num_classes=shape("head.weight")[0],
        img_size=tuple(options.get("img_size", (224, 224))),
        in_chans=shape("patch_embed.projs.0.weight")[1],
        dims=tuple(dims),
        depths=tuple(len(units.get(stage, {})) for stage in range(len(units))),
        windows=tuple(window_side(unit, i) for i, unit in enumerate(first)),
        mlp_ratios=tuple(channels / dim for channels, dim in zip(hidden, dims, strict=True)),
        groups=tuple(unit_groups(unit) for unit in first),
        **unit_settings(first[0], options),
    )


def window_side(unit: Mapping[str, Tensor], stage: int) -> int:
    """Tokens per side of a unit's square window."""
    if "proj_list.0.weight" in unit:
        num_tokens = unit["proj_list.0.weight"].shape[0]
    elif "pos.token_proj_n_bias" in unit:
        num_tokens = unit["pos.token_proj_n_bias"].shape[1]
    else:
        raise ReleasedError(f"stage {stage} is neither of SGU (proj_list) nor of PoSGU (pos) units")
    return math.isqrt(num_tokens)


def released_layout(model: PosMlp) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all tensors that the release writes for such a network."""
    names = {name: renamed(name, OURS) for name in model.state_dict()}
    layout = {names[k]: tuple(v.shape) for k, v in model.state_dict().items() if names[k]}
    for i, stage in enumerate(model.stages):
        for j, block in enumerate(stage.blocks):
            for name, shape in unit_layout(block.mlp_channels.gate).items():
                layout[f"levels.{i}.encoder.{j}.gate_unit.{name}"] = shape
    return layout


def unit_layout(unit: GatingUnit) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a gating unit's parameters and tables of offsets."""
    n, mixer, position = num_tokens(unit.proj.window), unit.proj, unit.proj.position
    if position is None:
        norm = {f"norm_list.0.{k}": tuple(v.shape) for k, v in unit.norm.named_parameters()}
        return {"proj_list.0.weight": (n, n), "proj_list.0.bias": (n,), **norm}
    layout = {"pos.token_proj_n_bias": (1, n, 1)}
    if isinstance(position, LRPE):
        layout[TABLE] = (position.table[0].numel(), mixer.groups)
        layout["pos.window_relative_position_index"] = (n, n)
        return layout | ({} if mixer.weight is None else {"token_proj_n_weight": (1, n, n)})
    layout["pos.attention_centers"] = tuple(position.center.shape)
    layout["pos.attention_spreads"] = tuple(position.spread.shape)
    return layout | {"pos.rel_indices": (n, n, 3 if isinstance(position, QPE) else 5)}


def check_layout(state: Mapping[str, Tensor], arguments: Mapping) -> None:
    """Compare names and shapes with those that the release writes for this network."""
    with torch.device("meta"):
        expected = released_layout(PosMlp(**arguments))
    problems = {
        "missing": [k for k in expected if k not in state and not k.endswith(OPTIONAL)],
        "unknown": [k for k in state if k not in expected],
        "of a wrong shape": [
            f"{k} {list(v.shape)} instead of {list(expected[k])}"
            for k, v in state.items()
            if k in expected and tuple(v.shape) != expected[k]
        ],
        "with NaN or infinity": [
            k for k, v in state.items() if v.is_floating_point() and not v.isfinite().all()
        ],
    }
    texts = []
    for problem, names in problems.items():
        more = f" and {len(names) - NUM_NAMED} more" if len(names) > NUM_NAMED else ""
        if names:
            texts.append(f"{len(names)} {problem}: {', '.join(names[:NUM_NAMED])}{more}")
    if texts:
        raise ReleasedError("the tensors are not those of the released PosMLP: " + "; ".join(texts))
