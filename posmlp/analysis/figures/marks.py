"""What the figures of a study share: marks and lines of variants, legends, captions."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from posmlp.analysis.figures.style import ONE_COLUMN, gate_look, in_gate_order
from posmlp.analysis.statistics import LEVEL


def on_same_data(summary: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return the variants trained and tested on the reference's images, and a note on the others.

    Accuracies on other images, such as a share of the data set, do not belong on one axis.
    """
    same = ~summary["other_settings"].str.contains(r"(?:^|; )data\.", regex=True)
    num_others = int((~same).sum())
    note = f" Not shown: {num_others} on other data (see the table)." if num_others else ""
    return summary[same], note


def draw_variants(axes: Axes, x: pd.Series, summary: pd.DataFrame) -> None:
    """Draw a mark with error bar per variant, hollow where another setting differs."""
    for position, (_, row) in zip(x, summary.iterrows(), strict=True):
        look = gate_look(row["gate"])
        axes.errorbar(
            position,
            row["mean"],
            yerr=row["half_width"],
            label=row["variant"],
            fmt=look.mark,
            markersize=mark_size(row["groups"]) * look.scale,
            color=look.colour,
            ecolor=(look.colour, 0.6),
            markerfacecolor="white" if row["other_settings"] else look.colour,
            markeredgewidth=0.8,
            elinewidth=0.6,
        )
    axes.margins(x=0.07)


def draw_with_bars(
    axes: Axes, x: pd.Series | list[float], rows: pd.DataFrame, linestyle: str
) -> None:
    """Draw the variants of one gating unit as a line with marks and error bars."""
    gate = rows["gate"].iloc[0]
    look = gate_look(gate)
    axes.errorbar(
        x,
        rows["mean"],
        yerr=rows["half_width"],
        label=gate_label(gate),
        linestyle=linestyle,
        color=look.colour,
        marker=look.mark,
        markersize=4 * look.scale,
        ecolor=(look.colour, 0.6),
        elinewidth=0.8,
    )


def bar_range(summary: pd.DataFrame) -> tuple[float, float]:
    """Return from where to where error bars reach; no higher than half the least error, nor 0.

    Accuracies end at 100, t intervals do not.
    """
    half_widths = summary["half_width"].fillna(0)
    low, high = summary["mean"] - half_widths, summary["mean"] + half_widths
    return max(low.min(), 0), min(high.max(), (summary["mean"].max() + 100) / 2)


def num_groups(groups: str) -> float:
    """Return the number of groups as an axis position: the geometric mean where stages differ.

    A variant that names no groups counts as one.
    """
    return float(np.exp(np.mean([np.log(int(g)) for g in (groups or "1").split(",")])))


def mark_size(groups: str) -> float:
    """Return the diameter of a variant's mark in points."""
    return 3.5 + 0.7 * np.log2(num_groups(groups))


def side_by_side(params: pd.Series) -> pd.Series:
    """Move equal numbers apart by a mark's width on a logarithmic axis."""
    step = (params.max() / params.min()) ** 0.02
    equal = params.groupby(params)
    return params * step ** (equal.cumcount() - (equal.transform("size") - 1) / 2)


def short_names(summary: pd.DataFrame) -> list[str]:
    """Return variant names without the gating unit that colour and mark already show."""
    pairs = zip(summary["variant"], summary["gate"], strict=True)
    return [variant.removeprefix(f"{gate}_") for variant, gate in pairs]


def gate_label(gate: str) -> str:
    """Return what a legend calls a gating unit; networks of other origin name none."""
    return gate or "no gate named"


def legend_handles(summary: pd.DataFrame) -> list[Line2D]:
    """Return a mark per gating unit and, where some are hollow, one that says why."""
    handles = []
    for gate in in_gate_order(summary["gate"]):
        look = gate_look(gate)
        mark = {"marker": look.mark, "markersize": 5 * look.scale, "color": look.colour}
        handles.append(Line2D([], [], linestyle="", label=gate_label(gate), **mark))
    if summary["other_settings"].ne("").any():
        mark = {"marker": "o", "markersize": 5, "color": "#555555", "markerfacecolor": "white"}
        handles.append(Line2D([], [], linestyle="", label="another setting differs too", **mark))
    return handles


def bar_caption(summary: pd.DataFrame) -> str:
    """Return what the error bars are, and over how many seeds."""
    fewest, most = summary["n"].min(), summary["n"].max()
    if most == 1:
        return "One seed each, so no intervals."
    seeds = most if fewest == most else f"{fewest} to {most}"
    return f"Bars: Student-t {LEVEL:.0%} interval of the mean over {seeds} seeds."


def add_caption(figure: Figure, text: str, width: float) -> None:
    """Write what bars and bands mean under the figure, wrapped to its width in inches."""
    figure.supxlabel("\n".join(textwrap.wrap(text, int(width * 18))), color="#555555")


def nothing_to_show(why: str) -> Figure:
    """Return a figure that says why it is empty: a study may lack what a figure is about."""
    figure = Figure(figsize=(ONE_COLUMN, 0.5))
    figure.text(0.5, 0.5, why, ha="center", va="center", color="#555555")
    return figure
