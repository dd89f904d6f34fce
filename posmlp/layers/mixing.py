"""Token mixing: a positional or free map, one per channel group, applied to the tokens of a window.

Activations are (C, ..., N), channels first and tokens last. A group is then a contiguous block of
rows, and mixing is one batched matrix product without a copy.

Shape letters: S channel groups, N tokens of a window (M: queries), C gated channels, W windows of
an image.
"""

import math
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from posmlp.layers.convolution import convolve
from posmlp.layers.gates import SettingError, check_number, check_options, find_gate
from posmlp.layers.position import grid, num_tokens, over_pairs

# Scores are clamped to this distance below the row's best, a relative weight of 1e-26: float32
# denormals in the tails of the maps make CPU products several times slower.
SCORE_RANGE = 60.0

# Window size in tokens from which a convolution is faster than the map, measured on a CPU with
# benchmarks/speed.py --only convolution. Also used on GPUs, where it saves the map's memory.
CONVOLVE_FROM = 1024


def softmax_over_keys(scores: Tensor, score_range: float = SCORE_RANGE) -> Tensor:
    """Normalise (..., M, N) scores so that each query's row sums to one; may overwrite them."""
    values = scores.detach()  # shared memory; clamped scores have negligible gradients
    values.clamp_(min=values.amax(dim=-1, keepdim=True) - score_range)
    return scores.softmax(dim=-1)


def mix(map_SNN: Tensor, v: Tensor, bias_N: Tensor | None = None) -> Tensor:
    """Apply one map per channel group: row m of a group's map holds the weights of query m.

    Args:
        map_SNN: maps (S, N, N).
        v: (C, ..., N), groups contiguous.
        bias_N: bias per token, added to every channel.
    """
    rows_SRN = v.reshape(map_SNN.shape[0], -1, v.shape[-1])
    if bias_N is None:
        return torch.bmm(rows_SRN, map_SNN.mT).view(v.shape)
    if torch.jit.is_tracing():  # FLOP counters that read traces do not know baddbmm
        return (torch.bmm(rows_SRN, map_SNN.mT) + bias_N).view(v.shape)
    return torch.baddbmm(bias_N, rows_SRN, map_SNN.mT).view(v.shape)


def mix_windows(map_WSNN: Tensor, v: Tensor, bias_N: Tensor | None = None) -> Tensor:
    """Apply a separate map to each window: maps (W, S, N, N), v (C, B, W, N)."""
    rows = v.unflatten(0, (map_WSNN.shape[1], -1))
    mixed = torch.einsum("wsmn,svbwn->svbwm", map_WSNN, rows).flatten(0, 1)
    return mixed if bias_N is None else mixed + bias_N


