"""Token mixing in the formulation of the released code, reimplemented as a baseline.

Released code at 654f020, models/posmlp.py:81-96 and posmlp2D.py:67-113, in GQPE's symmetric form:
groups interleaved over the channels, channels last, one `einsum("wmns,bwnvs->bwmvs")` a layer, and
the map rebuilt from its features for every pair of tokens at every call.
"""

import torch
from torch import Tensor, nn

from posmlp.layers import GatingUnit
from posmlp.layers.position import offset_grid, offset_index
from posmlp.models.gated_mlp import GatedMlp


class ReleasedUnit(nn.Module):
    """PoSGU with GQPE: tokens (B, W, N, 2C) to (B, W, N, C)."""

    def __init__(self, unit: GatingUnit) -> None:
        super().__init__()
        mixer = unit.proj
        self.center = nn.Parameter(mixer.position.center.detach().clone())
        self.spread = nn.Parameter(mixer.position.spread.detach().clone())
        self.bias = nn.Parameter(mixer.position_bias.detach().clone()[None])
        down, right = offset_grid(mixer.window).unbind(1)
        features_O5 = torch.stack([down, right, down**2, right**2, down * right], dim=-1)
        self.register_buffer("features_NN5", features_O5[offset_index(mixer.window)])

    def token_map(self) -> Tensor:
        """The map (1, N, N, S), normalised over the keys, the second to last axis."""
        precision = torch.einsum("sij,skj->sik", self.spread, self.spread)
        pull = torch.einsum("sij,sj->si", precision, self.center)
        a, b, c = precision[:, 0, 0], precision[:, 0, 1], precision[:, 1, 1]
        forms_S5 = torch.stack([pull[:, 0], pull[:, 1], -a / 2, -c / 2, -b], dim=-1)
        scores_SNN = torch.einsum("mnd,bd->bmn", self.features_NN5, forms_S5)
        return scores_SNN.permute(1, 2, 0)[None].softmax(-2)

    def forward(self, x: Tensor) -> Tensor:
        u, v = x.chunk(2, dim=-1)
        map_WNNS = self.token_map()
        v = v.unflatten(-1, (-1, map_WNNS.shape[-1]))
        return (torch.einsum("wmns,bwnvs->bwmvs", map_WNNS, v).flatten(-2) + self.bias) * u


class ReleasedMlp(nn.Module):
    """The MLP of a block with ReleasedUnit and our other layers."""

    def __init__(self, mlp: GatedMlp) -> None:
        super().__init__()
        self.fc1, self.act, self.fc2 = mlp.fc1, mlp.act, mlp.fc2
        self.gate = ReleasedUnit(mlp.gate)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.gate(self.act(self.fc1(x))))


def as_released(model: nn.Module) -> nn.Module:
    """Convert a network with GQPE to the released formulation, in place."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, GatedMlp):
                setattr(module, name, ReleasedMlp(child))
    return model
