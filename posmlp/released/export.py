"""Our network to the authors' layout, the reverse of `convert`: same names, shapes and logits."""

import torch
from torch import Tensor, nn

from posmlp.layers import GQPE, LRPE, QPE, GatingUnit, TokenMixing
from posmlp.layers.position import offset_grid, offset_index
from posmlp.models import PosMlp
from posmlp.released.convert import (
    NAMES,
    TURN,
    ReleasedError,
    group_order,
    half_order,
    renamed,
)

OURS = {ours: released for released, ours in NAMES.items()}


def export_network(model: PosMlp) -> dict[str, Tensor]:
    """The network's state dict in the released layout, with offset tables and counters.

    Raises:
        ReleasedError: the network uses what the released code cannot do.
    """
    check_exportable(model)
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
        return {
            "proj_list.0.weight": mixer.weight,
            "proj_list.0.bias": bias,
            "norm_list.0.weight": unit.norm.weight,
            "norm_list.0.bias": unit.norm.bias,
        }
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


def check_exportable(model: nn.Module) -> None:
    """Refuse a network that the released code cannot build or would compute differently."""
    if not isinstance(model, PosMlp):
        raise ReleasedError(
            f"{type(model).__name__} has no released layout; only the hierarchical PosMlp has one "
            "(the released gMLP is timm's, with timm's names)"
        )
    if [model.stem[i].stride for i in (0, 3)] != [(2, 2), (2, 2)]:
        raise ReleasedError("the released stem halves the image twice; this network's does not")
    if model.head.global_pool.pool_type != "avg":
        raise ReleasedError("the released network uses average pooling; this one does not")
    for (stage, block), unit in gating_units(model).items():
        if reason := lacking(unit):
            raise ReleasedError(f"stage {stage}, block {block}: the released code has no {reason}")


def lacking(unit: GatingUnit) -> str | None:
    """What a gating unit does that no released unit can; None: nothing."""
    mixer, position = unit.proj, unit.proj.position
    if len(set(mixer.window)) > 1:
        return f"window of {'x'.join(map(str, mixer.window))} tokens, only square ones"
    if mixer.mask_WNN is not None:
        return "working window shift"
    if isinstance(unit.norm, nn.Identity) != (position is not None):
        return "switch gate_norm: SGU normalises the mixed half, PoSGU does not"
    if position is None:
        return "SGU with groups" if mixer.groups > 1 else None
    if mixer.weight is not None and not isinstance(position, LRPE):
        return "token FC beside a quadratic encoding that has an effect"
    if isinstance(position, LRPE) and mixer.softmax:
        return "softmax over an LRPE's scores"
    if isinstance(position, QPE) and not (position.psd and is_one(position.spread)):
        return "QPE with a width other than 1"
    return None


def is_one(width_S: Tensor) -> bool:
    """Whether all widths are 1; on the meta device there are only shapes."""
    return width_S.is_meta or torch.allclose(width_S**2, torch.ones_like(width_S))