class TokenMixing(nn.Module):
    """Mix the tokens of a window with one map per channel group: A v + b.

    Args:
        window: tokens per axis, (h, w) for images or (n,) for sequences.
        gate: name in GATES.
        groups: number of channel groups, S.
        softmax: normalise the positional scores over keys; None: the encoding's default.
        psd: keep the quadratic form positive semi-definite; None: yes for quadratic encodings.
        center_init, spread_init: initial quadratic form, see Quadratic; None: as released.
        bias: learn b, one value per token, shared by all channels.
        bias_init: initial b; None: 1 for sgu, as in gMLP, else 0.
        mask_WNN: True where a query of window w may see a key (shifted windows).

    Raises:
        SettingError: the gate is unknown, or a setting is out of range or has no effect on it.
    """

    def __init__(
        self,
        window: tuple[int, ...],
        gate: str,
        groups: int = 1,
        softmax: bool | None = None,
        psd: bool | None = None,
        bias: bool = True,
        center_init: float | None = None,
        spread_init: float | None = None,
        bias_init: float | None = None,
        mask_WNN: Tensor | None = None,
    ) -> None:
        super().__init__()
        spec, n = find_gate(gate), num_tokens(window)
        options = dict(psd=psd, center_init=center_init, spread_init=spread_init)
        check_options(gate, softmax=softmax, **options)
        check_number("center_init", center_init, least=0)
        check_number("spread_init", spread_init, least=0)
        check_number("bias_init", bias_init)
        if bias_init is not None and not bias:
            raise SettingError("bias_init", "bias_init has no effect without a bias; delete one")
        self.window, self.groups = window, groups
        self.bias_init = spec.bias_init if bias_init is None else bias_init
        self.grid = grid(window)
        self.weight = self.bias = self.position = self.position_bias = None
        self.softmax = False
        self.shared = groups == 1 or spec.position is not None  # one free matrix for all groups
        if spec.token_fc:
            self.weight = nn.Parameter(torch.empty((n, n) if self.shared else (groups, n, n)))
        if spec.position is not None:
            given = {key: value for key, value in options.items() if value is not None}
            self.position = spec.position(window, groups, **given)
            self.softmax = spec.position.softmax if softmax is None else softmax
        if bias and spec.position is None:
            self.bias = nn.Parameter(torch.empty(n))
        elif bias:  # a column, as released: weight decay reaches it where the model asks for that
            self.position_bias = nn.Parameter(torch.empty(n, 1))
        self.register_buffer("mask_WNN", mask_WNN, persistent=False)
        only_position = self.position is not None and self.weight is None and mask_WNN is None
        self.convolves = only_position and n >= CONVOLVE_FROM
        self.init_weights()

    def init_weights(self) -> None:
        """Initialise the free matrix close to zero (gMLP, section 2.2) and b to a constant."""
        if self.weight is not None:
            nn.init.normal_(self.weight, std=1e-6)
        for bias in (self.bias, self.position_bias):
            if bias is not None:
                nn.init.constant_(bias, self.bias_init)

    def masked(self, map_SNN: Tensor, hidden: float) -> Tensor:
        """Set hidden keys to `hidden`, (W, S, N, N); without a mask, return the map unchanged."""
        if self.mask_WNN is None:
            return map_SNN
        return torch.where(self.mask_WNN[:, None], map_SNN, hidden)

    def scores(self) -> Tensor:
        """Positional scores (S, O), in float32 or float64 even under autocast."""
        if torch.jit.is_scripting():
            return self.position.scores()
        with without_autocast(next(self.parameters()).device):
            return self.position.scores()

    def position_map(self) -> Tensor:
        """The map of the positional encoding, (S, N, N), or (W, S, N, N) with a mask."""
        scores_SNN = over_pairs(self.scores(), self.grid)
        if not self.softmax:
            return self.masked(scores_SNN, 0.0)
        if self.mask_WNN is None:
            return softmax_over_keys(scores_SNN)
        return self.masked(softmax_over_keys(self.masked(scores_SNN, -math.inf)), 0.0)

    def token_map(self) -> Tensor:
        """The map A, (S, N, N), or (W, S, N, N) with a mask; row m holds query m's weights."""
        if self.position is None:
            return self.masked(self.weight[None] if self.shared else self.weight, 0.0)
        if self.weight is None:
            return self.position_map()
        return self.position_map() + self.masked(self.weight[None], 0.0)

    def token_bias(self) -> Tensor | None:
        """The bias b, (N,), or None."""
        return self.bias if self.position_bias is None else self.position_bias[:, 0]

    def forward(self, v: Tensor) -> Tensor:
        """Mix (C, ..., N); with a mask (C, B, W, N)."""
        bias_N = self.token_bias()
        bias_N = None if bias_N is None else bias_N.to(v.dtype)
        if not torch.jit.is_scripting() and self.convolves and holds_numbers(v):
            mixed = convolve(self.scores(), v, self.window, self.softmax)
            return mixed if bias_N is None else mixed + bias_N
        token_map = self.token_map().to(v.dtype)
        if self.mask_WNN is None:
            return mix(token_map, v, bias_N)
        return mix_windows(token_map, v, bias_N)

    def extra_repr(self) -> str:
        return f"window={self.window}, groups={self.groups}, softmax={self.softmax}"


def holds_numbers(x: Tensor) -> bool:
    """Whether x holds values, that is, nothing is being compiled, traced or counted."""
    recording = torch.compiler.is_compiling() or torch.jit.is_tracing()
    return isinstance(x, Tensor) and not x.is_meta and not recording


def without_autocast(device: torch.device) -> AbstractContextManager:
    """Disable autocast; the meta device does not support it."""
    known = torch.amp.is_autocast_available(device.type)
    return torch.autocast(device.type, enabled=False) if known else nullcontext()
