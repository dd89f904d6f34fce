"""Positional encodings: a score for every relative offset between two tokens of a window.

Paper: "Parameterization of Cross-Token Relations with Relative Positional Encoding for Vision
MLP", arXiv 2207.07284. An encoding is a small module with `scores()`: one row per channel group,
one column per offset. A window of h x w tokens has (2h-1)(2w-1) offsets, a sequence of n tokens
2n-1. Every encoding works for both; a window is a tuple of one or two lengths.

Shape letters:
    S channel groups (the paper's s, the released code's gamma)
    D dimensions of the window: 2 for images (rows, columns), 1 for sequences
    O relative offsets, key minus query, in row-major order
    N tokens of the window (M for queries where they must be distinguished from keys)
"""

import math

import torch
from torch import Tensor, fx, nn

INIT_STD = 0.01  # initial noise on centre and spread, posmlp2D.py:22 (att_std)


def offset_grid(window: tuple[int, ...]) -> Tensor:
    """All offsets of a window, float (O, D): rows downwards, columns to the right."""
    axes = [torch.arange(1 - length, length, dtype=torch.float32) for length in window]
    return torch.cartesian_prod(*axes).reshape(-1, len(window))


def offset_index(window: tuple[int, ...]) -> Tensor:
    """The column of `scores()` for query m and key n, integers (N, N)."""
    axes = [torch.arange(length) for length in window]
    tokens_ND = torch.cartesian_prod(*axes).reshape(-1, len(window))
    offsets_NND = tokens_ND[None, :] - tokens_ND[:, None]
    index_NN = torch.zeros(offsets_NND.shape[:2], dtype=torch.long)
    for axis, length in enumerate(window):
        index_NN = index_NN * (2 * length - 1) + offsets_NND[..., axis] + length - 1
    return index_NN


def over_pairs(scores_SO: Tensor, size: tuple[int, int]) -> Tensor:
    """Expand scores to all pairs of query m and key n, (S, N, N); see `offset_index`.

    Along each axis the keys of a query are a slice of the offsets, which moves back by one from
    query to query. Slices, and their sums in the backward pass, are much faster than look-ups.

    Args:
        size: rows and columns of the window, see `grid`.
    """
    height, width = size
    table_SOO = scores_SO.unflatten(1, (2 * height - 1, 2 * width - 1))
    slices = table_SOO.unfold(1, height, 1).unfold(2, width, 1)  # (S, h, w, h, w), last query first
    return slices.reshape(-1, height * width, height * width).flip(1)


@fx.wrap
def at_least_float32(x: Tensor) -> Tensor:
    """Convert to float32 unless x is float64; squares of offsets are inexact in bfloat16."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class LRPE(nn.Module):
    """Learnable relative positional encoding: a free score per group and offset, O(N) parameters.

    Figure (b) of the paper; posmlp2D.py:115-177. The table is initialised from a truncated normal
    of 0.02, as the released code intends (its initialisation never runs, so it starts at zero).
    """

    softmax = False  # whether the map is normalised over keys by default

    def __init__(self, window: tuple[int, ...], groups: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(groups, *(2 * length - 1 for length in window)))
        self.init_weights()

    def init_weights(self) -> None:
        nn.init.trunc_normal_(self.table, std=0.02)

    def scores(self) -> Tensor:
        return self.table.flatten(1)


class Quadratic(nn.Module):
    """Score of an offset d as a quadratic form around a learnable centre, O(1) parameters.

    score(d) = d' P (centre - d/2), which is -1/2 (d - centre)' P (d - centre) up to a constant
    that the softmax over keys removes (paper's figure (c), released posmlp2D.py:67-102). A
    subclass defines `spread_shape`, and the precision matrix P (S, D, D) that `spread` stands for.

    Args:
        psd: make P positive semi-definite by construction; without it `spread` is used raw.
        center_init: standard deviation of the initial centres, in tokens. In the released code all
            groups start centred on the query.
        spread_init: factor on the identity as initial spread. With softmax and psd each map then is
            a Gaussian with a width of 1 / spread_init tokens.
    """

    softmax = True

    def __init__(
        self,
        window: tuple[int, ...],
        groups: int,
        psd: bool = True,
        center_init: float = INIT_STD,
        spread_init: float = 1.0,
    ) -> None:
        super().__init__()
        self.psd, self.center_init, self.spread_init = psd, center_init, spread_init
        self.center = nn.Parameter(torch.empty(groups, len(window)))  # in tokens: down, right
        self.spread = nn.Parameter(torch.empty(groups, *self.spread_shape(len(window))))
        self.register_buffer("offsets_OD", offset_grid(window), persistent=False)
        self.init_weights()

    def init_weights(self) -> None:
        nn.init.normal_(self.center, std=self.center_init)
        nn.init.normal_(self.spread, std=INIT_STD)
        with torch.no_grad():
            self.spread += self.spread_init * self.unit_spread()

    def scores(self) -> Tensor:
        # Linear in P centre and in P: one product with d and with -dd'/2.
        precision_SDD = at_least_float32(self.precision())
        pull_SD1 = precision_SDD @ at_least_float32(self.center)[..., None]
        offsets_DO = at_least_float32(self.offsets_OD).mT
        factors_EO = torch.cat([torch.ones_like(offsets_DO[:1]), offsets_DO / -2])  # E = 1 + D
        features_DEO = offsets_DO[:, None] * factors_EO
        return torch.cat([pull_SD1, precision_SDD], -1).flatten(1) @ features_DEO.flatten(0, 1)


class QPE(Quadratic):
    """Quadratic positional encoding: isotropic, a centre and one width per group (3 parameters).

    Cordonnier et al., ICLR 2020, eq. 9: P = a I with a = spread**2. The released code multiplies
    only the centre by a, so its width cannot change (posmlp2D.py:89-91).
    """

    @staticmethod
    def spread_shape(num_dims: int) -> tuple[int, ...]:
        return ()

    def unit_spread(self) -> Tensor:
        return torch.ones_like(self.spread)

    def precision(self) -> Tensor:
        width_S = self.spread.square() if self.psd else self.spread
        return torch.diag_embed(width_S[:, None].expand(-1, self.center.shape[1]))


class GQPE(Quadratic):
    """Generalised quadratic positional encoding: a centre and a D x D spread (6 parameters in 2-D).

    P = spread spread' (paper's Sigma^-1; released `symmetric=True`, posmlp2D.py:73-76), or the
    raw matrix without `psd`.
    """

    @staticmethod
    def spread_shape(num_dims: int) -> tuple[int, ...]:
        return (num_dims, num_dims)

    def unit_spread(self) -> Tensor:
        return torch.eye(self.spread.shape[-1], device=self.spread.device).expand_as(self.spread)

    def precision(self) -> Tensor:
        return self.spread @ self.spread.mT if self.psd else self.spread


def num_tokens(window: tuple[int, ...]) -> int:
    """Number of tokens of a window, N."""
    return math.prod(window)


def grid(window: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns of a window; a sequence is a single row."""
    return (1, *window)[-2:]
