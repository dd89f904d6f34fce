"""Our network to the authors' layout, the reverse of `convert`: same names, shapes and logits."""

import torch
from torch import Tensor

from posmlp.layers import GQPE, LRPE, GatingUnit, TokenMixing
from posmlp.layers.position import offset_grid, offset_index
from posmlp.models import PosMlp
from posmlp.released.convert import (
    NAMES,
    TURN,
    group_order,
    half_order,
    renamed,
)

OURS = {ours: released for released, ours in NAMES.items()}


def export_network(model: PosMlp) -> dict[str, Tensor]:
    """The network's state dict in the released layout, with offset tables and counters.

    Left out is what the released code cannot do; `checked_export` refuses it.
    """
    ours, units = model.state_dict(), gating_units(model)
    for (stage, block), unit in units.items():
        prefix = f"stages.{stage}.blocks.{block}.mlp_channels"
        fc1, fc2 = f"{prefix}.fc1", f"{prefix}.fc2.weight"
        num_channels, groups = len(ours[f"{fc1}.bias"]), unit.proj.groups
        order = half_order(num_channels, groups).argsort()
        ours[f"{fc1}.weight"] = ours[f"{fc1}.weight"][order]
        ours[f"{fc1}.bias"] = ours[f"{fc1}.bias"][order]
        ours[fc2] = ours[fc2][:, group_order(num_channels // 2, groups).argsort()]
    released = {renamed(n, OURS): v for n, v in ours.items() if renamed(n, OURS)}
    for (stage, block), unit in units.items():
        prefix = f"levels.{stage}.encoder.{block}.gate_unit"
        released |= {f"{prefix}.{name}": value for name, value in export_unit(unit).items()}
    return {name: value.detach().contiguous() for name, value in released.items()}


def gating_units(model: PosMlp) -> dict[tuple[int, int], GatingUnit]:
    """Every gating unit by stage and block."""
    return {
        (i, j): block.mlp_channels.gate
        for i, stage in enumerate(model.stages)
        for j, block in enumerate(stage.blocks)
    }


def export_unit(unit: GatingUnit) -> dict[str, Tensor]:
    """Parameters and offset tables of a gating unit as its released counterpart has them."""
    mixer, (height, width) = unit.proj, unit.proj.window
    num_tokens = height * width
    if mixer.position is None:
        bias = torch.zeros(num_tokens) if mixer.bias is None else mixer.bias
        norm = {f"norm_list.0.{name}": value for name, value in unit.norm.named_parameters()}
        return {"proj_list.0.weight": mixer.weight, "proj_list.0.bias": bias, **norm}
    bias = mixer.position_bias
    released = {
        "pos.token_proj_n_bias": torch.zeros(1, num_tokens, 1) if bias is None else bias[None]
    }
    if isinstance(mixer.position, LRPE):
        table_SO = mixer.position.table.flip(1, 2).flatten(1)  # released: query - key
        released["pos.window_relative_position_bias_table"] = table_SO.T
        released["pos.window_relative_position_index"] = offset_index((height, width)).T
        if mixer.weight is not None:
            released["token_proj_n_weight"] = mixer.weight[None]
        return released
    return released | export_quadratic(mixer)


def export_quadratic(mixer: TokenMixing) -> dict[str, Tensor]:
    """Turn our centres and spreads into those of the released QuaMap (posmlp2D.py:32-63)."""
    position = mixer.position
    turn = torch.tensor(TURN, dtype=position.center.dtype)
    spread = position.spread
    offsets_OD = offset_grid(mixer.window) @ torch.tensor(TURN).T
    right_O, up_O = offsets_OD.unbind(1)
    features = [right_O, up_O, right_O**2 + up_O**2]
    if isinstance(position, GQPE):
        spread = turn @ spread if position.psd else turn @ spread @ turn.T
        features = [right_O, up_O, right_O**2, up_O**2, right_O * up_O]
    return {
        "pos.attention_centers": position.center @ turn.T,
        "pos.attention_spreads": spread,
        "pos.rel_indices": torch.stack(features, dim=-1)[offset_index(mixer.window)],
    }
