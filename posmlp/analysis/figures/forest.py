"""Differences in accuracy with intervals: a row per variant, against what it is compared with."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from posmlp.analysis.figures.marks import add_caption, legend_handles, nothing_to_show, shorten
from posmlp.analysis.figures.style import GREY, LINE, TWO_COLUMNS, figure_style, gate_look
from posmlp.analysis.statistics import CONFIDENCE

MOST_ROWS = 60
LONGEST_NAME = 19  # so that "variant − against" leaves half the width to the intervals
ROW = 1.15 * LINE
BAND_COLOUR = "#eeeeee"


@figure_style()
def forest(summary: pd.DataFrame, margin: float | None) -> Figure:
    """Draw each variant's difference in top-1 from what it is compared with, and its interval.

    Args:
        margin: of non-inferiority in points, drawn as a band; None: no band.
    """
    rows = summary[summary["test_top1_difference"].notna()]
    if rows.empty:
        return nothing_to_show("No variant here has been compared with another.")
    shown = rows[:MOST_ROWS]
    figure = Figure(figsize=(TWO_COLUMNS, 1.3 + ROW * len(shown)), layout="constrained")
    axes = figure.add_subplot()
    figure.legend(handles=legend_handles(shown), loc="outside upper center", ncols=8)
    if margin is not None:
        axes.axvspan(-margin, margin, color=BAND_COLOUR, zorder=0)
    axes.axvline(0, color=GREY, linewidth=0.6, zorder=0.5)
    for y, (_, row) in enumerate(shown.iterrows()):
        draw_row(axes, y, row)
    axes.set_yticks(range(len(shown)), labels=contrast_names(shown))
    axes.set(ylim=(len(shown) - 0.4, -0.6), xlabel="difference in top-1 accuracy (points)")
    right = axes.twinx()
    removed = [percentage(fraction) for fraction in shown["removed_fraction"]]
    right.set_yticks(range(len(shown)), labels=removed)
    right.set(ylim=axes.get_ylim(), ylabel="parameters removed")
    for side in (axes, right):
        side.grid(False, axis="y")
        side.tick_params(axis="y", length=0)
        side.spines["left"].set_visible(False)
    num_others = len(rows) - len(shown)
    caption = [
        f"Differences from {shown['reference'].iloc[0]} unless another variant is named.",
        f" Bars: {CONFIDENCE:.0%} intervals." if shown["n"].max() > 1 else " One seed each.",
        f" Band: margin of ±{margin:g} points." if margin is not None else "",
        " Parameters removed against the same variant; +: added.",
        f" Not shown: {num_others} more (see the table)." if num_others else "",
    ]
    add_caption(figure, "".join(caption))
    return figure


def draw_row(axes: Axes, y: int, row: pd.Series) -> None:
    """Draw one difference with its interval, hollow where other settings differ."""
    look = gate_look(row["gate"])
    axes.errorbar(
        row["test_top1_difference"],
        y,
        xerr=row["test_top1_difference_half_width"],
        fmt=look.mark,
        color=look.colour,
        markersize=4.5 * look.scale,
        markerfacecolor="white" if row["other_settings"] else look.colour,
        markeredgewidth=0.8,
        elinewidth=0.9,
        label=row["variant"],
    )


def contrast_names(rows: pd.DataFrame) -> list[str]:
    """Variant names, and what each is compared with unless that is the reference."""
    is_reference = rows["against"] == rows["reference"]
    longest = LONGEST_NAME * (2 if is_reference.all() else 1)
    pairs = zip(
        shorten(rows["variant"], longest),
        shorten(rows["against"], longest),
        is_reference,
        strict=True,
    )
    return [variant if plain else f"{variant} − {other}" for variant, other, plain in pairs]


def percentage(fraction: float) -> str:
    """Format a fraction removed, with a plus sign where it is added."""
    sign = "+" if fraction < -0.005 else ""
    return "" if np.isnan(fraction) else f"{sign}{abs(100 * fraction):.0f}%"
