"""Accuracy and loss against every number that a study sweeps: images, epochs, groups, rates."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from posmlp.analysis.figures.content import ALONG, AXES, Settings, families
from posmlp.analysis.figures.marks import (
    MARGIN,
    add_caption,
    bar_caption,
    bar_range,
    gate_label,
    legend_columns,
)
from posmlp.analysis.figures.style import (
    DASHES,
    GREY,
    LINE,
    ONE_COLUMN,
    TWO_COLUMNS,
    figure_style,
    gate_look,
    tint,
)
from posmlp.analysis.tables import shorten

MOST_SWEEPS = 3
GAP = "top-1, difference (points)"
PANELS = {  # label of the axis: columns of the value and of half its interval
    "top-1 accuracy (%)": ("test_top1_mean", "test_top1_half_width"),
    GAP: ("test_top1_difference", "test_top1_difference_half_width"),
    "test loss": ("test_loss_mean", "test_loss_half_width"),
}
LIMITS = {"test_top1_mean": (0, 100), "test_loss_mean": (0, np.inf)}
MOST_LINES, MOST_TICKS, LONGEST_NAME = 8, 6, 24  # of a panel; of a name in the legend
ASIDE = 0.012  # of the axis, between the marks of two lines
WHITENESS = (0, 1, 0.6, 0.3)  # of the marks of lines of one unit


class Line(NamedTuple):
    """Variants that differ in one number alone, sorted by their `x`, and how many of a unit."""

    label: str
    gate: str
    rows: pd.DataFrame
    number: int  # among the lines of its unit


@figure_style()
def sweeps(summary: pd.DataFrame, settings: Settings) -> Figure:
    """Draw top-1, its difference and test loss against swept numbers, a column of panels each.

    A difference is drawn where a variant is compared with one of the reference's gating unit.
    """
    summary = with_gaps_alone(summary)
    swept = {key: list(lines_of(summary, settings, key)) for key in AXES}
    swept = dict([(key, lines) for key, lines in swept.items() if lines][:MOST_SWEEPS])
    drawn = pd.concat([line.rows for lines in swept.values() for line in lines])
    panels = [label for label, (value, _) in PANELS.items() if drawn[value].notna().any()]
    width = ONE_COLUMN if len(swept) == 1 else TWO_COLUMNS
    names = shorten((line.label for lines in swept.values() for line in lines), LONGEST_NAME)
    ncols = legend_columns(names, width / len(swept) - 0.3)
    rows_of_legend = -(-max(map(len, swept.values())) // ncols)
    height = 1.2 + 1.45 * len(panels) + 1.3 * LINE * rows_of_legend
    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(len(panels), len(swept), squeeze=False, sharex="col")
    for column, (key, lines) in zip(grid.T, swept.items(), strict=True):
        format_axis(column[-1], np.unique(np.concatenate([line.rows["x"] for line in lines])), key)
        for axes, label in zip(column, panels, strict=True):
            marks = draw_panel(axes, lines, label)
            if key == "model.groups" or label == GAP:
                draw_level(axes, summary, label)
        names = shorten((line.label for line in lines), LONGEST_NAME)
        place = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncols": ncols}
        column[0].legend(marks, names, columnspacing=1.0, **place)
    for axes, label in zip(grid[:, 0], panels, strict=True):
        axes.set_ylabel(label)
    add_caption(figure, caption(swept, summary["reference"].iloc[0], panels))
    return figure


def draw_panel(axes: Axes, lines: list[Line], label: str) -> list[Any]:
    """Draw all lines of a panel, each a little aside so that bars do not cover each other.

    Returns:
        Their marks.
    """
    marks, (value, half_width) = [], PANELS[label]
    left, right = axes.get_xlim()
    for place, line in enumerate(lines):
        look = gate_look(line.gate)
        aside = (right / left) ** (ASIDE * (place - (len(lines) - 1) / 2))
        marks.append(
            axes.errorbar(
                line.rows["x"] * aside,
                line.rows[value],
                yerr=line.rows[half_width],
                **look.marked(4),
                markerfacecolor=tint(look.colour, WHITENESS[line.number % len(WHITENESS)]),
                markeredgewidth=0.8,
                linestyle=DASHES[line.number % len(DASHES)],
                ecolor=(look.colour, 0.6),
                elinewidth=0.8,
                label=line.label,
            )
        )
    drawn = pd.concat([line.rows for line in lines])
    limits = LIMITS.get(value, (-np.inf, np.inf))
    low, high = bar_range(drawn[value], drawn[half_width], *limits)
    margin = MARGIN * (high - low) or 1.0
    axes.set_ylim(max(low - margin, limits[0]), min(high + margin, limits[1]))
    return marks


def with_gaps_alone(summary: pd.DataFrame) -> pd.DataFrame:
    """Keep differences of other units from the reference's."""
    gates = summary.set_index("variant")["gate"]
    reference = summary["reference"].map(gates)
    gap = (summary["against"].map(gates) == reference) & (summary["gate"] != reference)
    columns = PANELS[GAP]
    return summary.assign(**{name: summary[name].where(gap) for name in columns})


