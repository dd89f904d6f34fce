"""Triton kernels: scores, softmax, mixing, bias and gate in one pass, forward and backward.

No number of the maps reaches memory: every kernel makes the weights that it needs from the scores
by offset (`position.py`), which are O(N), and from two numbers for each query. Offsets of all
encodings are served alike. Needed for no result: the map gives the same numbers; `fastest.py`
decides which of the two is used.

Shape letters: S channel groups, R rows of a group (its channels, in all windows and images), N
tokens, O offsets. Tiles are BR rows by BQ queries or BK keys.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable


class Tile(NamedTuple):
    """What a program works on: rows by queries or keys, in the registers of its warps."""

    rows: int
    tokens: int
    warps: int


TILES = (Tile(64, 32, 4), Tile(64, 64, 8), Tile(128, 64, 8))
PROGRAMS = 512  # for the scores' gradient at least, so that the largest GPUs have work


@triton.jit
def offset_of(query, key, width, center):
    """The column of the scores that belongs to a query and a key; see `offset_index`."""
    down, right = key // width - query // width, key % width - query % width
    return down * (2 * width - 1) + right + center


@triton.jit
def weights_of(scores, lowest, log_sum, query, key, N, width, center, SOFTMAX: tl.constexpr):
    """The map's weights for queries and keys, of any shapes that broadcast; 0 outside of it."""
    inside = (query < N) & (key < N)
    weights = tl.load(scores + offset_of(query, key, width, center), mask=inside, other=0.0)
    if SOFTMAX:
        raised = tl.maximum(weights, tl.load(lowest + query, mask=query < N, other=0.0))
        weights = tl.exp(raised - tl.load(log_sum + query, mask=query < N, other=0.0))
    return tl.where(inside, weights, 0.0)


@triton.jit
def tile(pointer, row, token, R, N):
    """Numbers (rows, tokens) of a group's activations; 0 outside of them."""
    place = row[:, None] * N + token[None, :]
    inside = (row < R)[:, None] & (token < N)[None, :]
    return tl.load(pointer + place, mask=inside, other=0.0)


@triton.jit
def put(pointer, values, row, token, R, N):
    place = row[:, None] * N + token[None, :]
    inside = (row < R)[:, None] & (token < N)[None, :]
    tl.store(pointer + place, values.to(pointer.dtype.element_ty), mask=inside)


