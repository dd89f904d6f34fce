"""Convert a released PosMLP state dict to our network; names and shapes give the architecture.

Three conventions differ: axes (released offsets point right and up, ours down and right), groups
(released channel c is in group c mod s, ours are contiguous) and halves (the release mixes the
first half of the channels; ours mixes the second, as timm does).
"""

import math
import re
import textwrap
from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor

from posmlp.models import PosMlp

# An offset is (right, up) in the release and (down, right) here: ours @ TURN.T == released.
TURN = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
# Released names and ours; # stands for the same number in both.
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
TABLE = "pos.window_relative_position_bias_table"
UNIT = re.compile(
    r"levels\.(\d+)\.encoder\.(\d+)\.gate_unit\.(token_proj_n_weight|(?:proj|norm)_list\.[01]\..+"
    rf"|pos\.(?:attention_centers|attention_spreads|token_proj_n_bias)|{re.escape(TABLE)})"
)
OFFSETS = ("rel_indices", "window_relative_position_index")  # derived buffers
# Arguments of the released PosMLP that no shape reveals.
DEFAULTS = {"img_size": (224, 224), "symmetric": True, "use_softmax": True, "absolute_bias": True}
LONGEST_REASON = 600  # characters of torch's message, which names every tensor


class ReleasedError(ValueError):
    """A file without the released layout, or with weights that our networks cannot hold."""


def released_network(state: Mapping[str, Tensor], options: Mapping) -> PosMlp:
    """Build our network for a released state dict and load its weights.

    Args:
        options: keyword arguments of the released PosMLP; only those in DEFAULTS are used.

    Raises:
        ReleasedError: tensors are missing, unknown, misshaped or not finite.
    """
    if bad := [name for name, value in state.items() if not value.isfinite().all()]:
        raise ReleasedError(f"NaN or infinity in {len(bad)} tensors, such as {bad[0]}")
    try:
        arguments = architecture(state, options)
        model = PosMlp(**arguments).to(state["head.weight"].dtype)
        ours = convert_network(state, arguments["windows"], options)
        counters = {k: v for k, v in model.state_dict().items() if k.endswith("batches_tracked")}
        model.load_state_dict(counters | ours)
    except KeyError as error:
        raise ReleasedError(f"the tensor {error} of the released PosMLP is missing") from None
    except RuntimeError as error:  # names missing, unknown and misshaped tensors
        reason = textwrap.shorten(str(error), LONGEST_REASON)
        raise ReleasedError(f"the tensors do not fit the released PosMLP: {reason}") from None
    return model.eval()


def gating_units(state: Mapping[str, Tensor]) -> dict[tuple[int, int], dict[str, Tensor]]:
    """The parameters of each gating unit, by stage and block."""
    units: dict[tuple[int, int], dict[str, Tensor]] = {}
    for name, value in state.items():
        if match := UNIT.fullmatch(name):
            units.setdefault((int(match[1]), int(match[2])), {})[match[3]] = value
    return units


def architecture(state: Mapping[str, Tensor], options: Mapping) -> dict:
    """Infer the arguments of PosMlp from a released network's names and shapes.

    Raises:
        KeyError: with the name of a missing tensor.
    """
    units = gating_units(state)
    depths = Counter(stage for stage, _ in units)
    first = [units[stage, 0] for stage in range(len(depths))]
    blocks = [f"levels.{stage}.encoder.0" for stage in range(len(depths))]
    dims = [len(state[f"{block}.norm.weight"]) for block in blocks]
    hidden = [len(state[f"{block}.proj_c_e.bias"]) for block in blocks]
    return dict(
        num_classes=len(state["head.weight"]),
        img_size=tuple(options.get("img_size", DEFAULTS["img_size"])),
        in_chans=state["patch_embed.projs.0.weight"].shape[1],
        dims=tuple(dims),
        depths=tuple(depths[stage] for stage in range(len(depths))),
        windows=tuple(map(window_side, first)),
        mlp_ratios=tuple(channels / dim for channels, dim in zip(hidden, dims, strict=True)),
        groups=tuple(map(unit_groups, first)),
        **unit_settings(first[0], options),
    )


def window_side(unit: Mapping[str, Tensor]) -> int:
    """Tokens per side of a unit's square window."""
    if "proj_list.0.weight" in unit:
        return math.isqrt(len(unit["proj_list.0.weight"]))
    return math.isqrt(unit["pos.token_proj_n_bias"].shape[1])


def group_order(channels: int, groups: int) -> Tensor:
    """The released channel at each of our positions."""
    return torch.arange(channels).reshape(-1, groups).T.flatten()


def half_order(channels: int, groups: int) -> Tensor:
    """The same for a unit's input, whose halves are exchanged."""
    order = group_order(channels // 2, groups)
    return torch.cat([order + channels // 2, order])


def unit_groups(params: Mapping[str, Tensor]) -> int:
    """The number of groups of a released unit."""
    if "pos.attention_centers" in params:
        return params["pos.attention_centers"].shape[0]
    return params[TABLE].shape[1] if TABLE in params else 1


def unit_settings(params: Mapping[str, Tensor], options: Mapping) -> dict:
    """Arguments of the `GatingUnit` that equals a released unit.

    Args:
        params: `pos.attention_centers`, `pos.token_proj_n_bias`, ... as in a released block.
        options: keyword arguments of the released unit besides defaults.
    """
    if "proj_list.0.weight" in params:
        if "proj_list.1.weight" in params:
            raise ReleasedError("an SGU with more than two chunks is not supported")
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
    """Convert a released gating unit's parameters to a state dict of `GatingUnit`.

    Differentiable, so gradients reach the released parameters. For arguments see unit_settings.
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
    if settings["gate"] == "qpe":  # the released width only scales the centre
        center_SD, spread = spread.square()[:, None] * center_SD, torch.ones_like(spread)
    turn = TURN.to(center_SD)
    if spread.ndim == 3:
        spread = turn.T @ spread if settings["psd"] else turn.T @ spread @ turn
    center_SD = center_SD @ turn  # as the spread by released posmlp2D.py:32-94
    return ours | {"proj.position.center": center_SD, "proj.position.spread": spread}


def renamed(name: str) -> str | None:
    """Our name of a tensor outside the gating units; None: unknown to the release."""
    for here, there in NAMES.items():
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
    """Convert a released PosMLP state dict to one of `posmlp.models.PosMlp`.

    Args:
        windows: tokens per side in each stage.
        options: keyword arguments of the released units besides defaults.

    Raises:
        ReleasedError: a name is not in the released layout.
    """
    ours = {}
    for name, value in state.items():
        if other := renamed(name):
            ours[other] = value
        elif not UNIT.fullmatch(name) and not name.endswith(OFFSETS):
            raise ReleasedError(f"the released PosMLP has no tensor {name!r}")
    for (stage, block), params in gating_units(state).items():
        prefix = f"stages.{stage}.blocks.{block}.mlp_channels"
        unit = convert_unit(params, (windows[stage],) * 2, options)
        order = half_order(len(ours[f"{prefix}.fc1.bias"]), unit_groups(params))
        for name in ("fc1.weight", "fc1.bias"):  # hidden channels, which the unit splits in halves
            ours[f"{prefix}.{name}"] = ours[f"{prefix}.{name}"][order]
        ours[f"{prefix}.fc2.weight"] = ours[f"{prefix}.fc2.weight"][:, order[len(order) // 2 :]]
        ours |= {f"{prefix}.gate.{name}": value for name, value in unit.items()}
    return ours
