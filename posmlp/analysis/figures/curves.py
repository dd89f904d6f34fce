"""Training curves: accuracy and loss by epoch, of a study or of one run.

Epochs are counted from 1 in every figure: the first point is the state after one epoch.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from posmlp.analysis.figures.marks import (
    add_caption,
    gate_label,
    num_groups,
    on_same_data,
    shorten,
)
from posmlp.analysis.figures.scales import format_accuracy_axis, set_range
from posmlp.analysis.figures.style import (
    LINE,
    ONE_COLUMN,
    TWO_COLUMNS,
    figure_style,
    gate_look,
    in_gate_order,
    tint,
)

if TYPE_CHECKING:
    from posmlp.analysis.learned import LearnedRun

PANELS = ["test_top1", "train_loss"]
DRAWN_COLUMNS = ["variant", "epoch", *PANELS]  # of curves.csv; large studies have millions of rows
DASHES = ["--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 3)), (0, (8, 3))]
REFERENCE_COLOUR = "#999999"
MOST_NAMES, LONGEST_NAME = 24, 18  # of variants in the legend
SPLIT_NAMES = {"train": "training", "val": "validation", "test": "test"}
SPLIT_COLOURS = {"train": "#999999", "val": "#0072B2", "test": "#000000"}


@figure_style()
def training_curves(
    curves: pd.DataFrame, summary: pd.DataFrame, overlay: Mapping[str, pd.DataFrame]
) -> Figure:
    """Draw test accuracy and training loss by epoch, a column of panels per gating unit.

    A variant is its mean over seeds with a band from the lowest to the highest seed.

    Args:
        overlay: {name: log} of released trainings, drawn in black in the panels of gqpe.
    """
    summary, left_out = on_same_data(summary)
    gates = in_gate_order(summary["gate"])
    overlay = overlay if "gqpe" in gates else {}
    looks = line_looks(summary)
    black = {"color": "black", "linewidth": 0.7}
    dashes = zip(overlay, DASHES, strict=False)
    overlay_looks = {name: black | {"linestyle": dash} for name, dash in dashes}
    handles = legend_lines(summary, looks)
    handles += [Line2D([], [], label=f"{n} (log)", **look) for n, look in overlay_looks.items()]
    width = TWO_COLUMNS if len(gates) > 2 else ONE_COLUMN
    columns = 4 if width == TWO_COLUMNS else 2
    height = 3.8 + LINE * 1.2 * -(-len(handles) // columns)
    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(2, len(gates), sharey="row", squeeze=False)
    spans = seed_spans(curves[curves["variant"].isin(summary["variant"])])
    for gate, panels in zip(gates, grid.T, strict=True):
        for axes, metric in zip(panels, PANELS, strict=True):
            draw_spans(axes, spans[metric], summary[summary["gate"] == gate], looks)
            if gate == "gqpe":
                for name, log in overlay.items():
                    axes.plot(log["epoch"] + 1, log[metric], label=name, **overlay_looks[name])
            axes.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
        panels[0].set_title(gate_label(gate))
        panels[1].set_xlabel("epoch")
    ranges = [late_range(spans[metric], overlay, metric) for metric in PANELS]
    format_accuracy_axis(grid[0, 0], *ranges[0], "test top-1 (%)")
    set_range(grid[1, 0], *ranges[1])
    grid[1, 0].set_ylabel("training loss")
    figure.legend(handles=handles, loc="outside upper center", ncols=columns)
    add_caption(figure, curves_caption(summary, overlay) + left_out)
    return figure


def curves_caption(summary: pd.DataFrame, overlay: Mapping[str, pd.DataFrame]) -> str:
    """Say what lines, bands and colours mean, and how many variants are not named."""
    num_unnamed = max(0, len(summary) - MOST_NAMES)
    parts = [
        "Lines: means over seeds. Bands: lowest to highest seed.",
        f" Grey: {summary['reference'].iloc[0]}." if summary["gate"].nunique() > 1 else "",
        " Black: logs released with the paper's code (raw weights)." if overlay else "",
        " Vertical axes: range of the second half of training.",
        f" Not named: {num_unnamed} more." if num_unnamed else "",
    ]
    return "".join(parts)


@figure_style()
def run_curves(run: LearnedRun) -> Figure | None:
    """Draw accuracy and loss of one run by epoch; None for a run without a history."""
    if not run.history:
        return None
    history = pd.DataFrame(run.history, dtype=float)
    figure = Figure(figsize=(TWO_COLUMNS, 2.6), layout="constrained")
    panels = figure.subplots(1, 2)
    drawn = {"top1": ("test", "val"), "loss": ("train", "test", "val")}
    for axes, (name, splits) in zip(panels, drawn.items(), strict=True):
        for split, (prefix, dashes) in itertools.product(splits, {"": "-", "ema_": "--"}.items()):
            values = history.get(f"{prefix}{split}_{name}")
            if values is not None and values.notna().any():
                label = f"{SPLIT_NAMES[split]}{' (averaged weights)' if prefix else ''}"
                look = {"color": SPLIT_COLOURS[split], "linestyle": dashes}
                values = values.dropna()  # epochs without an evaluation
                axes.plot(history["epoch"][values.index] + 1, values, label=label, **look)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.legend()
    panels[0].set_ylabel("top-1 accuracy (%)")
    panels[1].set_ylabel("cross-entropy")
    add_caption(figure, f"{run.title}.")
    return figure


def seed_spans(curves: pd.DataFrame) -> pd.DataFrame:
    """Mean, min and max over seeds of what PANELS shows, by (variant, epoch from 1)."""
    by_epoch = curves.assign(epoch=curves["epoch"] + 1).groupby(["variant", "epoch"], sort=False)
    return by_epoch[PANELS].agg(["mean", "min", "max"])


def draw_spans(
    axes: Axes, spans: pd.DataFrame, rows: pd.DataFrame, looks: dict[str, dict[str, Any]]
) -> None:
    """Draw the variants in `rows` and, for comparison, the reference without its band."""
    reference = rows["reference"].iloc[0]
    variants = spans.index.unique("variant")
    if reference in variants and reference not in set(rows["variant"]):
        axes.plot(spans.loc[reference, "mean"].dropna(), color=REFERENCE_COLOUR, label="_reference")
    for variant in rows["variant"]:
        span = spans.loc[variant].dropna()  # epochs without an evaluation
        axes.plot(span["mean"], label=variant, **looks[variant])
        band = {"color": looks[variant]["color"], "alpha": 0.15, "linewidth": 0}
        axes.fill_between(span.index, span["min"], span["max"], **band)


def legend_lines(summary: pd.DataFrame, looks: dict[str, dict[str, Any]]) -> list[Line2D]:
    """Keys of MOST_NAMES variants, first those without other settings."""
    changed = summary["other_settings"] != ""
    named = summary.loc[changed.sort_values(kind="stable").index[:MOST_NAMES]].sort_index()
    gates = in_gate_order(summary["gate"])
    variants = [v for gate in gates for v in named["variant"][named["gate"] == gate]]
    names = shorten(variants, LONGEST_NAME)
    pairs = zip(variants, names, strict=True)
    return [Line2D([], [], label=name, **looks[variant]) for variant, name in pairs]


def line_looks(summary: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Colour and dashes of every variant.

    The more groups, the darker the colour of its gating unit; a variant with another changed
    setting is a broken line, broken alike wherever that setting is changed.
    """
    changes = dict.fromkeys(summary["other_settings"][summary["other_settings"] != ""])
    dashes = {"": "-"} | dict(zip(changes, itertools.cycle(DASHES), strict=False))
    looks = {}
    for gate, rows in summary.groupby("gate"):
        colour = gate_look(gate).colour
        positions = rows["groups"].map(num_groups)
        whiteness = 0.6 * (1 - positions.rank(method="dense") / positions.nunique())
        columns = zip(rows["variant"], whiteness, rows["other_settings"], strict=True)
        for variant, white, change in columns:
            looks[variant] = {"color": tint(colour, white), "linestyle": dashes[change]}
    return looks


def late_range(
    spans: pd.DataFrame, overlay: Mapping[str, pd.DataFrame], metric: str
) -> tuple[float, float]:
    """Range of all lines, each over the second half of its epochs."""
    epochs = spans.index.get_level_values("epoch")
    late = [spans["mean"][epochs > epochs.max() / 2]]
    late += [log[metric][log["epoch"] >= log["epoch"].max() / 2] for log in overlay.values()]
    values = pd.concat(late)
    return values.min(), values.max()
