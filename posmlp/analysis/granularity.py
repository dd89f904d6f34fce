"""Granularity: the width, in tokens, of the context of each channel group.

The paper claims multi-granular contexts for groups with a map each. Granularity measures them: it
is the standard deviation per axis of the position of the key that the central query attends to,

    sqrt( mean over axes of sum_k w_k (x_k - mean)^2 ),   mean = sum_k w_k x_k,

where w_k are |weights| normalised over keys. Deviations are from the mean key, not from the query:
a map that attends to a single distant token has granularity 0. A Gaussian of unit width has 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from posmlp.analysis.tables import Column, Table, plus_minus

if TYPE_CHECKING:  # tables of granularities need no torch
    from posmlp.analysis.learned import LearnedRun

DECIMALS = 9  # the rest depends on the processor
COLUMNS = ["variant", "seed", "layer", "group", "granularity", "initial", "uniform"]


def granularity(map_ShwHW: np.ndarray) -> np.ndarray:
    """Measure each group's map at its central query, (S,) in tokens."""
    h, w = map_ShwHW.shape[1:3]
    weights_SHW = np.abs(map_ShwHW[:, h // 2, w // 2].astype(np.float64))
    totals_S11 = weights_SHW.sum(axis=(1, 2), keepdims=True)
    weights_SHW = weights_SHW / np.where(totals_S11 > 0, totals_S11, np.nan)
    variances = []
    for axis, length in ((1, h), (2, w)):
        marginal_SL = weights_SHW.sum(axis=3 - axis)
        positions_L = np.arange(length)
        means_S1 = (marginal_SL @ positions_L)[:, None]
        variances.append((marginal_SL * (positions_L - means_S1) ** 2).sum(axis=1))
    return np.sqrt(np.mean(variances, axis=0))


def granularities(run: LearnedRun) -> pd.DataFrame:
    """Measure a run: one row of COLUMNS per layer and group, both counted from 1.

    `initial` is the same group's granularity in an untrained network, `uniform` that of equal
    weights on all keys.
    """
    rows, initial_maps = [], run.initial_maps
    for number, (name, layer) in enumerate(run.layers.items(), start=1):
        learned_S, initial_S = granularity(run.maps[name]), granularity(initial_maps[name])
        (uniform,) = granularity(np.ones((1, *layer.window, *layer.window)))
        for group, pair in enumerate(zip(learned_S, initial_S, strict=True), start=1):
            rows.append((run.variant, run.seed, number, group, *pair, uniform))
    return pd.DataFrame(rows, columns=COLUMNS).round(DECIMALS)


def contexts(granularities: pd.DataFrame) -> pd.DataFrame:
    """Summarise the granularities of each variant with several groups in a layer.

    Args:
        granularities: one row of COLUMNS per run, layer and group.

    Returns:
        variant, n (seeds); narrowest and widest: of the groups in a layer, in tokens, averaged over
        layers and seeds; ratio: widest to narrowest, a geometric mean over layers, averaged over
        seeds; initial_ratio: the same in untrained networks; and the standard deviations of both
        ratios over seeds, ratio_std and initial_ratio_std.
    """
    layers = granularities.groupby(["variant", "seed", "layer"], sort=False)
    widths = layers.agg(
        groups=("group", "size"),
        narrowest=("granularity", "min"),
        widest=("granularity", "max"),
        first_narrowest=("initial", "min"),
        first_widest=("initial", "max"),
    )
    widths = widths[widths["groups"] > 1]
    widths["ratio"] = np.log(widths["widest"] / widths["narrowest"])
    widths["initial_ratio"] = np.log(widths["first_widest"] / widths["first_narrowest"])
    runs = widths.groupby(["variant", "seed"], sort=False).mean()
    runs[["ratio", "initial_ratio"]] = np.exp(runs[["ratio", "initial_ratio"]])
    variants = runs.groupby("variant", sort=False)
    spread = variants[["ratio", "initial_ratio"]].std(ddof=1).add_suffix("_std")
    means = variants[["narrowest", "widest", "ratio", "initial_ratio"]].mean()
    return means.join(spread).assign(n=variants.size()).reset_index()


def contexts_table(granularities: pd.DataFrame) -> Table:
    columns = (
        Column("Variant", lambda row: row["variant"], align="left"),
        Column("n", lambda row: f"{row['n']}"),
        Column("Narrowest", lambda row: plus_minus(row["narrowest"])),
        Column(
            "Widest",
            lambda row: plus_minus(row["widest"]),
            "Narrowest, widest: granularity of a layer's groups in tokens (standard deviation per "
            "axis of the key that the central query attends to), mean over layers and n seeds",
        ),
        Column(
            "Ratio",
            lambda row: plus_minus(row["ratio"], row["ratio_std"]),
            "Ratio: widest to narrowest of a layer, geometric mean over layers, mean ± standard "
            "deviation over seeds",
        ),
        Column(
            "At the start",
            lambda row: plus_minus(row["initial_ratio"], row["initial_ratio_std"]),
            "At the start: the same ratio in untrained networks",
        ),
    )
    return Table("Contexts of groups", contexts(granularities), columns)
