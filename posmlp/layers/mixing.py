"""Token mixing: a positional or free map, one per channel group, applied to the tokens of a window.

Activations have the channels first and the tokens last, (C, ..., N): a group is then a contiguous
block of rows, and mixing is one batched matrix product without a copy.

Shape letters: S channel groups, N tokens of a window (M: queries), C gated channels, W windows of
an image.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from posmlp.layers.position import GQPE, LRPE, QPE, Quadratic, num_tokens, over_pairs

# A key that scores this far below a row's best counts as if it scored just so far, 1e-26 of the
# best's weight: float32 denormals, which would fill the tails of the maps, make CPU products
# several times slower.
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
    """Normalise (..., M, N) scores, which it may overwrite: every query's row sums to one."""
    with torch.no_grad():  # in place: what is raised has no weight that a gradient could tell
        scores.clamp_(min=scores.amax(dim=-1, keepdim=True) - SCORE_RANGE)
    return scores.softmax(dim=-1)


def mix(map_SNN: Tensor, v: Tensor, bias_N: Tensor | None = None) -> Tensor:
    """Apply one map per channel group: row m of a group's map holds the weights of query m.

    Args:
        map_SNN: maps (S, N, N), or (W, S, N, N) with one set for every window.
        v: (C, ..., N), groups contiguous; (C, B, W, N) if every window has its own maps.
        bias_N: added to every channel.
    """
    if map_SNN.ndim == 4:
        rows = v.unflatten(0, (map_SNN.shape[1], -1))
        mixed = torch.einsum("wsmn,svbwn->svbwm", map_SNN, rows).flatten(0, 1)
        return mixed if bias_N is None else mixed + bias_N
    rows, map_SNM = v.reshape(len(map_SNN), -1, v.shape[-1]), map_SNN.mT
    if bias_N is None:
        return torch.bmm(rows, map_SNM).view(v.shape)
    return torch.baddbmm(bias_N, rows, map_SNM).view(v.shape)


class TokenMixing(nn.Module):
    """Mix the tokens of a window with one map per channel group: A v + b.

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
        with without_autocast(next(self.parameters()).device):  # scores and rows need float32
            scores_SNN = over_pairs(self.position.scores(), self.window)
            if not self.softmax:
                return self.masked(scores_SNN, 0.0)
            if self.mask_WNN is None:
                return softmax_over_keys(scores_SNN)
            return self.masked(softmax_over_keys(self.masked(scores_SNN, -torch.inf)), 0.0)

    def token_map(self) -> Tensor:
        """Return A: (S, N, N), or (W, S, N, N) with a mask; row m holds the weights of query m."""
        if self.position is None:
            weight = self.weight if self.weight.ndim == 3 else self.weight[None]
            return self.masked(weight, 0.0)
        if self.weight is None:
            return self.position_map()
        return self.position_map() + self.masked(self.weight[None], 0.0)

    def token_bias(self) -> Tensor | None:
        """Return b as a row (N,)."""
        return self.bias if self.position_bias is None else self.position_bias[:, 0]

    def forward(self, v: Tensor) -> Tensor:
        """Mix (C, ..., N); with a mask (C, B, W, N)."""
        bias_N = self.token_bias()
        return mix(self.token_map().to(v.dtype), v, None if bias_N is None else bias_N.to(v.dtype))

    def extra_repr(self) -> str:
        return f"window={self.window}, groups={self.groups}"


def without_autocast(device: torch.device) -> AbstractContextManager:
    """Compute in the tensors' own precision; the meta device knows no autocast."""
    known = torch.amp.is_autocast_available(device.type)
    return torch.autocast(device.type, enabled=False) if known else nullcontext()


def gate_spec(gate: str) -> Gate:
    """Look a gating unit up by name."""
    if gate not in GATES:
        raise SettingError("gate", f"gate={gate!r} is unknown; allowed: {', '.join(GATES)}")
    return GATES[gate]


def check_switches(gate: str, spec: Gate, softmax: bool | None, psd: bool | None) -> None:
    """Refuse a switch that would change nothing: two variants of a study must never be one."""
    if softmax is not None and spec.position is None:
        raise SettingError("softmax", f"softmax has no meaning for gate={gate!r}: it has no scores")
    if psd is not None and not (spec.position and issubclass(spec.position, Quadratic)):
        raise SettingError("psd", f"psd has no meaning for gate={gate!r}: it has no quadratic form")
