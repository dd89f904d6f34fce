"""Accuracy against parameters."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter

from posmlp.analysis.figures.content import on_axis
from posmlp.analysis.figures.labels import name_marks
from posmlp.analysis.figures.marks import (
    add_caption,
    bar_caption,
    bar_range,
    format_accuracy_axis,
    format_positive_axis,
    legend_handles,
    on_same_data,
)
from posmlp.analysis.figures.style import ONE_COLUMN, TWO_COLUMNS, figure_style, gate_look
from posmlp.analysis.figures.svg import show_on_hover
from posmlp.analysis.tables import number, plus_minus, shorten

MOST_IN_ONE_COLUMN = 8  # variants
LONGEST_NAME = 20
FRONT_COLOUR = "#aaaaaa"
SAME_REST = 0.05  # of the largest: parameters beside token mixing that count as equal
FAR = 3  # times the middle half's spread below it: an outlier


@figure_style()
def accuracy_vs_params(summary: pd.DataFrame) -> Figure:
    """Draw top-1 with its interval against parameters, and the Pareto front of the means.

    Parameters are those that mix tokens where networks are equal apart from these.
    Outliers that would squeeze the axis are named in the caption instead. Of many variants the
    reference and those on the front are named first, the others as room allows.
    """
    summary, left_out = on_same_data(summary)
    summary = summary[summary["test_top1_mean"].notna()]
    far = is_far_below(summary["test_top1_mean"]) & (summary["variant"] != summary["reference"])
    below = [
        f"{row['variant']} ({row['test_top1_mean']:.1f}%)" for _, row in summary[far].iterrows()
    ]
    more = f" and {len(below) - 3} more" if len(below) > 3 else ""
    summary, label = with_sizes(summary[~far])
    wide = len(summary) > MOST_IN_ONE_COLUMN
    size = (TWO_COLUMNS, 4.2) if wide else (ONE_COLUMN, 3.6)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    handles = legend_handles(summary)
    figure.legend(handles=handles, loc="outside upper center", ncols=8 if wide else 3)
    front = draw_front(axes, summary)
    draw_variants(axes, summary)
    format_positive_axis(axes.xaxis, summary["size"], EngFormatter(sep=""))
    ends = bar_range(summary["test_top1_mean"], summary["test_top1_half_width"])
    format_accuracy_axis(axes, *ends, "top-1 accuracy (%)")
    axes.set_xlabel(label)
    caption = [
        bar_caption(summary),
        " Larger marks: more groups (s)." if summary["groups"].nunique() > 1 else "",
        " Grey: Pareto front of the means.",
        f" Below the axis: {', '.join(below[:3])}{more}." if below else "",
    ]
    add_caption(figure, "".join(caption) + left_out)
    name_variants(axes, summary, front)
    return figure


def with_sizes(summary: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Add `size`, the parameters that variants differ in, and what to call them."""
    rest = summary["params"] - summary["token_mixing_params"]
    if np.ptp(rest) > SAME_REST * rest.max() or summary["token_mixing_params"].min() < 1:
        return summary.assign(size=summary["params"]), "parameters of the network"
    label = f"parameters that mix tokens (others: {EngFormatter(places=1, sep='')(rest.median())})"
    return summary.assign(size=summary["token_mixing_params"]), label


def is_far_below(means: pd.Series) -> pd.Series:
    """Which means lie FAR interquartile ranges below the lower quartile."""
    low, high = means.quantile([0.25, 0.75])
    return means < low - FAR * (high - low)


def draw_variants(axes: Axes, summary: pd.DataFrame) -> None:
    """Draw a mark with error bar per variant, hollow where other settings differ."""
    for _, row in summary.iterrows():
        look = gate_look(row["gate"])
        bar = axes.errorbar(
            row["size"],
            row["test_top1_mean"],
            yerr=row["test_top1_half_width"],
            label=row["variant"],
            **look.marked(mark_size(row["groups"])),
            linestyle="",
            ecolor=(look.colour, 0.6),
            markerfacecolor="white" if row["other_settings"] else look.colour,
            markeredgewidth=0.8,
            elinewidth=0.6,
        )
        accuracy = plus_minus(row["test_top1_mean"], row["test_top1_half_width"])
        parameters = f"{number(row['params'])} parameters"
        show_on_hover(bar.get_children(), f"{row['variant']}: {accuracy} %, {parameters}")
    axes.margins(x=0.07)


def mark_size(groups: str) -> float:
    """Diameter in points of a mark for so many groups, "8,16" where stages differ."""
    return 3.5 + 0.7 * np.log2(on_axis([int(num) for num in (groups or "1").split(",")]))


def draw_front(axes: Axes, summary: pd.DataFrame) -> Line2D:
    """Draw the Pareto front as steps through the variants on it."""
    front = summary[on_front(summary["size"], summary["test_top1_mean"])].sort_values("size")
    x = np.repeat([*front["size"], summary["size"].max()], 2)[1:]
    y = np.repeat([*front["test_top1_mean"], front["test_top1_mean"].max()], 2)[:-1]
    (line,) = axes.plot(x, y, color=FRONT_COLOUR, label="_front", zorder=0.5)
    return line


def on_front(sizes: pd.Series, accuracies: pd.Series) -> pd.Series:
    """Which variants no other beats: none is as accurate with fewer parameters, nor better with
    as many."""
    beaten = [
        ((sizes <= s) & (accuracies > a) | (sizes < s) & (accuracies >= a)).any()
        for s, a in zip(sizes, accuracies, strict=True)
    ]
    return ~pd.Series(beaten, sizes.index, dtype=bool)


def name_variants(axes: Axes, summary: pd.DataFrame, front: Line2D) -> None:
    """Name the variants: the reference, then those on the front, then the others."""
    is_reference = summary["variant"] == summary["reference"]
    rank = 2 * ~is_reference - on_front(summary["size"], summary["test_top1_mean"])
    summary = summary.assign(rank=rank).sort_values("rank", kind="stable")
    looks = summary["gate"].map(gate_look)
    sizes = summary["groups"].map(mark_size) * looks.map(lambda look: look.scale)
    points_L2 = summary[["size", "test_top1_mean"]].to_numpy(float)
    colours = [look.colour for look in looks]
    # Colour and mark show the gating unit.
    pairs = zip(summary["variant"], summary["gate"], strict=True)
    names = shorten((name.removeprefix(f"{gate}_") for name, gate in pairs), LONGEST_NAME)
    name_marks(axes, points_L2, names, colours, sizes.to_numpy(), [front])
