"""Mixing as a correlation, for large windows: time N log N and memory N instead of N squared.

A positional map depends on nothing but the offset of two tokens. Mixing is a correlation with the
table of scores, or with a softmax the ratio of two: of exp(scores) with the tokens, and with ones.
A transform is exact to a part of its largest value, so the ratio loses digits where all keys of a
query score far below the best offset, as near a border that the centre points beyond. Such queries
are given their rows of the map.

Shape letters: S channel groups, O offsets, R rows of a group (its channels, in all windows), N
tokens, h and w rows and columns of the window.
"""

import torch
from torch import Tensor
from torch.fft import irfft2, rfft2

from posmlp.layers.position import offset_index

LEAST_SUM = 0.02  # of exp(scores) over a query's keys, in parts of the largest such sum
LEAST_SCORE = -60.0  # below the best; see SCORE_RANGE in mixing.py
MAP_NUMBERS = 1 << 24  # of rows that are held at once


def convolve(scores_SO: Tensor, v: Tensor, window: tuple[int, ...], softmax: bool) -> Tensor:
    """Mix (C, ..., N) as the map would that `over_pairs`, and the softmax, make of the scores."""
    height, width = (1, *window)[-2:]
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
    """Mix for the lost queries with their rows of the map, some rows at a time."""
    index_NN = offset_index(window).to(scores_SO.device)
    groups = []
    for mixed, scores, values, lost in zip(mixed_SRN, scores_SO, values_SRN, lost_SN, strict=True):
        for queries in lost.nonzero()[:, 0].split(max(1, MAP_NUMBERS // len(lost))):
            rows = scores[index_NN[queries]].softmax(-1)
            mixed = mixed.index_copy(1, queries, values @ rows.mT)
        groups.append(mixed)
    return torch.stack(groups)


class Correlation(torch.autograd.Function):
    """Sum over keys of table[key - query] value[key], for tables (S, 2h-1, 2w-1), values (S, R, h, w).

    The transforms of the forward pass serve the backward pass too.
    """

    @staticmethod
    def forward(ctx, tables: Tensor, values: Tensor) -> Tensor:
        height, width = values.shape[-2:]
        ctx.size, ctx.length = (height, width), (fast_length(height), fast_length(width))
        table_f = rfft2(tables.flip(1, 2), s=ctx.length)[:, None]
        values_f = rfft2(values, s=ctx.length)
        ctx.save_for_backward(table_f, values_f)
        # Place l - 1 + query of the convolution with the flipped table; what wraps around is below.
        return irfft2(table_f * values_f, s=ctx.length)[
            ..., height - 1 : 2 * height - 1, width - 1 : 2 * width - 1
        ]

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        table_f, values_f = ctx.saved_tensors
        height, width = ctx.size
        # At its place in the convolution, as a shift of phase cannot be had for less.
        placed = torch.nn.functional.pad(grad, (width - 1, 0, height - 1, 0))
        grad_f = rfft2(placed, s=ctx.length)
        to_tables = to_values = None
        if ctx.needs_input_grad[0]:
            product_f = (grad_f * values_f.conj()).sum(1)
            to_tables = irfft2(product_f, s=ctx.length)[:, : 2 * height - 1, : 2 * width - 1]
            to_tables = to_tables.flip(1, 2)
        if ctx.needs_input_grad[1]:
            to_values = irfft2(grad_f * table_f.conj(), s=ctx.length)[..., :height, :width]
        return to_tables, to_values


def fast_length(length: int) -> int:
    """Return the least even length of at least 2 length - 1 that has no factor above 5."""
    size = 2 * length
    while True:
        rest = size
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return size
        size += 2
