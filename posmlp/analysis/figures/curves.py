"""The training curves of a study: accuracy and loss by epoch, one column per gating unit."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from posmlp.analysis.figures.marks import (
    add_caption,
    gate_label,
    num_groups,
    on_same_data,
    short_names,
)
from posmlp.analysis.figures.scales import format_accuracy_axis, set_range
from posmlp.analysis.figures.style import (
    ONE_COLUMN,
    TWO_COLUMNS,
    figure_style,
    gate_look,
    in_gate_order,
    tint,
)

if TYPE_CHECKING:
    from posmlp.analysis.networks import LearnedRun

PANELS = ["test_top1", "train_loss"]
DRAWN_COLUMNS = ["variant", "epoch", *PANELS]  # of curves.csv; large studies have millions of rows
DASHES = ["--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 3)), (0, (8, 3))]
REFERENCE_COLOUR = "#999999"
SPLIT_NAMES = {"train": "training", "val": "validation", "test": "test"}
SPLIT_COLOURS = {"train": "#999999", "val": "#0072B2", "test": "#000000"}


@figure_style()
def training_curves(
    curves: pd.DataFrame, summary: pd.DataFrame, overlay: Mapping[str, pd.DataFrame]
) -> Figure:
    """Draw test accuracy and training loss by epoch for the variants of a summary.

    A variant is its mean over seeds with a band from the lowest to the highest seed.

    Args:
        overlay: {name: log} of released trainings, drawn in black in the panel of gqpe.
    """
    summary, left_out = on_same_data(summary)
    gates = in_gate_order(summary["gate"])
    width = min(TWO_COLUMNS, max(ONE_COLUMN, 1.8 * len(gates)))
    overlay = overlay if "gqpe" in gates else {}
    legend_height = 0.14 * (1 + summary["gate"].value_counts().max() + len(overlay))
    figure = Figure(figsize=(width, 3.6 + legend_height), layout="constrained")
    heights = (1.5, 1.5, legend_height)
    axes_grid = figure.subplots(3, len(gates), sharey="row", squeeze=False, height_ratios=heights)
    spans = seed_spans(curves[curves["variant"].isin(summary["variant"])])
    looks = line_looks(summary)
    for gate, (*panels, legend) in zip(gates, axes_grid.T, strict=True):
        rows = summary[summary["gate"] == gate]
        for axes, figure_name in zip(panels, PANELS, strict=True):
            draw_spans(axes, spans[figure_name], rows, looks)
            if gate == "gqpe":
                draw_overlay(axes, figure_name, overlay)
        panels[0].set_title(gate_label(gate))
        panels[-1].set_xlabel("epoch")
        for axes in panels:
            axes.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
        legend.set_axis_off()
        handles, labels = panels[0].get_legend_handles_labels()
        labels[: len(rows)] = short_names(rows)
        legend.legend(handles, labels, loc="upper center", borderaxespad=0)
    accuracy, loss = axes_grid[:2, 0]
    ranges = [late_range(spans[name], overlay, name) for name in PANELS]
    format_accuracy_axis(accuracy, *ranges[0], "test top-1 (%)")
    set_range(loss, *ranges[1])
    loss.set_ylabel("training loss")
    caption = [
        "Lines: mean over seeds. Bands: lowest to highest seed.",
        f" Grey: {reference_of(summary)}." if len(gates) > 1 else "",
        " Black: logs released with the paper's code (raw weights)." if overlay else "",
        f" Vertical axes: range of the second half of the epochs.{left_out}",
    ]
    add_caption(figure, "".join(caption), width)
    return figure


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
        for split in splits:
            for prefix, dashes in (("", "-"), ("ema_", "--")):
                values = history.get(f"{prefix}{split}_{name}")
                if values is not None and values.notna().any():
                    label = f"{SPLIT_NAMES[split]}{' (averaged weights)' if prefix else ''}"
                    look = {"color": SPLIT_COLOURS[split], "linestyle": dashes}
                    axes.plot(history["epoch"] + 1, values, label=label, **look)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.legend()
    panels[0].set_ylabel("top-1 (%)")
    panels[1].set_ylabel("cross-entropy")
    add_caption(figure, f"{run.title}.", TWO_COLUMNS)
    return figure


def seed_spans(curves: pd.DataFrame) -> pd.DataFrame:
    """Return mean, min and max over seeds of what PANELS shows, by (variant, epoch)."""
    by_epoch = curves.groupby(["variant", "epoch"], sort=False)
    return by_epoch[PANELS].agg(["mean", "min", "max"])


def draw_spans(
    axes: Axes, spans: pd.DataFrame, rows: pd.DataFrame, looks: dict[str, dict[str, Any]]
) -> None:
    """Draw the variants in `rows` and, for comparison, the reference without its band."""
    reference = reference_of(rows)
    variants = spans.index.unique("variant")
    if reference in variants and reference not in set(rows["variant"]):
        axes.plot(spans.loc[reference, "mean"], color=REFERENCE_COLOUR, label="_reference")
    for variant in rows["variant"]:
        span = spans.loc[variant]
        axes.plot(span["mean"], label=variant, **looks[variant])
        band = {"color": looks[variant]["color"], "alpha": 0.15, "linewidth": 0}
        axes.fill_between(span.index, span["min"], span["max"], **band)


def draw_overlay(axes: Axes, figure_name: str, overlay: Mapping[str, pd.DataFrame]) -> None:
    """Draw released trainings for comparison."""
    for (name, log), dashes in zip(overlay.items(), DASHES, strict=False):
        black = {"color": "black", "linestyle": dashes, "linewidth": 0.7}
        axes.plot(log["epoch"], log[figure_name], label=f"{name} (log)", **black)


def line_looks(summary: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return the colour and dashes of every variant.

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
    spans: pd.DataFrame, overlay: Mapping[str, pd.DataFrame], figure_name: str
) -> tuple[float, float]:
    """Return the range of all lines, each over the second half of its epochs."""
    epochs = spans.index.get_level_values("epoch")
    late = [spans["mean"][epochs >= epochs.max() / 2]]
    late += [log[figure_name][log["epoch"] >= log["epoch"].max() / 2] for log in overlay.values()]
    values = pd.concat(late)
    return values.min(), values.max()


def reference_of(summary: pd.DataFrame) -> str:
    """Return the variant that the others are compared with."""
    return summary["reference"].iloc[0]
