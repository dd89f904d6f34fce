"""How units learn: the gap to the reference by epoch, and losses."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from posmlp.analysis.contrasts import compare
from posmlp.analysis.figures.content import Settings, units
from posmlp.analysis.figures.marks import add_caption, evenly_spaced, legend_columns
from posmlp.analysis.figures.style import GREY, TWO_COLUMNS, figure_style, gate_look
from posmlp.analysis.statistics import CONFIDENCE
from posmlp.analysis.tables import shorten

# of curves.csv; large studies have millions of rows
DRAWN_COLUMNS = ["variant", "seed", "epoch", "train_loss", "test_loss", "test_top1"]
LONGEST_NAME = 18
MOST_BARS = 5  # of a line
SKIPPED = 0.25  # of the epochs at the start, when gaps say nothing yet
ASIDE = 0.008  # of the axis, between the bars of two lines


@figure_style()
def learning(curves: pd.DataFrame, summary: pd.DataFrame, settings: Settings) -> Figure:
    """Draw each unit's gap to the reference by epoch, and its path in training and test loss."""
    reference = summary["reference"].iloc[0]
    rows = summary.set_index("variant", drop=False)
    shown = rows.loc[units(settings, rows["against"], reference)]
    figure = Figure(figsize=(TWO_COLUMNS, 3.3), layout="constrained")
    gap, losses = figure.subplots(1, 2)
    curves = late(curves, reference)
    draw_gaps(gap, curves, shown)
    for name, gate in shown["gate"].items():
        draw_losses(losses, curves[curves["variant"] == name], gate)
    gap.set(xlabel="epoch", ylabel=f"top-1 less {shorten([reference], LONGEST_NAME)[0]} (points)")
    gap.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    losses.set(xlabel="training loss", ylabel="test loss")
    losses.invert_xaxis()
    handles = legend(shown)
    ncols = legend_columns((handle.get_label() for handle in handles), TWO_COLUMNS)
    figure.legend(handles=handles, loc="outside upper center", ncols=ncols, columnspacing=1.0)
    caption = (
        f"Of each unit the variant with most groups, without the first {SKIPPED:.0%} of the "
        f"epochs. Bars: {CONFIDENCE:.0%} intervals over seeds. Right: means by epoch, the mark is "
        "the last; lower at the same training loss is better generalisation."
    )
    add_caption(figure, caption)
    return figure


def late(curves: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Tests after the first part of the epochs, of variants with as many as the reference."""
    ends = curves.groupby("variant")["epoch"].transform("max")
    last = ends[curves["variant"] == reference].max()
    is_late = curves["epoch"] + 1 > SKIPPED * (last + 1)
    return curves[curves["test_top1"].notna() & (ends == last) & is_late]


def draw_gaps(axes: Axes, curves: pd.DataFrame, shown: pd.DataFrame) -> None:
    """Draw differences from the first of `shown` by epoch, as the tables have them at the end."""
    axes.axhline(0, color=GREY, linewidth=0.6)
    reference, *others = shown["variant"]
    contrasts, found = [f"{variant} - {reference}" for variant in others], {}
    for epoch, tested in curves.groupby("epoch"):
        values_VK = tested.pivot(index="variant", columns="seed", values="test_top1")
        found[epoch + 1] = compare(values_VK, contrasts, 1 - CONFIDENCE)
    epochs = np.array(list(found))
    barred = [epochs[-1 - i] for i in evenly_spaced(len(epochs), MOST_BARS)]
    for place, variant in enumerate(others):
        look = gate_look(shown.loc[variant, "gate"])
        aside = ASIDE * np.ptp(epochs) * (place - (len(others) - 1) / 2)
        rows = pd.DataFrame({epoch: compared.iloc[place] for epoch, compared in found.items()}).T
        bars = rows.loc[barred]
        axes.plot(rows.index + aside, rows["difference"], color=look.colour)
        axes.errorbar(
            bars.index + aside,
            bars["difference"].astype(float),
            yerr=bars["half_width"].astype(float),
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


def legend(shown: pd.DataFrame) -> list[Line2D]:
    """A line with its mark per variant."""
    names = shorten(shown["variant"], LONGEST_NAME)
    return [
        Line2D([], [], **gate_look(gate).marked(4), label=name)
        for name, gate in zip(names, shown["gate"], strict=True)
    ]
