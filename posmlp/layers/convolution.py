"""Token mixing by FFT for large windows: time N log N and memory N instead of N squared.

A positional map depends only on the offset between two tokens, so mixing is a correlation with the
table of scores. With a softmax it is a ratio of two correlations: exp(scores) with the tokens, and
exp(scores) with ones. An FFT is exact relative to its largest value, so the ratio loses digits for
queries whose keys all score far below the best offset, such as those near a border that the centre
points beyond. These queries use their rows of the map instead.

Shape letters: S channel groups, O offsets, R rows of a group (its channels, in all windows), N
tokens, h and w rows and columns of the window.
"""

import math

import torch
from torch import Tensor
from torch.fft import fft, ifft, irfft, rfft
from torch.nn.functional import pad

from posmlp.layers.position import grid, offset_index

LEAST_SUM = 0.02  # sum of exp(scores) over a query's keys, relative to the largest such sum
LEAST_SCORE = -60.0  # relative to the best; see SCORE_RANGE in mixing.py
MAP_NUMBERS = 1 << 24  # elements of map rows held at once


def convolve(scores_SO: Tensor, v: Tensor, window: tuple[int, ...], softmax: bool) -> Tensor:
    """Mix (C, ..., N), equal to mixing with the map that `over_pairs` and the softmax produce."""
    height, width = grid(window)
    tables = scores_SO.unflatten(1, (2 * height - 1, 2 * width - 1))
    values = v.to(tables.dtype).reshape(len(tables), -1, height, width)
    if not softmax:
        return Correlation.apply(tables, values).reshape(v.shape).to(v.dtype)
    best = tables.detach().amax((1, 2), keepdim=True)
    tables = (tables - best).clamp(min=LEAST_SCORE).exp()
    sums_SN = Correlation.apply(tables, torch.ones_like(values[:, :1])).flatten(1)
    lost_SN = sums_SN < LEAST_SUM * sums_SN.detach().amax(1, keepdim=True)
    mixed_SRN = Correlation.apply(tables, values).flatten(2)
    mixed_SRN = mixed_SRN / sums_SN.masked_fill(lost_SN, 1.0)[:, None]
    if lost_SN.any():
        mixed_SRN = with_rows(mixed_SRN, scores_SO, values.flatten(2), window, lost_SN)
    return mixed_SRN.reshape(v.shape).to(v.dtype)


def with_rows(
    mixed_SRN: Tensor,
    scores_SO: Tensor,
    values_SRN: Tensor,
    window: tuple[int, ...],
    lost_SN: Tensor,
) -> Tensor:
    """Mix the lost queries with their rows of the map, a few rows at a time."""
    index_NN = offset_index(window).to(scores_SO.device)
    groups = []
    for mixed, scores, values, lost in zip(mixed_SRN, scores_SO, values_SRN, lost_SN, strict=True):
        for queries in lost.nonzero()[:, 0].split(max(1, MAP_NUMBERS // len(lost))):
            rows = scores[index_NN[queries]].softmax(-1)
            mixed = mixed.index_copy(1, queries, values @ rows.mT)
        groups.append(mixed)
    return torch.stack(groups)


class Correlation(torch.autograd.Function):
    """Sum over keys of table[key - query] value[key]: tables (S, 2h-1, 2w-1), values (S, R, h, w).

    Computed as a convolution with the flipped table; only the h x w places from (h - 1, w - 1) on
    are needed, so the others may wrap around. The backward pass reuses the forward transforms.
    """

    @staticmethod
    def forward(ctx, tables: Tensor, values: Tensor) -> Tensor:
        ctx.size = height, width = values.shape[-2:]
        ctx.length = fast_length(height), fast_length(width)
        table_f = spectrum(tables.flip(1, 2), ctx.length)[:, None]
        values_f = spectrum(values, ctx.length)
        ctx.save_for_backward(table_f, values_f)
        return places(table_f * values_f, ctx.length, (height - 1, width - 1), ctx.size)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        table_f, values_f = ctx.saved_tensors
        height, width = ctx.size
        grad_f = spectrum(pad(grad, (width - 1, 0, height - 1, 0)), ctx.length)
        to_tables = to_values = None
        if ctx.needs_input_grad[0]:
            sum_f = (grad_f * values_f.conj()).sum(1)
            size = (2 * height - 1, 2 * width - 1)
            to_tables = places(sum_f, ctx.length, (0, 0), size).flip(1, 2)
        if ctx.needs_input_grad[1]:
            to_values = places(grad_f * table_f.conj(), ctx.length, (0, 0), ctx.size)
        return to_tables, to_values


def spectrum(values: Tensor, length: tuple[int, int]) -> Tensor:
    """Transform (..., h, w) as rfft2 does, zero-padded to `length`, with the axes exchanged.

    Transforming along a contiguous axis and skipping padded rows takes half of rfft2's time.
    """
    return fft(rfft(values, n=length[1]).mT.contiguous(), n=length[0])


def places(
    values_f: Tensor, length: tuple[int, int], start: tuple[int, int], size: tuple[int, int]
) -> Tensor:
    """Invert `spectrum`, for the places from `start` on only."""
    columns = ifft(values_f, n=length[0])[..., start[0] : start[0] + size[0]]
    return irfft(columns.mT.contiguous(), n=length[1])[..., start[1] : start[1] + size[1]]


def fast_length(length: int) -> int:
    """Find the smallest multiple of 16 with prime factors up to 7 that is at least 2 length - 1."""
    size = 16 * math.ceil((2 * length - 1) / 16)
    while math.gcd(size, 2**16 * 3**4 * 5**4 * 7**4) < size:
        size += 16
    return size
