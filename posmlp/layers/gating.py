"""Spatial gating units: gMLP's SGU and the positional PoSGU family under one constructor.

Papers: gMLP, arXiv 2105.08050 (SGU); PosMLP, arXiv 2207.07284 (LRPE, QPE, GQPE, group-wise maps).
Every unit computes gate(X) = U * (A V + b) with [U, V] = split(X): A mixes tokens and is either a
free N x N matrix, a function of the relative offset of two tokens, or the sum of the two.

Shape letters: S channel groups, N tokens of a window (M: queries), C gated channels,
V channels of a group (C = S V, groups contiguous), W windows of an image, B batch.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from posmlp.layers.position import GQPE, LRPE, QPE, Quadratic, num_tokens, offset_index

# A key that scores this far below a row's best has less than 1e-26 of its weight, and gets none:
# float32 denormals, which fill the tails of the maps, make CPU products several times slower.
SCORE_RANGE = 60.0


class SettingError(ValueError):
    """A setting of a unit or backbone that cannot work; `key` is the name of the argument."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


@dataclass(frozen=True)
class Gate:
    """What a gating unit is made of. A new unit is one encoding class and one row of GATES."""

    position: type[nn.Module] | None  # encoding that the map is derived from
    token_fc: bool  # a learnable N x N matrix in the map
    norm: bool = False  # LayerNorm on the gated half by default
    bias_init: float = 0.0


GATES = {
    "sgu": Gate(position=None, token_fc=True, norm=True, bias_init=1.0),
    "lrpe": Gate(position=LRPE, token_fc=False),
    "qpe": Gate(position=QPE, token_fc=False),
    "gqpe": Gate(position=GQPE, token_fc=False),
    "fc_lrpe": Gate(position=LRPE, token_fc=True),
    "fc_gqpe": Gate(position=GQPE, token_fc=True),
}


def softmax_over_keys(scores: Tensor) -> Tensor:
    """Normalise (..., M, N) scores so that every query's row sums to one."""
    best = scores.detach().amax(dim=-1, keepdim=True)
    return scores.masked_fill(scores < best - SCORE_RANGE, -torch.inf).softmax(dim=-1)


