"""How much the contexts of a layer's groups differ in width, from granularity.csv.

The ratio of a layer's widest to its narrowest context is 1 where all groups see alike; the paper's
"multi-granular contexts" are a larger one. Groups start as random draws and differ a little, so
untrained networks are there to compare with.
"""

import numpy as np
import pandas as pd

from posmlp.analysis.tables import Column, Table, plus_minus


def contexts(granularities: pd.DataFrame) -> pd.DataFrame:
    """Summarise the groups' granularities of each variant that has several groups in a layer.

    Args:
        granularities: of posmlp.analysis.granularity, one row a seed, layer and group.

    Returns:
        variant, n (seeds); narrowest and widest group of a layer in tokens, mean over layers and
        seeds; the ratio of the two, a geometric mean over layers, and initial_ratio, that at the
        start: means over seeds with ratio_std and initial_ratio_std (ddof 1).
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
    """The summary as a table."""
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