def caption(swept: Mapping[str, list[Line]], reference: str, panels: list[str]) -> str:
    """Say what bars and lines are."""
    parts = [
        bar_caption(pd.concat([line.rows for lines in swept.values() for line in lines])),
        " A line joins variants that differ in nothing else.",
        " Differences are from the reference's unit at the same settings." if GAP in panels else "",
        " Fewer images may have more epochs." if "data.train_fraction" in swept else "",
        f" Dashed: {shorten([reference], LONGEST_NAME)[0]}." if "model.groups" in swept else "",
    ]
    return "".join(parts)


def draw_level(axes: Axes, summary: pd.DataFrame, label: str) -> None:
    """Draw the reference as a level where it has no place on the axis, and no difference."""
    level, look = 0.0, {"color": GREY, "linewidth": 0.6}
    if label != GAP:
        row = summary[summary["variant"] == summary["reference"]].iloc[0]
        level = row[PANELS[label][0]]
        look = {"color": gate_look(row["gate"]).colour, "linestyle": "--", "linewidth": 0.7}
    low, high = axes.get_ylim()
    aside = MARGIN * (high - low)
    axes.axhline(level, **look)
    axes.set_ylim(min(low, level - aside), max(high, level + aside))


def lines_of(summary: pd.DataFrame, settings: Settings, key: str) -> Iterator[Line]:
    """Yield the variants that differ in one number, and in what it brings along."""
    rows = summary.set_index("variant", drop=False)
    found = families(settings, key)[:MOST_LINES]
    gates = [rows.loc[next(iter(family)), "gate"] for family in found]
    for place, (family, gate) in enumerate(zip(found, gates, strict=True)):
        own = rows.loc[list(family)].assign(x=family)
        if key == "data.train_fraction":
            own["x"] = own["num_train"]
        if key == "recipe.lr":
            own["x"] *= 1_000
        alike = [settings[next(iter(f))] for f, g in zip(found, gates, strict=True) if g == gate]
        label = gate_label(gate) + differences(settings[next(iter(family))], alike, key)
        line = own.drop_duplicates("x").sort_values("x")
        yield Line(label, gate, line, gates[:place].count(gate))


def differences(own: Mapping[str, Any], alike: list[Mapping[str, Any]], key: str) -> str:
    """What tells a line from others of its unit."""
    names = {name for other in alike for name in own if repr(other.get(name)) != repr(own[name])}
    names -= {key, *ALONG.get(key, ())}
    values = {name.rpartition(".")[2]: own[name] for name in sorted(names)}
    return "".join(
        f", {name} {value:g}" if isinstance(value, float) else f", {name} {value}"
        for name, value in values.items()
    )


def format_axis(axes: Axes, values: np.ndarray, key: str) -> None:
    """Name the axis and tick the values that were trained, on a logarithmic scale."""
    room = (values[-1] / values[0]) ** 0.08
    axes.set(xscale="log", xlabel=AXES[key], xlim=(values[0] / room, values[-1] * room))
    shown = values if len(values) <= MOST_TICKS else values[:: -(-len(values) // MOST_TICKS)]
    axes.set_xticks(shown, labels=[f"{value:,.6g}" for value in shown])
    axes.xaxis.set_minor_locator(NullLocator())
