"""Spatial gating units: gMLP's SGU and the positional PoSGU family under one constructor.

Papers: gMLP, arXiv 2105.08050 (SGU); PosMLP, arXiv 2207.07284 (LRPE, QPE, GQPE, group-wise maps).
Every unit computes gate(X) = U * (A V + b) with [U, V] = split(X): A mixes tokens and is either a
free N x N matrix, a function of the relative offset of two tokens, or the sum of the two.

Shape letters: C gated channels, N tokens of a window, W windows of an image, B batch.
"""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from posmlp.layers.gates import check_groups, find_gate
from posmlp.layers.mixing import TokenMixing


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the first axis, where a unit has its channels.

    Native LayerNorm between two transposes is faster than reductions over the first axis, and
    copying a transposed matrix is several times faster than copying a tensor with more axes.
    """

    def forward(self, x: Tensor) -> Tensor:
        rows, shape = x.flatten(1).mT, self.normalized_shape
        return F.layer_norm(rows, shape, self.weight, self.bias, self.eps).mT.reshape(x.shape)


class GatingUnit(nn.Module):
    """Spatial gating: mix the tokens of one half of the channels, gate the other with it.

    Maps U and V, each (dim / 2, ..., N), to a tensor of the same shape. Channels come first, so
    groups are contiguous blocks. With a mask the shape is (dim / 2, B, W, N).

    Args:
        dim: channels of the input, both halves together.
        gate_norm: LayerNorm on the mixed half; None: only for sgu, as in gMLP.
        eps: epsilon of that LayerNorm.
        mixing: further arguments of TokenMixing.

    Raises:
        SettingError: groups do not divide the gated channels, or as TokenMixing.
    """

    def __init__(
        self,
        dim: int,
        window: tuple[int, ...],
        gate: str = "gqpe",
        groups: int = 1,
        gate_norm: bool | None = None,
        eps: float = 1e-5,
        **mixing: Any,
    ) -> None:
        super().__init__()
        spec, gate_dim = find_gate(gate), dim // 2
        check_groups(groups, gate_dim)
        use_norm = spec.norm if gate_norm is None else gate_norm
        self.norm = ChannelNorm(gate_dim, eps=eps) if use_norm else nn.Identity()
        self.proj = TokenMixing(window, gate, groups, **mixing)

    def forward(self, u: Tensor, v: Tensor) -> Tensor:
        return u * self.proj(self.norm(v))
