"""Accuracy and loss against every number that a study sweeps: images, epochs, groups, rates."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from posmlp.analysis.figures.marks import (
    add_caption,
    bar_caption,
    gate_label,
    nothing_to_show,
    num_groups,
)
from posmlp.analysis.figures.style import (
    GREY,
    LINE,
    ONE_COLUMN,
    TWO_COLUMNS,
    figure_style,
    gate_look,
)
from posmlp.analysis.tables import shorten

MOST_SWEEPS = 3
GAP = "top-1, difference (points)"
PANELS = {  # label of the axis: columns of the value and of half its interval
    "top-1 accuracy (%)": ("test_top1_mean", "test_top1_half_width"),
    GAP: ("test_top1_difference", "test_top1_difference_half_width"),
    "test loss": ("test_loss_mean", "test_loss_half_width"),
}
SCHEDULE = ("recipe.epochs", "recipe.warmup_epochs")
# What may change along with a number and is no sweep of its own: fewer images get more epochs.
ALONG = {"data.train_fraction": SCHEDULE, "recipe.epochs": SCHEDULE}
AXES = {
    "data.train_fraction": "training images",
    "recipe.epochs": "epochs",
    "model.groups": "groups (s)",
    "recipe.lr": "learning rate",
    "recipe.position_lr": "rate of positional parameters (factor)",
}
MOST_LINES, MOST_TICKS, LONGEST_NAME = 8, 5, 16  # of a panel; of a name in the legend
ASIDE = 0.03  # of its value, between the marks of two lines


class Line(NamedTuple):
    """Variants that differ in one number alone, sorted by their `x`."""

    label: str
    gate: str
    rows: pd.DataFrame


@figure_style()
def sweeps(summary: pd.DataFrame, settings: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Draw top-1, its difference and test loss against swept numbers, a column of panels each.

    A difference is drawn where a variant is compared with one of the reference's gating unit.

    Args:
        settings: of each variant, by dotted key.
    """
    there = summary["test_top1_mean"].notna() & summary["variant"].isin(settings)
    summary = with_gaps_alone(summary[there])
    swept = {key: lines for key in AXES if (lines := list(lines_of(summary, settings, key)))}
    swept = dict(list(swept.items())[:MOST_SWEEPS])
    if not swept:
        return nothing_to_show("This study sweeps neither images nor epochs, groups or rates.")
    drawn = pd.concat([line.rows for lines in swept.values() for line in lines])
    panels = [label for label, (value, _) in PANELS.items() if drawn[value].notna().any()]
    width = ONE_COLUMN if len(swept) == 1 else TWO_COLUMNS
    names = dict.fromkeys(line.label for lines in swept.values() for line in lines)
    ncols = 2 if width == ONE_COLUMN else 4
    height = 1.3 + 1.45 * len(panels) + 1.3 * LINE * -(-len(names) // ncols)
    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(len(panels), len(swept), squeeze=False, sharex="col")
    handles: dict[str, Any] = {}
    for column, (key, lines) in zip(grid.T, swept.items(), strict=True):
        for axes, label in zip(column, panels, strict=True):
            handles = draw_panel(axes, lines, label) | handles
            if key == "model.groups" and label != GAP:
                draw_reference(axes, summary, PANELS[label][0])
        format_axis(column[-1], np.unique(np.concatenate([line.rows["x"] for line in lines])), key)
    for axes, label in zip(grid[:, 0], panels, strict=True):
        axes.set_ylabel(label)
    marks, labels = [handles[name] for name in names], shorten(names, LONGEST_NAME)
    figure.legend(marks, labels, loc="outside upper center", ncols=ncols)
    add_caption(figure, caption(swept, summary["reference"].iloc[0], GAP in panels))
    return figure


def draw_panel(axes: Axes, lines: list[Line], label: str) -> dict[str, Any]:
    """Draw all lines of a panel, each a little aside so that bars do not cover each other.

    Returns:
        Their marks by name.
    """
    if label == GAP:
        axes.axhline(0, color=GREY, linewidth=0.6)
    marks, (value, half_width) = {}, PANELS[label]
    for number, line in enumerate(lines):
        look, aside = gate_look(line.gate), 1 + ASIDE * (number - (len(lines) - 1) / 2)
        marks[line.label] = axes.errorbar(
            line.rows["x"] * aside,
            line.rows[value],
            yerr=line.rows[half_width],
            marker=look.mark,
            markersize=4 * look.scale,
            color=look.colour,
            ecolor=(look.colour, 0.6),
            elinewidth=0.8,
            label=line.label,
        )
    axes.margins(x=0.1)
    return marks


def with_gaps_alone(summary: pd.DataFrame) -> pd.DataFrame:
    """Keep differences of other units from the reference's."""
    gates = summary.set_index("variant")["gate"]
    reference = summary["reference"].map(gates)
    gap = (summary["against"].map(gates) == reference) & (summary["gate"] != reference)
    columns = PANELS[GAP]
    return summary.assign(**{name: summary[name].where(gap) for name in columns})


def caption(swept: Mapping[str, list[Line]], reference: str, gap: bool) -> str:
    """Say what bars and lines are."""
    parts = [
        bar_caption(pd.concat([line.rows for lines in swept.values() for line in lines])),
        " A line joins variants that differ in nothing else.",
        " Differences are from the reference's unit at the same settings." if gap else "",
        " Fewer images may have more epochs." if "data.train_fraction" in swept else "",
        f" Dashed: {shorten([reference], LONGEST_NAME)[0]}." if "model.groups" in swept else "",
    ]
    return "".join(parts)


def draw_reference(axes: Axes, summary: pd.DataFrame, column: str) -> None:
    """Draw the reference as a level where it has no place on the axis."""
    for _, row in summary[summary["variant"] == summary["reference"]].iterrows():
        colour = gate_look(row["gate"]).colour
        axes.axhline(row[column], color=colour, linestyle="--", linewidth=0.7)


def lines_of(
    summary: pd.DataFrame, settings: Mapping[str, Mapping[str, Any]], key: str
) -> Iterator[Line]:
    """Yield the variants that differ in one number, and in what it brings along."""
    free = {key, *ALONG.get(key, ())}
    rest = [
        repr(sorted((name, repr(v)) for name, v in settings[variant].items() if name not in free))
        for variant in summary["variant"]
    ]
    x = [position(row, settings[row["variant"]].get(key), key) for _, row in summary.iterrows()]
    known = summary.assign(x=x, rest=rest).dropna(subset="x")
    known = known[known.groupby("rest")["x"].transform("nunique") > 1]
    ambiguous = known.groupby("gate")["rest"].nunique() > 1
    for _, rows in islice(known.groupby("rest", sort=False), MOST_LINES):
        gate, variant = rows[["gate", "variant"]].iloc[0]
        label = variant if ambiguous[gate] else gate_label(gate)
        yield Line(label, gate, rows.drop_duplicates("x").sort_values("x"))


def position(row: pd.Series, value: Any, key: str) -> float:
    """Where a variant lies on the axis; NaN where it has no such number."""
    if key == "data.train_fraction":
        return row["num_train"]
    if key == "model.groups":
        return num_groups(row["groups"]) if row["groups"] else np.nan
    return float(value) if isinstance(value, int | float) else np.nan


def format_axis(axes: Axes, values: np.ndarray, key: str) -> None:
    """Name the axis and tick the values that were trained, on a logarithmic scale."""
    axes.set_xscale("log")
    shown = values if len(values) <= MOST_TICKS else values[:: -(-len(values) // MOST_TICKS)]
    axes.set_xticks(shown, labels=[f"{value:,.6g}" for value in shown])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(AXES[key])