@triton.jit
def normalise_kernel(
    scores, lowest, log_sum, N, num_offsets, width, center,
    SCORE_RANGE: tl.constexpr, BQ: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """For each query the lowest score that counts, and the logarithm of its row's sum."""
    group = tl.program_id(1)
    scores += group * num_offsets
    query = tl.program_id(0) * BQ + tl.arange(0, BQ)
    best = tl.full((BQ,), float("-inf"), tl.float32)
    for start in range(0, N, BK):
        key = start + tl.arange(0, BK)
        inside = (query < N)[:, None] & (key < N)[None, :]
        offset = offset_of(query[:, None], key[None, :], width, center)
        found = tl.load(scores + offset, mask=inside, other=float("-inf"))
        best = tl.maximum(best, tl.max(found, 1))
    best = tl.where(query < N, best, 0.0)
    least = best - SCORE_RANGE
    total = tl.zeros((BQ,), tl.float32)
    for start in range(0, N, BK):
        key = start + tl.arange(0, BK)
        inside = (query < N)[:, None] & (key < N)[None, :]
        offset = offset_of(query[:, None], key[None, :], width, center)
        found = tl.load(scores + offset, mask=inside, other=0.0)
        parts = tl.exp(tl.maximum(found, least[:, None]) - best[:, None])
        total += tl.sum(tl.where(inside, parts, 0.0), 1)
    tl.store(lowest + group * N + query, least, mask=query < N)
    tl.store(
        log_sum + group * N + query, best + tl.log(tl.where(query < N, total, 1.0)), mask=query < N
    )


@triton.jit
def gate_kernel(
    u, v, out, scores, lowest, log_sum, bias, other, sums, R, N, num_offsets, width, center,
    SOFTMAX: tl.constexpr, SUMS: tl.constexpr, PRECISION: tl.constexpr,
    BR: tl.constexpr, BQ: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """out = u (A v + b). With SUMS, those of other u over rows as well."""
    group, blocks = tl.program_id(1), tl.cdiv(N, BQ)
    first = group.to(tl.int64) * R * N
    scores, lowest, log_sum = scores + group * num_offsets, lowest + group * N, log_sum + group * N
    row = tl.program_id(0) // blocks * BR + tl.arange(0, BR)
    query = tl.program_id(0) % blocks * BQ + tl.arange(0, BQ)
    mixed = tl.zeros((BR, BQ), tl.float32)
    for start in range(0, N, BK):
        key = start + tl.arange(0, BK)
        values = tile(v + first, row, key, R, N)
        weights = weights_of(
            scores, lowest, log_sum, query[None, :], key[:, None], N, width, center, SOFTMAX
        )
        mixed = tl.dot(values, weights.to(values.dtype), mixed, input_precision=PRECISION)
    gate = tile(u + first, row, query, R, N).to(tl.float32)
    if SUMS:
        product = gate * tile(other + first, row, query, R, N).to(tl.float32)
        tl.atomic_add(sums + group * N + query, tl.sum(product, 0), mask=query < N)
    mixed += tl.load(bias + query, mask=query < N, other=0.0).to(tl.float32)[None, :]
    put(out + first, gate * mixed, row, query, R, N)


@triton.jit
def values_grad_kernel(
    grad, u, out, scores, lowest, log_sum, R, N, num_offsets, width, center,
    SOFTMAX: tl.constexpr, PRECISION: tl.constexpr,
    BR: tl.constexpr, BQ: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """out = A' (grad u)."""
    group, blocks = tl.program_id(1), tl.cdiv(N, BK)
    first = group.to(tl.int64) * R * N
    scores, lowest, log_sum = scores + group * num_offsets, lowest + group * N, log_sum + group * N
    row = tl.program_id(0) // blocks * BR + tl.arange(0, BR)
    key = tl.program_id(0) % blocks * BK + tl.arange(0, BK)
    mixed = tl.zeros((BR, BK), tl.float32)
    for start in range(0, N, BQ):
        query = start + tl.arange(0, BQ)
        gated = tile(grad + first, row, query, R, N) * tile(u + first, row, query, R, N)
        weights = weights_of(
            scores, lowest, log_sum, query[:, None], key[None, :], N, width, center, SOFTMAX
        )
        mixed = tl.dot(gated, weights.to(gated.dtype), mixed, input_precision=PRECISION)
    put(out + first, mixed, row, key, R, N)


@triton.jit
def scores_grad_kernel(
    grad, u, v, out, scores, lowest, log_sum, row_dots, share, R, N, num_offsets, width, center,
    DOTS: tl.constexpr, SOFTMAX: tl.constexpr, PRECISION: tl.constexpr,
    BR: tl.constexpr, BQ: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """Add to every offset's score the gradients of its pairs, of a share of a group's rows.

    Behind a softmax it takes two calls: with DOTS the rows of the map times their gradients are
    summed. Both calls find the same gradients to the bit, so that where one key has all the weight
    nothing is left but zeros, which optimisers would make steps of.
    """
    group, blocks = tl.program_id(1), tl.cdiv(N, BK)
    first = group.to(tl.int64) * R * N
    scores, lowest, log_sum = scores + group * num_offsets, lowest + group * N, log_sum + group * N
    query = tl.program_id(0) // blocks * BQ + tl.arange(0, BQ)
    key = tl.program_id(0) % blocks * BK + tl.arange(0, BK)
    rows_from = tl.program_id(2) * share
    row_dots += (tl.program_id(2) * tl.num_programs(1) + group) * N
    grads = tl.zeros((BQ, BK), tl.float32)
    for start in range(rows_from, min(rows_from + share, R), BR):
        row = start + tl.arange(0, BR)
        gated = tile(grad + first, row, query, R, N) * tile(u + first, row, query, R, N)
        values = tile(v + first, row, key, R, N)
        grads = tl.dot(tl.trans(gated), values, grads, input_precision=PRECISION)
    if SOFTMAX:
        weights = weights_of(
            scores, lowest, log_sum, query[:, None], key[None, :], N, width, center, SOFTMAX
        )
        if DOTS:
            tl.atomic_add(row_dots + query, tl.sum(weights * grads, 1), mask=query < N)
        else:
            dots = tl.load(row_dots + query, mask=query < N, other=0.0)
            grads = weights * (grads - dots[:, None])
    if not DOTS:
        inside = (query < N)[:, None] & (key < N)[None, :]
        offset = offset_of(query[:, None], key[None, :], width, center)
        tl.atomic_add(out + group * num_offsets + offset, grads, mask=inside)


@dataclass(frozen=True)
class Launch:
    """Sizes of a mixing, and the tiles that its kernels work on."""

    groups: int
    rows: int
    offsets: int
    window: tuple[int, int]
    softmax: bool
    tile: Tile

    @property
    def tokens(self) -> int:
        return self.window[0] * self.window[1]

    @property
    def blocks(self) -> int:
        """Tiles along the tokens."""
        return triton.cdiv(self.tokens, self.tile.tokens)

    def __call__(self, kernel, grid: tuple[int, ...], *tensors: Tensor, **options) -> None:
        """Start a kernel: its tensors, then the sizes that all of them take."""
        height, width = self.window
        center = (height - 1) * (2 * width - 1) + width - 1
        kernel[grid](*tensors, self.tokens, self.offsets, width, center, **options)

    def product(self, kernel, grid: tuple[int, ...], *tensors: Tensor | int, **options) -> None:
        """Start a kernel with a matrix product, in the precision that torch's own have."""
        high = torch.get_float32_matmul_precision() == "highest"
        rows, side, warps = self.tile
        options |= dict(SOFTMAX=self.softmax, PRECISION="ieee" if high else "tf32")
        options |= dict(BR=rows, BQ=side, BK=side, num_warps=warps)
        self(kernel, grid, *tensors, self.rows, **options)

    def by_rows(self, kernel, *tensors: Tensor, **options) -> None:
        """Start a program for every tile of the activations."""
        grid = (triton.cdiv(self.rows, self.tile.rows) * self.blocks, self.groups)
        self.product(kernel, grid, *tensors, **options)

    def normalise(self, scores_SO: Tensor, score_range: float) -> Tensor:
        """Return every query's lowest score that counts and its row's log sum, (2, S, N)."""
        rows_2SN = scores_SO.new_empty(2, self.groups, self.tokens)
        if self.softmax:
            grid, sides = (triton.cdiv(self.tokens, 32), self.groups), dict(BQ=32, BK=64)
            self(normalise_kernel, grid, scores_SO, *rows_2SN, SCORE_RANGE=score_range, **sides)
        return rows_2SN

    def scores_grad(self, grad: Tensor, u: Tensor, v: Tensor, *made_of: Tensor) -> Tensor:
        """Start a program for every tile of the map, and for shares of the rows if these are few.

        The pairs of an offset are added up in no fixed order.
        """
        tiles, row_tiles = self.blocks**2, triton.cdiv(self.rows, self.tile.rows)
        shares = min(triton.cdiv(PROGRAMS, tiles * self.groups), row_tiles)
        share = triton.cdiv(row_tiles, shares) * self.tile.rows
        grid = (tiles, self.groups, triton.cdiv(self.rows, share))
        out = torch.zeros_like(made_of[0])
        row_dots = out.new_zeros(grid[2], self.groups, self.tokens)
        arguments = grad, u, v, out, *made_of, row_dots, share
        for dots in (True, False) if self.softmax else (False,):
            self.product(scores_grad_kernel, grid, *arguments, DOTS=dots)
        return out


class GatedMixing(torch.autograd.Function):
    """See `gated_mixing`. What the backward pass needs of A v is computed again."""

    @staticmethod
    def forward(
        ctx, scores_SO: Tensor, u: Tensor, v: Tensor, bias_N: Tensor, launch: Launch, range_: float
    ) -> Tensor:
        rows_2SN = launch.normalise(scores_SO, range_)
        out = torch.empty_like(v)
        launch.by_rows(gate_kernel, u, v, out, scores_SO, *rows_2SN, bias_N, u, out, SUMS=False)
        ctx.launch = launch
        ctx.save_for_backward(scores_SO, u, v, bias_N, rows_2SN)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        scores_SO, u, v, bias_N, rows_2SN = ctx.saved_tensors
        grad = grad.to(v.dtype).contiguous()
        made_of = scores_SO, *rows_2SN
        to_u, to_v = torch.empty_like(u), torch.empty_like(v)
        sums_SN = torch.zeros_like(rows_2SN[0])
        launch = ctx.launch
        launch.by_rows(gate_kernel, grad, v, to_u, *made_of, bias_N, u, sums_SN, SUMS=True)
        launch.by_rows(values_grad_kernel, grad, u, to_v, *made_of)
        to_scores = launch.scores_grad(grad, u, v, *made_of)
        return to_scores, to_u, to_v, sums_SN.sum(0).to(bias_N.dtype), None, None


def gated_mixing(
    scores_SO: Tensor,
    u: Tensor,
    v: Tensor,
    bias_N: Tensor | None,
    window: tuple[int, ...],
    softmax: bool,
    score_range: float,
    tile: Tile,
) -> Tensor:
    """Return u (A v + b), where A is the map of `over_pairs`, and the softmax, of these scores.

    Args:
        u, v: (C, ..., N), contiguous, of one dtype: float32, bfloat16 or float16.
        score_range: see SCORE_RANGE in mixing.py.
        tile: one of TILES.
    """
    groups, offsets = scores_SO.shape
    if bias_N is None:
        bias_N = v.new_zeros(v.shape[-1])
    rows = v.numel() // v.shape[-1] // groups
    launch = Launch(groups, rows, offsets, (1, *window)[-2:], softmax, tile)
    tensors = (tensor.contiguous() for tensor in (scores_SO.float(), u, v, bias_N))
    return GatedMixing.apply(*tensors, launch, score_range)
