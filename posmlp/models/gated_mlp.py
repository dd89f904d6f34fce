"""The channel MLP that both backbones share: timm's GatedMlp around one of our gating units."""

from collections.abc import Callable

from timm.layers import GatedMlp
from torch import nn

from posmlp.layers import GATES, GatingUnit, TokenMixing


def gated_mlp(
    dim: int,
    hidden_dim: int,
    act_layer: type[nn.Module],
    gate_layer: Callable[[int], nn.Module],
    drop: float,
    device: None = None,
    dtype: None = None,
    **unit,
) -> GatedMlp:
    """Build a block's MLP for timm's SpatialGatingBlock, with our unit in place of `gate_layer`.

    timm hands `device` and `dtype` down to every layer; the backbones here take neither.
    """

    def gating_unit(channels: int, **_) -> GatingUnit:
        return GatingUnit(channels, **unit)

    return GatedMlp(dim, hidden_dim, act_layer=act_layer, gate_layer=gating_unit, drop=(0.0, drop))


def default_groups(gate: str, grouped):
    """Return the groups of a unit when the user names none: sgu has one map, as in gMLP."""
    return grouped if gate not in GATES or GATES[gate].position else 1


def positional_parameters(model: nn.Module) -> set[str]:
    """Name every parameter of the positional encodings and the position biases."""
    mixers = [(n, m) for n, m in model.named_modules() if isinstance(m, TokenMixing)]
    return {
        f"{prefix}.{name}"
        for prefix, mixer in mixers
        for name, _ in mixer.named_parameters()
        if name.startswith("position")
    }
