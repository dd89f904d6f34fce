"""The width of each channel group's context by layer, a panel per variant."""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from posmlp.analysis.figures.marks import add_caption, nothing_to_show
from posmlp.analysis.figures.style import ONE_COLUMN, TWO_COLUMNS, figure_style, gate_look
from posmlp.analysis.tables import shorten

MAX_COLUMNS = 4
MOST_PANELS = 12
LONGEST_NAME = 20
CAPTION = (
    "A dot per channel group. Granularity: standard deviation per axis, in tokens, of the key "
    "that the central query attends to, keys weighted by normalised |weight|; first seed. Solid "
    "line: mean at the start; dashed: equal weights on all keys."
)


@figure_style()
def granularity(granularities: pd.DataFrame, summary: pd.DataFrame) -> Figure:
    """Draw the granularity of every group by layer (see posmlp.analysis.granularity).

    Shows the first seed of each variant; if there are more than MOST_PANELS variants, only those
    that differ from the reference in nothing but their unit.
    """
    granularities = granularities[granularities["seed"] == granularities["seed"].min()]
    measured = summary[summary["variant"].isin(granularities["variant"])]
    if measured.empty:
        return nothing_to_show("No variant here has layers that mix tokens.")
    plain = measured[measured["other_settings"] == ""]
    shown = (plain if len(measured) > MOST_PANELS and len(plain) else measured)[:MOST_PANELS]
    num_rows = math.ceil(len(shown) / MAX_COLUMNS)
    num_columns = math.ceil(len(shown) / num_rows)
    width = TWO_COLUMNS if num_columns > 2 else ONE_COLUMN
    figure = Figure(figsize=(width, 0.9 + 1.35 * num_rows), layout="constrained")
    grid = figure.subplots(num_rows, num_columns, sharex=True, sharey=True, squeeze=False)
    names = shorten(shown["variant"], LONGEST_NAME)
    for axes, name, (_, row) in zip(grid.flat, names, shown.iterrows(), strict=False):
        rows = granularities[granularities["variant"] == row["variant"]]
        draw_variant(axes, rows, gate_look(row["gate"]).colour)
        axes.set_title(name, pad=3)
        axes.tick_params(labelbottom=True)
    for axes in grid.flat[len(shown) :]:
        axes.set_axis_off()
    grid[0, 0].set_ylim(bottom=0)
    for axes in grid.flat[max(0, len(shown) - num_columns) : len(shown)]:
        axes.set_xlabel("layer")
    for axes in grid[:, 0]:
        axes.set_ylabel("granularity (tokens)")
    num_others = len(measured) - len(shown)
    add_caption(figure, CAPTION, f"Not shown: {num_others} more." if num_others else "")
    return figure


def draw_variant(axes: Axes, rows: pd.DataFrame, colour: str) -> None:
    """Draw a dot per group, spread within its layer, and the two levels to compare with."""
    layers = rows.drop_duplicates("layer")
    counts = rows.groupby("layer")["group"].transform("max")
    aside = 0.6 * ((rows["group"] - 0.5) / counts - 0.5)
    edges = np.append(layers["layer"] - 0.5, layers["layer"].max() + 0.5)
    axes.stairs(layers["uniform"], edges, color="#999999", linestyle="--", baseline=None)
    axes.stairs(rows.groupby("layer")["initial"].mean(), edges, color="#999999", baseline=None)
    axes.plot(rows["layer"] + aside, rows["granularity"], "o", color=colour, markersize=2)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
