"""How units learn: the gap to the reference by epoch, losses, and the curves of one run."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from scipy import stats

from posmlp.analysis.figures.marks import add_caption, nothing_to_show, on_same_data
from posmlp.analysis.figures.style import GREY, TWO_COLUMNS, figure_style, gate_look
from posmlp.analysis.statistics import CONFIDENCE
from posmlp.analysis.tables import shorten

if TYPE_CHECKING:
    from posmlp.analysis.learned import LearnedRun

# of curves.csv; large studies have millions of rows
DRAWN_COLUMNS = ["variant", "epoch", "train_loss", "test_loss", "test_top1"]
MOST_LINES, LONGEST_NAME = 8, 18
SKIPPED = 0.25  # of the epochs at the start, when gaps say nothing yet
SPLIT_NAMES = {"train": "training", "val": "validation", "test": "test"}
SPLIT_COLOURS = {"train": "#999999", "val": "#0072B2", "test": "#000000"}


@figure_style()
def learning(curves: pd.DataFrame, summary: pd.DataFrame) -> Figure:
    """Draw each unit's gap to the reference by epoch, and its path in training and test loss.

    Of each gating unit the variant with most groups that is changed in no other way.
    """
    shown = units(summary)
    if len(shown) < 2:
        return nothing_to_show("No unit here can be compared with the reference by epoch.")
    reference = summary["reference"].iloc[0]
    by_epoch = curves[curves["variant"].isin(shown["variant"])]
    figure = Figure(figsize=(TWO_COLUMNS, 3.4), layout="constrained")
    gap, losses = figure.subplots(1, 2)
    gap.axhline(0, color=GREY, linewidth=0.6)
    for _, row in shown.iterrows():
        own = by_epoch[by_epoch["variant"] == row["variant"]]
        if row["variant"] != reference:
            draw_gap(gap, own, by_epoch[by_epoch["variant"] == reference], row["gate"])
        draw_losses(losses, own, row["gate"])
    gap.set(xlabel="epoch", ylabel=f"top-1 less {shorten([reference], LONGEST_NAME)[0]} (points)")
    gap.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    losses.set(xlabel="training loss", ylabel="test loss")
    losses.invert_xaxis()
    figure.legend(handles=legend(shown), loc="outside upper center", ncols=4)
    caption = (
        f"Of each unit the variant with most groups. Bands: {CONFIDENCE:.0%} intervals over seeds. "
        f"Without the first {SKIPPED:.0%} of the epochs. Right: means by epoch, the mark is the "
        "last; lower at the same training loss is better generalisation."
    )
    add_caption(figure, caption)
    return figure


def units(summary: pd.DataFrame) -> pd.DataFrame:
    """Of each gating unit the plain variant with most groups, the reference in any case."""
    summary, _ = on_same_data(summary[summary["n"] > 0])
    plain = summary[summary["other_settings"] == ""]
    last = plain.drop_duplicates("gate", keep="last")
    reference = plain[plain["variant"] == plain["reference"]]
    others = last[last["gate"] != reference["gate"].iloc[0]] if len(reference) else last[:0]
    return pd.concat([reference, others])[:MOST_LINES]


def late(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with a test, without the first part of the epochs."""
    rows = rows[rows["test_top1"].notna()]
    return rows[rows["epoch"] + 1 > SKIPPED * (rows["epoch"].max() + 1)]


def draw_gap(axes: Axes, own: pd.DataFrame, reference: pd.DataFrame, gate: str) -> None:
    """Draw the difference of means by epoch with Welch's interval."""
    moments = [
        late(rows).groupby("epoch")["test_top1"].agg(["mean", "var", "count"])
        for rows in (own, reference)
    ]
    ours, theirs = (m.loc[moments[0].index.intersection(moments[1].index)] for m in moments)
    squares = [m["var"] / m["count"] for m in (ours, theirs)]
    total = sum(squares)
    df = total**2 / sum(
        s**2 / (m["count"] - 1) for s, m in zip(squares, (ours, theirs), strict=True)
    )
    middle, epochs = ours["mean"] - theirs["mean"], ours.index + 1
    half = (stats.t.ppf((1 + CONFIDENCE) / 2, df) * np.sqrt(total)).astype(float)
    look = gate_look(gate)
    axes.plot(epochs, middle, color=look.colour)
    axes.plot(epochs[-1:], middle[-1:], look.mark, color=look.colour, markersize=4 * look.scale)
    axes.fill_between(epochs, middle - half, middle + half, color=look.colour, alpha=0.13, lw=0)


def draw_losses(axes: Axes, own: pd.DataFrame, gate: str) -> None:
    """Draw the mean path through training and test loss, with a mark at its end."""
    path, look = late(own).groupby("epoch")[["train_loss", "test_loss"]].mean(), gate_look(gate)
    axes.plot(path["train_loss"], path["test_loss"], color=look.colour)
    end = path.iloc[-1:]
    axes.plot(
        end["train_loss"], end["test_loss"], look.mark, color=look.colour, markersize=5 * look.scale
    )


def legend(shown: pd.DataFrame) -> list[Line2D]:
    """A line with its mark per variant."""
    names = shorten(shown["variant"], LONGEST_NAME)
    return [
        Line2D([], [], color=look.colour, marker=look.mark, markersize=4 * look.scale, label=name)
        for name, look in zip(names, shown["gate"].map(gate_look), strict=True)
    ]


@figure_style()
def run_curves(run: LearnedRun) -> Figure | None:
    """Draw accuracy and loss of one run by epoch; None for a run without a history."""
    if not run.history:
        return None
    history = pd.DataFrame(run.history, dtype=float)
    figure = Figure(figsize=(TWO_COLUMNS, 2.6))
    # Fixed, as a layout engine would double the time, and there is a figure for every variant.
    margins = {"left": 0.08, "right": 0.985, "top": 0.96, "bottom": 0.23, "wspace": 0.22}
    panels = figure.subplots(1, 2, gridspec_kw=margins)
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
