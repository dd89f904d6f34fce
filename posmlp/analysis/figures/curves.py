"""Accuracy and loss of one run by epoch; epochs are counted from 1."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from posmlp.analysis.figures.marks import add_caption
from posmlp.analysis.figures.style import TWO_COLUMNS, figure_style

if TYPE_CHECKING:
    from posmlp.analysis.learned import LearnedRun

SPLIT_NAMES = {"train": "training", "val": "validation", "test": "test"}
SPLIT_COLOURS = {"train": "#999999", "val": "#0072B2", "test": "#000000"}


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
