"""Accuracy against parameters and against groups. style.save writes what the functions return."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from posmlp.analysis.labels import place_labels
from posmlp.analysis.scales import format_accuracy_axis, format_count_axis
from posmlp.analysis.statistics import LEVEL
from posmlp.analysis.style import (
    ONE_COLUMN,
    TWO_COLUMNS,
    figure_style,
    gate_look,
    in_gate_order,
)


@figure_style()
def accuracy_vs_params(summary: pd.DataFrame) -> Figure:
    """Draw top-1 with its t interval against all parameters and against those that mix tokens.

    The backbone hides the differences between gating units in the first panel; the second spreads
    them out and carries the labels. There, variants of equal size stand side by side.
    """
    summary, left_out = on_same_data(summary)
    figure = Figure(figsize=(TWO_COLUMNS, 4.4), layout="constrained")
    total, mixing = figure.subplots(1, 2, sharey=True, width_ratios=(1, 2.4))
    draw_variants(total, summary["params"], summary)
    format_count_axis(total, summary["params"])
    total.set_xlabel("parameters")
    format_accuracy_axis(total, *bar_range(summary), "top-1 accuracy (%)")
    mixers = summary[summary["token_mixing_params"] > 0]  # networks of other origin have none
    x = side_by_side(mixers["token_mixing_params"])
    draw_variants(mixing, x, mixers)
    format_count_axis(mixing, x)
    mixing.set(xlabel="parameters of all token-mixing layers")
    figure.legend(handles=legend_handles(summary), loc="outside upper center", ncols=8)
    add_caption(
        figure, f"{bar_caption(summary)} Larger marks: more groups (s).{left_out}", TWO_COLUMNS
    )
    means_L1 = mixers["mean"].to_numpy()[:, None]
    place_labels(
        mixing,
        np.column_stack([x, means_L1]),
        short_names(mixers),
        [gate_look(gate).colour for gate in mixers["gate"]],
        [mark_size(groups) for groups in mixers["groups"]],
        means_L1 + mixers["half_width"].to_numpy()[:, None] * [-1, 1],
    )
    return figure


@figure_style()
def accuracy_vs_groups(summary: pd.DataFrame) -> Figure:
    """Draw top-1 against the number of groups for variants without other changed settings.

    A gating unit with several group counts is a line; one with a single count is a horizontal line
    whose mark and interval stand at the right, beyond the largest count.
    """
    figure = Figure(figsize=(ONE_COLUMN, 2.9), layout="constrained")
    axes = figure.add_subplot()
    plain = summary[summary["other_settings"] == ""]
    plain = plain.assign(position=plain["groups"].map(num_groups)).sort_values("position")
    swept = plain[plain.groupby("gate")["position"].transform("nunique") > 1]
    ticks = swept.drop_duplicates("position")
    right = ticks["position"].max() if len(ticks) else 1.0
    step = (right / ticks["position"].min()) ** 0.02 if len(ticks) else 1.0
    gates = in_gate_order(swept["gate"])
    for i, gate in enumerate(gates):
        rows = swept[swept["gate"] == gate]
        x = rows["position"] * step ** (i - (len(gates) - 1) / 2)  # keeps error bars apart
        draw_with_bars(axes, x, rows, "-")
    for _, row in plain.drop(swept.index).iterrows():
        right *= max(step**4, 1.3)
        draw_with_bars(axes, [right], row.to_frame().T, "--")
        axes.axhline(
            row["mean"], color=gate_look(row["gate"]).colour, linestyle="--", linewidth=0.7
        )
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks["position"], labels=ticks["groups"])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("groups (s)")
    format_accuracy_axis(axes, *bar_range(plain), "top-1 accuracy (%)")
    figure.legend(loc="outside upper center", ncols=3, handlelength=2.6)
    dashed = "Dashed: units trained with one number of groups."
    add_caption(figure, f"{bar_caption(plain)} {dashed}", ONE_COLUMN)
    return figure


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
