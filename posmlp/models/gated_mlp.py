"""The channel MLP that both backbones share, around one of our gating units."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posmlp.layers import GATES, GatingUnit, TokenMixing


class GatedMlp(nn.Module):
    """Expand, gate, project: timm's GatedMlp, same names and same numbers, in another layout.

    Between its two linear layers the channels come first. Each layer is then a matrix product that
    reads or writes the transposed operand as it lies in memory, and the first is one product for
    each half that the gate takes: nothing is copied, split or joined. As in timm the second half
    is mixed.

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
        columns, shape = x.flatten(0, -2).mT, x.shape[:-1]
        halves = zip(self.fc1.weight.chunk(2), self.fc1.bias[:, None].chunk(2), strict=True)
        u, v = (
            self.act(torch.addmm(b, weight, columns)).unflatten(1, shape) for weight, b in halves
        )
        rows = self.gate(u, v).flatten(1).mT
        return self.drop(F.linear(rows, self.fc2.weight, self.fc2.bias).view(x.shape))


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
