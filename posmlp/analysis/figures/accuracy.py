"""Accuracy against parameters: of the whole network, and of its token-mixing layers."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from posmlp.analysis.figures.labels import place_labels
from posmlp.analysis.figures.marks import (
    add_caption,
    bar_caption,
    bar_range,
    draw_variants,
    legend_handles,
    mark_size,
    nothing_to_show,
    on_same_data,
    short_names,
    side_by_side,
)
from posmlp.analysis.figures.scales import format_accuracy_axis, format_count_axis
from posmlp.analysis.figures.style import (
    GROWTH_ORDER,
    ONE_COLUMN,
    TWO_COLUMNS,
    figure_style,
    gate_look,
)

MOST_LABELS = 16  # that one column has room for
FRONT_COLOUR = "#aaaaaa"


@figure_style()
def accuracy_vs_params(summary: pd.DataFrame) -> Figure:
    """Draw top-1 with its t interval against all parameters, and the Pareto front of the means."""
    summary, left_out = on_same_data(summary)
    figure, axes = labelled_axes(summary)
    x = summary["params"]
    draw_front(axes, summary)
    finish(axes, x, summary, "parameters of the network")
    front = " Grey: Pareto front, the best mean with at most so many parameters."
    caption = f"{bar_caption(summary)} Larger marks: more groups (s).{front}{left_out}"
    add_caption(figure, caption, figure.get_size_inches()[0])
    label_variants(axes, x, summary)
    return figure


@figure_style()
def accuracy_vs_mixing(summary: pd.DataFrame) -> Figure:
    """Draw top-1 with its t interval against the parameters that mix tokens, on a log axis.

    A bracket spans the units whose map grows alike with the number of tokens N. Variants of equal
    size stand side by side; networks of other origin, which have none of these layers, are absent.
    """
    summary, left_out = on_same_data(summary)
    summary = summary[summary["token_mixing_params"] > 0]
    if summary.empty:
        return nothing_to_show("No variant here has layers that mix tokens.")
    figure, axes = labelled_axes(summary)
    x = side_by_side(summary["token_mixing_params"])
    finish(axes, x, summary, "parameters of all token-mixing layers", log=True)
    draw_growth(axes, x, summary)
    growth = " Brackets: growth of a map with N tokens, bias (N) aside."
    caption = f"{bar_caption(summary)} Larger marks: more groups (s).{growth}{left_out}"
    add_caption(figure, caption, figure.get_size_inches()[0])
    label_variants(axes, x, summary)
    return figure


def labelled_axes(summary: pd.DataFrame) -> tuple[Figure, Axes]:
    """Return a figure of one column, or of two where the labels need them, and its axes."""
    wide = len(summary) > MOST_LABELS
    size = (TWO_COLUMNS, 4.4) if wide else (ONE_COLUMN, 3.4)
    figure = Figure(figsize=size, layout="constrained")
    columns = 8 if wide else 3
    handles = legend_handles(summary)
    figure.legend(handles=handles, loc="outside upper center", ncols=columns, columnspacing=1.2)
    return figure, figure.add_subplot()


def finish(
    axes: Axes, x: pd.Series, summary: pd.DataFrame, label: str, *, log: bool = False
) -> None:
    """Draw the marks and set both axes up."""
    draw_variants(axes, x, summary)
    format_count_axis(axes, x, log=log)
    format_accuracy_axis(axes, *bar_range(summary), "top-1 accuracy (%)")
    axes.set_xlabel(label)


def draw_front(axes: Axes, summary: pd.DataFrame) -> None:
    """Draw the Pareto front as steps through the variants on it."""
    front = summary[on_front(summary["params"], summary["mean"])].sort_values("params")
    x = [*front["params"], summary["params"].max()]
    y = [*front["mean"], front["mean"].max()]
    axes.plot(x, y, drawstyle="steps-post", color=FRONT_COLOUR, label="_front", zorder=0.5)


def on_front(params: pd.Series, accuracies: pd.Series) -> pd.Series:
    """Tell which variants no other beats: none is as accurate with fewer parameters, nor better
    with as many."""
    better = pd.DataFrame(
        {
            i: ((params <= params[i]) & (accuracies > accuracies[i]))
            | ((params < params[i]) & (accuracies >= accuracies[i]))
            for i in params.index
        }
    )
    return ~better.any()


def draw_growth(axes: Axes, x: pd.Series, summary: pd.DataFrame) -> None:
    """Bracket the variants of each growth with N, one row a growth, above the marks."""
    growths = summary["gate"].map(lambda gate: gate_look(gate).growth)
    rows = [growth for growth in GROWTH_ORDER if growth in set(growths)]
    for level, growth in enumerate(rows):
        inside = x[growths == growth]
        low, high = inside.min() / 1.08, inside.max() * 1.08
        y = 1.03 + 0.055 * level
        place = {"transform": axes.get_xaxis_transform(), "clip_on": False}
        axes.plot([low, high], [y, y], color="#555555", marker="|", markersize=4, **place)
        middle = np.sqrt(low * high)
        text = axes.text(middle, y + 0.008, f"O({growth})", ha="center", va="bottom", **place)
        text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.3})


def label_variants(axes: Axes, x: pd.Series, summary: pd.DataFrame) -> None:
    """Write the variants' names; call it last."""
    means_L1 = summary["mean"].to_numpy()[:, None]
    place_labels(
        axes,
        np.column_stack([x, means_L1]),
        short_names(summary),
        [gate_look(gate).colour for gate in summary["gate"]],
        [mark_size(groups) for groups in summary["groups"]],
        means_L1 + summary["half_width"].to_numpy()[:, None] * [-1, 1],
    )
