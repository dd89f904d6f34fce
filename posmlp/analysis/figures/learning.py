"""How units learn: the gap to the reference by epoch, and losses."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from posmlp.analysis.contrasts import compare
from posmlp.analysis.figures.marks import add_caption, evenly_spaced, legend_columns
from posmlp.analysis.figures.style import GREY, TWO_COLUMNS, figure_style, gate_look
from posmlp.analysis.statistics import CONFIDENCE
from posmlp.analysis.tables import shorten

# Of curves.csv, which has millions of rows in a large study
DRAWN_COLUMNS = ["variant", "seed", "epoch", "train_loss", "test_loss", "test_top1"]
LONGEST_NAME = 18
MOST_BARS = 5  # on a line
SKIPPED = 0.25  # of the epochs, at the start, where gaps mean little
ASIDE = 0.008  # of the axis, between the bars of two lines


@figure_style()
def learning(curves: pd.DataFrame, summary: pd.DataFrame, units: list[str]) -> Figure:
    """Draw each unit's gap to the reference by epoch, and its path in training and test loss."""
    shown = summary.set_index("variant", drop=False).loc[units]
    names = shorten(units, LONGEST_NAME)
    figure = Figure(figsize=(TWO_COLUMNS, 3.3), layout="constrained")
    gap, losses = figure.subplots(1, 2)
    curves = late(curves, reference=units[0])
    draw_gaps(gap, curves, shown)
    for name, gate in shown["gate"].items():
        draw_losses(losses, curves[curves["variant"] == name], gate)
    gap.set(xlabel="epoch", ylabel=f"top-1 minus that of {names[0]} (points)")
    gap.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    losses.set(xlabel="training loss", ylabel="test loss")
    losses.invert_xaxis()
    handles = [
        Line2D([], [], **gate_look(gate).marked(4), label=name)
        for name, gate in zip(names, shown["gate"], strict=True)
    ]
    ncols = legend_columns(names, TWO_COLUMNS)
    figure.legend(handles=handles, loc="outside upper center", ncols=ncols, columnspacing=1.0)
    add_caption(
        figure,
        f"Each unit's variant with the most groups, after the first {SKIPPED:.0%} of the epochs.",
        f"Bars: {CONFIDENCE:.0%} intervals over seeds.",
        "Right: means by epoch, with a mark at the last; a lower test loss at the same training "
        "loss is better generalisation.",
    )
    return figure


def late(curves: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Test epochs after the skipped ones, for variants trained as long as the reference."""
    ends = curves.groupby("variant")["epoch"].transform("max")
    last = ends[curves["variant"] == reference].max()
    is_late = curves["epoch"] + 1 > SKIPPED * (last + 1)
    return curves[curves["test_top1"].notna() & (ends == last) & is_late]


def draw_gaps(axes: Axes, curves: pd.DataFrame, shown: pd.DataFrame) -> None:
    """Draw differences from the first of `shown` by epoch; the last are those of the tables."""
    axes.axhline(0, color=GREY, linewidth=0.6)
    reference, *others = shown["variant"]
    contrasts, found = [f"{variant} - {reference}" for variant in others], {}
    for epoch, tested in curves.groupby("epoch"):
        values_VK = tested.pivot(index="variant", columns="seed", values="test_top1")
        found[epoch + 1] = compare(values_VK, contrasts, 1 - CONFIDENCE)
    compared, epochs = pd.concat(found), list(found)
    barred = [epochs[-1 - i] for i in evenly_spaced(len(epochs), MOST_BARS)]
    for place, variant in enumerate(others):
        look = gate_look(shown.loc[variant, "gate"])
        aside = ASIDE * np.ptp(epochs) * (place - (len(others) - 1) / 2)
        rows = compared.xs(place, level=1)
        bars = rows.loc[barred]
        axes.plot(rows.index + aside, rows["difference"], color=look.colour)
        axes.errorbar(
            bars.index + aside,
            bars["difference"],
            yerr=bars["half_width"],
            **look.marked(4),
            linestyle="",
            ecolor=(look.colour, 0.6),
            elinewidth=0.8,
            label=variant,
        )


def draw_losses(axes: Axes, own: pd.DataFrame, gate: str) -> None:
    """Draw the mean path through training and test loss, with a mark at its end."""
    path = own.groupby("epoch")[["train_loss", "test_loss"]].mean()
    axes.plot(path["train_loss"], path["test_loss"], **gate_look(gate).marked(5), markevery=[-1])