class TokenMixing(nn.Module):
    """Mix the tokens of a window with one map per channel group: A v + b.

    The map is `weight` (token FC), the positional encoding's scores looked up by offset, or their
    sum; `weight` is shared by all groups beside an encoding (posmlp2D.py:168-171) and has one
    matrix per group where it is the whole map. Parameters carry timm's names where timm has them.

    Args:
        window: tokens per axis, (h, w) for images or (n,) for sequences.
        gate: name in GATES.
        groups: S.
        softmax: normalise the positional scores over keys; None: as the encoding is defined.
        psd: keep the quadratic form positive semi-definite; None: yes for quadratic encodings.
        bias: learn b, one number per token, shared by all channels.
        mask_WNN: True where a query of window w may see a key (shifted windows).

    Raises:
        SettingError: unknown gate, or a switch that has no meaning for it.
    """

    def __init__(
        self,
        window: tuple[int, ...],
        gate: str,
        groups: int = 1,
        softmax: bool | None = None,
        psd: bool | None = None,
        bias: bool = True,
        mask_WNN: Tensor | None = None,
    ) -> None:
        super().__init__()
        spec = gate_spec(gate)
        check_switches(gate, spec, softmax, psd)
        n = num_tokens(window)
        self.window, self.groups, self.bias_init = window, groups, spec.bias_init
        self.weight = self.bias = self.position = self.position_bias = None
        if spec.token_fc:
            shared = groups == 1 or spec.position is not None
            self.weight = nn.Parameter(torch.empty((n, n) if shared else (groups, n, n)))
        if spec.position is not None:
            switches = {"psd": psd is not False} if issubclass(spec.position, Quadratic) else {}
            self.position = spec.position(window, groups, **switches)
            self.softmax = spec.position.softmax if softmax is None else softmax
            self.register_buffer("index_NN", offset_index(window), persistent=False)
        if bias and spec.position is None:
            self.bias = nn.Parameter(torch.empty(n))
        elif bias:  # a column, as released: weight decay reaches it where the model asks for that
            self.position_bias = nn.Parameter(torch.empty(n, 1))
        self.register_buffer("mask_WNN", mask_WNN, persistent=False)
        self.init_weights()

    def init_weights(self) -> None:
        """Start close to no mixing by the free matrix (gMLP, section 2.2) and with a constant b."""
        if self.weight is not None:
            nn.init.normal_(self.weight, std=1e-6)
        for bias in (self.bias, self.position_bias):
            if bias is not None:
                nn.init.constant_(bias, self.bias_init)

    def masked(self, map_SNN: Tensor, hidden: float) -> Tensor:
        """Give (W, S, N, N) with `hidden` where a key may not be seen, or the map as it is."""
        if self.mask_WNN is None:
            return map_SNN
        return torch.where(self.mask_WNN[:, None], map_SNN, hidden)

    def position_map(self) -> Tensor:
        """Return the map that the positional encoding stands for, (S, N, N) or (W, S, N, N)."""
        with without_autocast(self.index_NN.device):  # scores and rows need float32
            scores_SNN = self.position.scores()[:, self.index_NN]
            if self.softmax:
                return softmax_over_keys(self.masked(scores_SNN, -torch.inf))
            return self.masked(scores_SNN, 0.0)

    def token_map(self) -> Tensor:
        """Return A: (S, N, N), or (W, S, N, N) with a mask; row m holds the weights of query m."""
        if self.position is None:
            weight = self.weight if self.weight.ndim == 3 else self.weight[None]
            return self.masked(weight, 0.0)
        if self.weight is None:
            return self.position_map()
        return self.position_map() + self.masked(self.weight[None], 0.0)

    def forward(self, v: Tensor) -> Tensor:
        """Mix (B, N, C) or (B, W, N, C); the mask needs the latter."""
        A = self.token_map().to(v.dtype)
        v = v.unflatten(-1, (self.groups, -1))
        windows = "" if self.mask_WNN is None else "w"
        mixed = torch.einsum(f"{windows}smn,...{windows}nsv->...{windows}msv", A, v).flatten(-2)
        if self.bias is not None:
            mixed = mixed + self.bias[:, None].to(mixed.dtype)
        elif self.position_bias is not None:
            mixed = mixed + self.position_bias.to(mixed.dtype)
        return mixed

    def extra_repr(self) -> str:
        return f"window={self.window}, groups={self.groups}"


class GatingUnit(nn.Module):
    """Spatial gating: split the channels, mix the tokens of one half, gate the other with it.

    Maps (..., N, dim) to (..., N, dim / 2). As in timm the second half is mixed.

    Args:
        dim: channels of the input, both halves together.
        gate_norm: LayerNorm on the half that is mixed; None: yes for sgu, as in gMLP, else no.
        norm_layer: the LayerNorm to use.
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
        norm_layer: Callable[[int], nn.Module] = nn.LayerNorm,
        mask_WNN: Tensor | None = None,
    ) -> None:
        super().__init__()
        spec, gate_dim = gate_spec(gate), dim // 2
        check_groups(groups, gate_dim)
        use_norm = spec.norm if gate_norm is None else gate_norm
        self.norm = norm_layer(gate_dim) if use_norm else nn.Identity()
        self.proj = TokenMixing(window, gate, groups, softmax, psd, bias, mask_WNN)

    def forward(self, x: Tensor) -> Tensor:
        u, v = x.chunk(2, dim=-1)
        return u * self.proj(self.norm(v))


def without_autocast(device: torch.device) -> AbstractContextManager:
    """Compute in the tensors' own precision; the meta device knows no autocast."""
    known = torch.amp.is_autocast_available(device.type)
    return torch.autocast(device.type, enabled=False) if known else nullcontext()


def gate_spec(gate: str) -> Gate:
    """Look a gating unit up by name."""
    if gate not in GATES:
        raise SettingError("gate", f"gate={gate!r} is unknown; allowed: {', '.join(GATES)}")
    return GATES[gate]


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


def check_switches(gate: str, spec: Gate, softmax: bool | None, psd: bool | None) -> None:
    """Refuse a switch that would change nothing: two variants of a study must never be one."""
    if softmax is not None and spec.position is None:
        raise SettingError("softmax", f"softmax has no meaning for gate={gate!r}: it has no scores")
    if psd is not None and not (spec.position and issubclass(spec.position, Quadratic)):
        raise SettingError("psd", f"psd has no meaning for gate={gate!r}: it has no quadratic form")
