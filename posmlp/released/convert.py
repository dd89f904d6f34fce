"""The authors' layout to ours: parameters of a gating unit, and of a whole network.

The two differ in three conventions: axes (the first released offset axis points right, the second
up; ours point down and right), groups (released channel c belongs to group c mod s; ours are
contiguous) and halves (the first released half is mixed; as in timm, ours mixes the second).
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

# An offset is (right, up) in the release and (down, right) here: ours @ TURN.T == released.
TURN = [[0.0, 1.0], [-1.0, 0.0]]


class ReleasedError(ValueError):
    """A file that does not have the released layout, or uses what the release cannot do."""


def group_order(channels: int, groups: int) -> Tensor:
    """The released channel at each of our positions, where groups are contiguous."""
    return torch.arange(channels).reshape(-1, groups).T.flatten()


def half_order(channels: int, groups: int) -> Tensor:
    """The same for both halves of a unit's input, which are exchanged."""
    order = group_order(channels // 2, groups)
    return torch.cat([order + channels // 2, order])


def convert_unit(params: Mapping[str, Tensor], window: tuple[int, int], options: dict) -> dict:
    """Turn a released gating unit's parameters into a state dict of `GatingUnit`.

    Differentiable, so that gradients flow back to the released parameters.

    Args:
        params: `pos.attention_centers`, `pos.token_proj_n_bias`, ... as in a released block.
        options: keyword arguments of the released unit that were not the default.
    """
    if "proj_list.0.weight" in params:
        ours = {"proj.weight": params["proj_list.0.weight"]}
        ours |= {f"norm.{name}": params[f"norm_list.0.{name}"] for name in ("weight", "bias")}
        if "proj_list.0.bias" in params:
            ours["proj.bias"] = params["proj_list.0.bias"]
        return ours
    ours = {}
    if has_bias(params, options):
        ours["proj.position_bias"] = params["pos.token_proj_n_bias"][0]
    if "pos.window_relative_position_bias_table" in params:
        table_OS = params["pos.window_relative_position_bias_table"]
        shape = (-1, 2 * window[0] - 1, 2 * window[1] - 1)
        ours["proj.position.table"] = table_OS.T.reshape(shape).flip(1, 2)  # released: query - key
        if "token_proj_n_weight" in params:
            ours["proj.weight"] = params["token_proj_n_weight"][0]
        return ours
    return ours | convert_quadratic(params, options)


def convert_quadratic(params: Mapping[str, Tensor], options: dict) -> dict[str, Tensor]:
    """Turn centres and spreads of the released QuaMap (posmlp2D.py:54-94) into ours."""
    center_SD, spread = params["pos.attention_centers"], params["pos.attention_spreads"]
    turn = torch.tensor(TURN, dtype=center_SD.dtype)
    if spread.ndim == 1:  # QPE: the released width scales the centre, nothing else
        center_SD = spread.square()[:, None] * center_SD
        return {
            "proj.position.center": center_SD @ turn,
            "proj.position.spread": torch.ones_like(spread),
        }
    spread = turn.T @ spread if options.get("symmetric", True) else turn.T @ spread @ turn
    return {"proj.position.center": center_SD @ turn, "proj.position.spread": spread}


def has_bias(params: Mapping[str, Tensor], options: dict) -> bool:
    """Whether the released unit adds its bias; its LRPE always does."""
    return options.get("absolute_bias", True) or "pos.window_relative_position_bias_table" in params


def unit_settings(params: Mapping[str, Tensor], options: dict) -> dict:
    """Arguments of `GatingUnit` that make the released unit."""
    if "proj_list.0.weight" in params:
        if "proj_list.1.weight" in params:
            raise ReleasedError("SGU with more than two chunks has no counterpart here")
        return dict(gate="sgu", bias="proj_list.0.bias" in params)
    bias = has_bias(params, options)
    if "pos.window_relative_position_bias_table" in params:
        return dict(gate="fc_lrpe" if "token_proj_n_weight" in params else "lrpe", bias=bias)
    gate = "gqpe" if params["pos.attention_spreads"].ndim == 3 else "qpe"
    psd = options.get("symmetric", True) if gate == "gqpe" else True
    return dict(gate=gate, bias=bias, psd=psd, softmax=options.get("use_softmax", True))


def unit_groups(params: Mapping[str, Tensor]) -> int:
    """Read the number of groups from the shapes."""
    if "pos.attention_centers" in params:
        return params["pos.attention_centers"].shape[0]
    table_OS = params.get("pos.window_relative_position_bias_table")
    return 1 if table_OS is None else table_OS.shape[1]


# Names of the two layouts; # is a number that both share.
NAMES = {
    "patch_embed.projs.0": "stem.0",
    "patch_embed.norms.0": "stem.1",
    "patch_embed.projs.1": "stem.3",
    "patch_embed.norms.1": "stem.4",
    "patch_embed.projs.2": "stem.6",
    "patch_embed.norms.2": "stem.7",
    "levels.#.pool": "stages.#.downsample",
    "levels.#.encoder.#.norm": "stages.#.blocks.#.norm",
    "levels.#.encoder.#.proj_c_e": "stages.#.blocks.#.mlp_channels.fc1",
    "levels.#.encoder.#.proj_c_s": "stages.#.blocks.#.mlp_channels.fc2",
    "norm": "norm",
    "head": "head.fc",
}
UNIT = re.compile(r"levels\.(\d+)\.encoder\.(\d+)\.gate_unit\.(.+)")
OFFSETS = ("rel_indices", "window_relative_position_index")  # buffers: tables of offsets


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


def convert_network(state: Mapping[str, Tensor], windows: tuple[int, ...], options: dict) -> dict:
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
        window = (windows[int(stage)],) * 2
        prefix = f"stages.{stage}.blocks.{block}.mlp_channels"
        for name, value in convert_unit(params, window, options).items():
            ours[f"{prefix}.gate.{name}"] = value
        fc1, fc2 = f"{prefix}.fc1", f"{prefix}.fc2.weight"
        order = half_order(len(ours[f"{fc1}.bias"]), unit_groups(params))
        ours[f"{fc1}.weight"] = ours[f"{fc1}.weight"][order]
        ours[f"{fc1}.bias"] = ours[f"{fc1}.bias"][order]
        ours[fc2] = ours[fc2][:, order[len(order) // 2 :]]
    return ours
