"""Accuracy and loss against every setting that a study sweeps: images, epochs, groups, rates."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
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
    GREY,
    LINE,
    ONE_COLUMN,
    TWO_COLUMNS,
    figure_style,
    gate_look,
    tint,
)
from posmlp.analysis.tables import shorten


class Panel(NamedTuple):
    """What a row of panels shows: columns of the value and of half its interval, and limits."""

    value: str
    half_width: str
    least: float
    most: float


DIFFERENCE = "top-1, difference (points)"
PANELS = {
    "top-1 accuracy (%)": Panel("test_top1_mean", "test_top1_half_width", 0, 100),
    DIFFERENCE: Panel("test_top1_difference", "test_top1_difference_half_width", -np.inf, np.inf),
    "test loss": Panel("test_loss_mean", "test_loss_half_width", 0, np.inf),
}
MOST_SWEEPS = 3
MOST_LINES, MOST_TICKS, LONGEST_NAME = 8, 6, 24  # of a panel; of a name in the legend
ASIDE = 0.012  # of the axis, between the marks of two lines
DASHES = ("-", "--", ":", "-.")  # of one unit's lines
WHITENESS = (0, 1, 0.6, 0.3)  # of their marks


class Line(NamedTuple):
    """Variants that differ in a single setting, sorted by its value `x`."""

    label: str
    gate: str
    rows: pd.DataFrame
    number: int  # among the lines of its unit


@figure_style()
def sweeps(summary: pd.DataFrame, settings: Settings) -> Figure:
    """Draw top-1, its difference and test loss against swept settings, a column of panels each.

    Differences are those from variants with the reference's gating unit.
    """
    summary = without_other_differences(summary)
    swept = {key: list(lines_of(summary, settings, key)) for key in AXES}
    swept = dict([(key, lines) for key, lines in swept.items() if lines][:MOST_SWEEPS])
    drawn = pd.concat([line.rows for lines in swept.values() for line in lines])
    panels = [label for label, panel in PANELS.items() if drawn[panel.value].notna().any()]
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
            marks = draw_panel(axes, lines, PANELS[label])
            if key == "model.groups" or label == DIFFERENCE:
                draw_level(axes, summary, label)
        names = shorten((line.label for line in lines), LONGEST_NAME)
        place = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncols": ncols}
        column[0].legend(marks, names, columnspacing=1.0, **place)
    for axes, label in zip(grid[:, 0], panels, strict=True):
        axes.set_ylabel(label)
    reference = shorten(summary["reference"][:1], LONGEST_NAME)[0]
    add_caption(figure, bar_caption(drawn), *explanations(swept, panels, reference))
    return figure


def explanations(swept: Iterable[str], panels: Iterable[str], reference: str) -> Iterator[str]:
    yield "A line joins variants that differ in nothing but this setting."
    if DIFFERENCE in panels:
        yield "Differences: from the reference's unit at the same settings."
    if "data.train_fraction" in swept:
        yield "With fewer images, training may take more epochs."
    if "model.groups" in swept:
        yield f"Dashed: {reference}."


def without_other_differences(summary: pd.DataFrame) -> pd.DataFrame:
    """Keep only the differences of other units from the reference's."""
    gates = summary.set_index("variant")["gate"]
    unit = summary["reference"].map(gates)
    kept = (summary["against"].map(gates) == unit) & (summary["gate"] != unit)
    columns = PANELS[DIFFERENCE].value, PANELS[DIFFERENCE].half_width
    return summary.assign(**{name: summary[name].where(kept) for name in columns})


def draw_panel(axes: Axes, lines: list[Line], panel: Panel) -> list[ErrorbarContainer]:
    """Draw all lines of a panel, each a little aside so that bars do not cover each other."""
    marks = []
    left, right = axes.get_xlim()
    for place, line in enumerate(lines):
        look = gate_look(line.gate)
        aside = (right / left) ** (ASIDE * (place - (len(lines) - 1) / 2))
        marks.append(
            axes.errorbar(
                line.rows["x"] * aside,
                line.rows[panel.value],
                yerr=line.rows[panel.half_width],
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
    low, high = bar_range(drawn[panel.value], drawn[panel.half_width], panel.least, panel.most)
    margin = MARGIN * (high - low) or 1.0
    axes.set_ylim(max(low - margin, panel.least), min(high + margin, panel.most))
    return marks


def draw_level(axes: Axes, summary: pd.DataFrame, label: str) -> None:
    """Draw no difference, or the reference, which may lack groups and so a place on their axis."""
    level, look = 0.0, {"color": GREY, "linewidth": 0.6}
    if label != DIFFERENCE:
        row = summary[summary["variant"] == summary["reference"]].iloc[0]
        level = row[PANELS[label].value]
        look = {"color": gate_look(row["gate"]).colour, "linestyle": "--", "linewidth": 0.7}
    low, high = axes.get_ylim()
    margin = MARGIN * (high - low)
    axes.axhline(level, **look)
    axes.set_ylim(min(low, level - margin), max(high, level + margin))


def lines_of(summary: pd.DataFrame, settings: Settings, key: str) -> Iterator[Line]:
    """Yield the lines of variants that differ in one setting, and in what changes along with it."""
    rows = summary.set_index("variant", drop=False)
    found = families(settings, key)[:MOST_LINES]
    firsts = [next(iter(family)) for family in found]
    gates = [rows.loc[first, "gate"] for first in firsts]
    for place, (family, first, gate) in enumerate(zip(found, firsts, gates, strict=True)):
        own = rows.loc[list(family)].assign(x=family)
        if key == "data.train_fraction":
            own["x"] = own["num_train"]
        if key == "recipe.lr":
            own["x"] *= 1_000
        alike = [settings[other] for other, g in zip(firsts, gates, strict=True) if g == gate]
        label = gate_label(gate) + differences(settings[first], alike, key)
        line = own.drop_duplicates("x").sort_values("x")
        yield Line(label, gate, line, gates[:place].count(gate))


def differences(own: Mapping[str, Any], alike: list[Mapping[str, Any]], key: str) -> str:
    """What distinguishes a line from others of its unit."""
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
