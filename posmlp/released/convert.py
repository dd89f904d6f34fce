"""A released PosMLP state dict to our network: architecture from names and shapes, then parameters.

The two differ in three conventions: axes (the first released offset axis points right, the second
up; ours point down and right), groups (released channel c belongs to group c mod s; ours are
contiguous) and halves (the first released half is mixed; as in timm, ours mixes the second).
"""

import math
import re
from collections.abc import Mapping

import torch
from torch import Tensor

from posmlp.layers import LRPE, QPE, GatingUnit
from posmlp.layers.position import num_tokens
from posmlp.models import PosMlp

# An offset is (right, up) in the release and (down, right) here: ours @ TURN.T == released.
TURN = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
# Names of the two layouts; # is a number that both share.
NAMES = {
    **{f"patch_embed.projs.{i}": f"stem.{3 * i}" for i in range(3)},
    **{f"patch_embed.norms.{i}": f"stem.{3 * i + 1}" for i in range(3)},
    "levels.#.pool": "stages.#.downsample",
    "levels.#.encoder.#.norm": "stages.#.blocks.#.norm",
    "levels.#.encoder.#.proj_c_e": "stages.#.blocks.#.mlp_channels.fc1",
    "levels.#.encoder.#.proj_c_s": "stages.#.blocks.#.mlp_channels.fc2",
    "norm": "norm",
    "head": "head.fc",
}
OURS = {ours: released for released, ours in NAMES.items()}
UNIT = re.compile(r"levels\.(\d+)\.encoder\.(\d+)\.gate_unit\.(.+)")
TABLE = "pos.window_relative_position_bias_table"
OFFSETS = ("rel_indices", "window_relative_position_index")  # buffers: tables of offsets
OPTIONAL = (*OFFSETS, "num_batches_tracked")  # written by the release, follow from the rest
NUM_NAMED = 3  # tensors that an error names


class ReleasedError(ValueError):
    """A file that does not have the released layout, or uses what the release cannot do."""


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


def group_order(channels: int, groups: int) -> Tensor:
    """The released channel at each of our positions, where groups are contiguous."""
    return torch.arange(channels).reshape(-1, groups).T.flatten()


def half_order(channels: int, groups: int) -> Tensor:
    """The same for both halves of a unit's input, which are exchanged."""
    order = group_order(channels // 2, groups)
    return torch.cat([order + channels // 2, order])


def unit_groups(params: Mapping[str, Tensor]) -> int:
    """Read a released unit's number of groups from the shapes."""
    if "pos.attention_centers" in params:
        return params["pos.attention_centers"].shape[0]
    return params[TABLE].shape[1] if TABLE in params else 1


def unit_settings(params: Mapping[str, Tensor], options: Mapping) -> dict:
    """Arguments of `GatingUnit` that make the released unit.

    Args:
        params: `pos.attention_centers`, `pos.token_proj_n_bias`, ... as in a released block.
        options: keyword arguments of the released unit that were not the default.
    """
    if "proj_list.0.weight" in params:
        if "proj_list.1.weight" in params:
            raise ReleasedError("SGU with more than two chunks has no counterpart here")
        return dict(gate="sgu", bias="proj_list.0.bias" in params)
    bias = options.get("absolute_bias", True)
    if TABLE in params:  # the released LRPE always adds its bias
        return dict(gate="fc_lrpe" if "token_proj_n_weight" in params else "lrpe", bias=True)
    if params["pos.attention_spreads"].ndim == 1:
        gate, psd = "qpe", True
    else:
        gate, psd = "gqpe", options.get("symmetric", True)
    return dict(gate=gate, bias=bias, psd=psd, softmax=options.get("use_softmax", True))


def convert_unit(params: Mapping[str, Tensor], window: tuple[int, int], options: Mapping) -> dict:
    """Turn a released gating unit's parameters into a state dict of `GatingUnit`.

    Differentiable, so that gradients flow back to the released parameters. Arguments are those of
    `unit_settings`.
    """
    settings = unit_settings(params, options)
    if settings["gate"] == "sgu":
        return {
            f"{layer}.{name}": params[f"{layer}_list.0.{name}"]
            for layer in ("proj", "norm")
            for name in ("weight", "bias")
            if f"{layer}_list.0.{name}" in params
        }
    ours = {"proj.position_bias": params["pos.token_proj_n_bias"][0]} if settings["bias"] else {}
    if "token_proj_n_weight" in params:
        ours["proj.weight"] = params["token_proj_n_weight"][0]
    if TABLE in params:
        shape = (-1, 2 * window[0] - 1, 2 * window[1] - 1)
        ours["proj.position.table"] = params[TABLE].T.reshape(shape).flip(1, 2)  # query - key
        return ours
    center_SD, spread = params["pos.attention_centers"], params["pos.attention_spreads"]
    if settings["gate"] == "qpe":  # the released width scales the centre, nothing else
        center_SD, spread = spread.square()[:, None] * center_SD, torch.ones_like(spread)
    turn = TURN.to(center_SD)
    if spread.ndim == 3:
        spread = turn.T @ spread if settings["psd"] else turn.T @ spread @ turn
    center_SD = center_SD @ turn  # as the spread by released posmlp2D.py:32-94
    return ours | {"proj.position.center": center_SD, "proj.position.spread": spread}


def renamed(name: str, names: Mapping[str, str]) -> str | None:
    """A tensor's name in the other layout; None if `names` has no rule for it."""
    for here, there in names.items():
        pattern = re.escape(here).replace(r"\#", r"(\d+)") + r"\.(.+)"
        if match := re.fullmatch(pattern, name):
            *numbers, rest = match.groups()
            for number in numbers:
                there = there.replace("#", number, 1)
            return f"{there}.{rest}"
    return None


def convert_network(
    state: Mapping[str, Tensor], windows: tuple[int, ...], options: Mapping
) -> dict[str, Tensor]:
    """Turn a released PosMLP state dict into one of `posmlp.models.PosMlp`.

    Args:
        windows: tokens per side in every stage.
        options: keyword arguments of the released units that were not the default.

    Raises:
        ReleasedError: a name that the released layout does not have.
    """
    ours, units = {}, {}
    for name, value in state.items():
        if unit := UNIT.fullmatch(name):
            if not name.endswith(OFFSETS):
                units.setdefault((unit[1], unit[2]), {})[unit[3]] = value
        elif other := renamed(name, NAMES):
            ours[other] = value
        else:
            raise ReleasedError(f"{name!r} is not a name of the released PosMLP")
    for (stage, block), params in units.items():
        prefix = f"stages.{stage}.blocks.{block}.mlp_channels"
        unit = convert_unit(params, (windows[int(stage)],) * 2, options)
        order = half_order(len(ours[f"{prefix}.fc1.bias"]), unit_groups(params))
        for name in ("fc1.weight", "fc1.bias"):  # the hidden channels, which the unit halves
            ours[f"{prefix}.{name}"] = ours[f"{prefix}.{name}"][order]
        ours[f"{prefix}.fc2.weight"] = ours[f"{prefix}.fc2.weight"][:, order[len(order) // 2 :]]
        ours |= {f"{prefix}.gate.{name}": value for name, value in unit.items()}
    return ours
