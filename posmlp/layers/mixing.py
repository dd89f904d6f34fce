"""Token mixing: a positional or free map, one per channel group, applied to the tokens of a window.

Activations have the channels first and the tokens last, (C, ..., N): a group is then a contiguous
block of rows, and mixing is one batched matrix product without a copy.

Shape letters: S channel groups, N tokens of a window (M: queries), C gated channels, W windows of
an image.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from importlib.util import find_spec

import torch
from torch import Tensor, nn

from posmlp.layers.cache import MapCache
from posmlp.layers.convolution import convolve
from posmlp.layers.fastest import fastest
from posmlp.layers.position import Quadratic, num_tokens, over_pairs
from posmlp.layers.units import check_switches, gate_spec

# A key that scores this far below a row's best counts as if it scored just so far, 1e-26 of the
# best's weight: float32 denormals, which would fill the tails of the maps, make CPU products
# several times slower.
SCORE_RANGE = 60.0

# Tokens of a window from which a convolution is faster than the map at every batch size, measured
# on a CPU (benchmarks/speed.py --only growth); and those from which it is timed too on a GPU.
CONVOLVE_FROM = {("cpu", torch.float32): 1024, ("cpu", torch.bfloat16): 1600}
CONVOLVE_ON_GPU_FROM = 1024

Way = Callable[[Tensor, Tensor | None], Tensor]  # of v and u


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
    rows = v.reshape(len(map_SNN), -1, v.shape[-1])
    return Product.apply(map_SNN, rows, bias_N).view(v.shape)


class Product(torch.autograd.Function):
    """rows (S, R, N) times the transposed maps, plus b.

    As torch.baddbmm, but the maps' gradient is computed the way round in which it is used.
    """

    @staticmethod
    def forward(map_SNN: Tensor, rows_SRN: Tensor, bias_N: Tensor | None) -> Tensor:
        if bias_N is None:
            return torch.bmm(rows_SRN, map_SNN.mT)
        return torch.baddbmm(bias_N, rows_SRN, map_SNN.mT)

    @staticmethod
    def setup_context(ctx, inputs: tuple[Tensor, Tensor, Tensor | None], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    def backward(ctx, grad_SRN: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        map_SNN, rows_SRN = ctx.saved_tensors
        grad_SRN = grad_SRN.to(map_SNN.dtype)  # autocast may have lowered the output's alone
        to_map, to_rows, to_bias = ctx.needs_input_grad
        return (
            torch.bmm(grad_SRN.mT, rows_SRN) if to_map else None,
            torch.bmm(grad_SRN, map_SNN) if to_rows else None,
            grad_SRN.sum((0, 1)) if to_bias else None,
        )


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
        self.cache = MapCache()
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

    def way(self, v: Tensor, u: Tensor | None) -> Way:
        """Return the fastest of the methods that compute the same numbers."""
        by_offset = self.position is not None and self.weight is None and self.mask_WNN is None
        # Whoever records operations records the map's: the others are chosen by size and values.
        if not by_offset or torch.compiler.is_compiling() or torch.jit.is_tracing():
            return self.by_map
        if v.is_cuda:
            return self.fastest_on_gpu(v, u)
        fewest = CONVOLVE_FROM.get((v.device.type, v.dtype), torch.inf)
        return self.by_convolution if num_tokens(self.window) >= fewest else self.by_map

    def fastest_on_gpu(self, v: Tensor, u: Tensor | None) -> Way:
        """Time every way once for each size; use the map where results must repeat to the bit."""
        if torch.are_deterministic_algorithms_enabled():
            return self.by_map
        rows, tokens = len(v) // self.groups * (v[0].numel() // v.shape[-1]), v.shape[-1]
        ways = {"the map": self.by_map}
        if tokens >= CONVOLVE_ON_GPU_FROM:
            ways["the convolution"] = self.by_convolution
        small = v.dtype.itemsize <= 4 and rows * tokens < 2**31
        if u is not None and small and find_spec("triton"):
            from posmlp.layers.kernels import TILES

            ways |= {f"the kernel with {tile}": partial(self.by_kernel, tile) for tile in TILES}
        sizes = self.window, self.groups, len(v), rows.bit_length(), self.softmax, u is None
        circumstances = v.device, v.dtype, self.training, torch.is_grad_enabled()
        with self.cache.alone():
            return ways[fastest(ways, (v, u), self.parameters(), (*sizes, *circumstances))]

    def forward(self, v: Tensor, u: Tensor | None = None) -> Tensor:
        """Mix (C, ..., N), with a mask (C, B, W, N); gate the result with u of the same shape."""
        return self.way(v, u)(v, u)

    def by_map(self, v: Tensor, u: Tensor | None) -> Tensor:
        bias_N = self.token_bias()
        map_SNN = self.cache.get(self, self.token_map, v.dtype)
        mixed = mix(map_SNN, v, None if bias_N is None else bias_N.to(v.dtype))
        return mixed if u is None else u * mixed

    def by_convolution(self, v: Tensor, u: Tensor | None) -> Tensor:
        bias_N = self.token_bias()
        with without_autocast(v.device):
            mixed = convolve(self.position.scores(), v, self.window, self.softmax)
        mixed = mixed if bias_N is None else mixed + bias_N.to(v.dtype)
        return mixed if u is None else u * mixed

    def by_kernel(self, tile: tuple[int, ...], v: Tensor, u: Tensor) -> Tensor:
        from posmlp.layers.kernels import gated_mixing  # where there is no GPU, there is no Triton

        with without_autocast(v.device):
            scores_SO = self.position.scores()
        switches = self.window, self.softmax, SCORE_RANGE, tile
        return gated_mixing(scores_SO, u, v, self.token_bias(), *switches)

    def train(self, mode: bool = True) -> "TokenMixing":
        """Forget the map too: changes that torch does not see, through `.data`, end with this."""
        self.cache = MapCache()
        return super().train(mode)

    def extra_repr(self) -> str:
        return f"window={self.window}, groups={self.groups}"


def without_autocast(device: torch.device) -> AbstractContextManager:
    """Compute in the tensors' own precision; the meta device knows no autocast."""
    known = torch.amp.is_autocast_available(device.type)
    return torch.autocast(device.type, enabled=False) if known else nullcontext()
