"""The channel MLP that both backbones share, around one of our gating units."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posmlp.layers import GATES, GatingUnit, TokenMixing


class GatedMlp(nn.Module):
    """Expand, gate, project: timm's GatedMlp, same names and same numbers, in another layout.

    Between its two linear layers the channels come first. Both layers are then one matrix product
    each that reads or writes the transposed operand as it lies in memory: nothing is copied.

    Args:
        dim, hidden_dim: channels of the tokens, and of both halves of the gating unit together.
        drop: of the output.
        unit: keyword arguments of GatingUnit.
    """

    def __init__(
        self, dim: int, hidden_dim: int, act_layer: type[nn.Module], drop: float, unit: dict
    ) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.act = act_layer()
        self.gate = GatingUnit(hidden_dim, **unit)
        self.fc2 = nn.Linear(hidden_dim // 2, dim)
        self.drop = nn.Dropout(drop)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (..., N, dim) to the same shape."""
        rows = x.flatten(0, -2)
        hidden = torch.addmm(self.fc1.bias[:, None], self.fc1.weight, rows.mT)
        gated = self.gate(self.act(hidden).unflatten(1, x.shape[:-1]))
        return self.drop(F.linear(gated.flatten(1).mT, self.fc2.weight, self.fc2.bias).view(x.shape))


def gated_mlp(unit: dict) -> Callable[..., GatedMlp]:
    """Return what timm's SpatialGatingBlock builds its MLP with; it names a gate of its own."""

    def build(dim: int, hidden_dim: int, act_layer: type[nn.Module], drop: float, **_) -> GatedMlp:
        return GatedMlp(dim, hidden_dim, act_layer, drop, unit)

    return build


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
