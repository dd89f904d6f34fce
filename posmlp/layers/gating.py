"""Spatial gating units: gMLP's SGU and the positional PoSGU family under one constructor.

Papers: gMLP, arXiv 2105.08050 (SGU); PosMLP, arXiv 2207.07284 (LRPE, QPE, GQPE, group-wise maps).
Every unit computes gate(X) = U * (A V + b) with [U, V] = split(X): A mixes tokens and is either a
free N x N matrix, a function of the relative offset of two tokens, or the sum of the two.

Shape letters: C gated channels, N tokens of a window, W windows of an image, B batch.
"""

import torch
from torch import Tensor, nn

from posmlp.layers.mixing import SettingError, TokenMixing, gate_spec


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the first axis, where a unit has its channels; nothing is transposed."""

    def forward(self, x: Tensor) -> Tensor:
        shape = (-1, *[1] * (x.ndim - 1))
        values = x.to(torch.promote_types(x.dtype, torch.float32))
        variance, mean = torch.var_mean(values, 0, correction=0, keepdim=True)
        scale = torch.rsqrt(variance + self.eps) * self.weight.view(shape)
        return torch.addcmul(self.bias.view(shape), values - mean, scale).to(x.dtype)


class GatingUnit(nn.Module):
    """Spatial gating: split the channels, mix the tokens of one half, gate the other with it.

    Maps (dim, ..., N) to (dim / 2, ..., N): channels first, so that halves and groups are
    contiguous blocks; with a mask (dim, B, W, N). As in timm the second half is mixed.

    Args:
        dim: channels of the input, both halves together.
        gate_norm: LayerNorm on the half that is mixed; None: yes for sgu, as in gMLP, else no.
        eps: of that LayerNorm.
        Others: see TokenMixing.

    Raises:
        SettingError: groups do not divide the gated channels, or as TokenMixing.
    """

    def __init__(
        self,
        dim: int,
        window: tuple[int, ...],
        gate: str = "gqpe",
        groups: int = 1,
        softmax: bool | None = None,
        psd: bool | None = None,
        bias: bool = True,
        gate_norm: bool | None = None,
        eps: float = 1e-5,
        mask_WNN: Tensor | None = None,
    ) -> None:
        super().__init__()
        spec, gate_dim = gate_spec(gate), dim // 2
        check_groups(groups, gate_dim)
        use_norm = spec.norm if gate_norm is None else gate_norm
        self.norm = ChannelNorm(gate_dim, eps=eps) if use_norm else nn.Identity()
        self.proj = TokenMixing(window, gate, groups, softmax, psd, bias, mask_WNN)

    def forward(self, x: Tensor) -> Tensor:
        u, v = x.chunk(2)
        return u * self.proj(self.norm(v))


def check_groups(groups: int, gate_dim: int) -> None:
    """Refuse a number of groups that cannot split the gated channels evenly."""
    if isinstance(groups, bool) or not isinstance(groups, int) or groups < 1:
        raise SettingError("groups", f"groups={groups!r} must be an integer of at least 1")
    if gate_dim % groups:
        allowed = [s for s in range(1, gate_dim + 1) if gate_dim % s == 0]
        raise SettingError(
            "groups",
            f"groups={groups} does not divide the {gate_dim} gated channels; allowed: "
            + ", ".join(map(str, allowed)),
        )
