"""Accuracy against parameters."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, NullLocator

from posmlp.analysis.figures.content import on_axis
from posmlp.analysis.figures.labels import name_marks
from posmlp.analysis.figures.marks import (
    MARGIN,
    add_caption,
    bar_caption,
    bar_range,
    format_positive_axis,
    legend_handles,
)
from posmlp.analysis.figures.style import ONE_COLUMN, TWO_COLUMNS, figure_style, gate_look
from posmlp.analysis.figures.svg import show_on_hover
from posmlp.analysis.tables import number, plus_minus, shorten

MOST_IN_ONE_COLUMN = 8  # variants
LONGEST_NAME = 20
MOST_BELOW = 3  # outliers named in the caption
FRONT_COLOUR = "#aaaaaa"
SAME_REST = 0.05  # of the largest: parameters beside token mixing that count as equal
FAR = 3  # interquartile ranges below the lower quartile: an outlier
ERROR_RATIO = 10  # between the axis' ends, above which it is logarithmic
LEAST_ERROR = 0.05  # per cent; smaller errors are drawn as this
LOG_TICKS = (0, 50, 80, 90, 95, 98, 99, 99.5, 99.8, 99.9)


@figure_style()
def accuracy_vs_params(summary: pd.DataFrame) -> Figure:
    """Draw top-1 with its interval against parameters, and the Pareto front of the means.

    Counts only the parameters that mix tokens where networks differ in nothing else. Outliers that
    would squeeze the axis are named in the caption instead. The reference and the variants on the
    front are named first, the others as room allows.
    """
    # Accuracies on other images, such as a fraction of the training set, are not comparable.
    elsewhere = summary["other_settings"].str.contains(r"(?:^|; )data\.", regex=True)
    num_elsewhere = elsewhere.sum()
    summary = summary[~elsewhere & summary["test_top1_mean"].notna()]
    far = is_far_below(summary["test_top1_mean"]) & (summary["variant"] != summary["reference"])
    outliers = summary[far]
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
    add_caption(
        figure,
        bar_caption(summary),
        "Larger marks: more groups (s)." if summary["groups"].nunique() > 1 else "",
        "Grey: Pareto front of the means.",
        f"Below the axis: {listed(outliers)}." if len(outliers) else "",
        f"Not shown: {num_elsewhere} on other data (see the table)." if num_elsewhere else "",
    )
    name_variants(axes, summary, front)
    return figure


def is_far_below(means: pd.Series) -> pd.Series:
    low, high = means.quantile([0.25, 0.75])
    return means < low - FAR * (high - low)


def listed(outliers: pd.DataFrame) -> str:
    """The first outliers with their accuracies, and the number of the others."""
    named = outliers["variant"] + outliers["test_top1_mean"].map(" ({:.1f}%)".format)
    num_others = len(outliers) - MOST_BELOW
    return ", ".join(named[:MOST_BELOW]) + (f" and {num_others} more" if num_others > 0 else "")


def with_sizes(summary: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Add `size`, the parameters in which variants differ, and give the axis label for it."""
    rest = summary["params"] - summary["token_mixing_params"]
    if np.ptp(rest) > SAME_REST * rest.max() or summary["token_mixing_params"].min() < 1:
        return summary.assign(size=summary["params"]), "parameters of the network"
    label = f"parameters that mix tokens (others: {EngFormatter(places=1, sep='')(rest.median())})"
    return summary.assign(size=summary["token_mixing_params"]), label


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
    """Which variants are beaten by no other, with fewer parameters or a higher accuracy."""
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
    name_marks(axes, points_L2, names, colours, sizes.to_numpy(), front)


def format_accuracy_axis(axes: Axes, low: float, high: float, label: str) -> None:
    """Show accuracies in per cent from low to high along y.

    One failed variant would press all others against the top. The logarithm of the error keeps
    both in sight, and halving the error is the same step everywhere.
    """
    if 100 - low <= ERROR_RATIO * max(100 - high, LEAST_ERROR):
        margin = MARGIN * (high - low) or 1.0
        axes.set(ylim=(low - margin, high + margin), ylabel=label)
        return
    axes.set_yscale("function", functions=(log_error, accuracy))
    bottom, top = log_error(np.array([low, high]))
    margin = MARGIN * (top - bottom)
    bottom, top = accuracy(np.array([bottom - margin, top + margin]))
    bottom = max(bottom, 0)
    ticks = [tick for tick in LOG_TICKS if bottom <= tick <= top]
    axes.set_yticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set(ylim=(bottom, top), ylabel=f"{label}, log error")


def log_error(accuracies: np.ndarray) -> np.ndarray:
    """Minus the decimal logarithm of the error in per cent: higher is better."""
    return -np.log10(np.maximum(100 - accuracies, LEAST_ERROR))


def accuracy(log_errors: np.ndarray) -> np.ndarray:
    """Inverse of log_error."""
    return 100 - 10**-log_errors
