"""Accuracy and parameters against the number of channel groups."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from posmlp.analysis.figures.marks import (
    add_caption,
    bar_caption,
    bar_range,
    draw_with_bars,
    num_groups,
)
from posmlp.analysis.figures.scales import format_accuracy_axis, format_count_axis
from posmlp.analysis.figures.style import ONE_COLUMN, figure_style, gate_look, in_gate_order


@figure_style()
def accuracy_vs_groups(summary: pd.DataFrame) -> Figure:
    """Draw top-1 and parameters against the number of groups, for variants changed in no other way.

    A gating unit with several group counts is a line; one with a single count is a horizontal line
    whose mark and interval stand at the right, beyond the largest count.
    """
    figure = Figure(figsize=(ONE_COLUMN, 4.2), layout="constrained")
    accuracy, size = figure.subplots(2, 1, sharex=True, height_ratios=(1.6, 1))
    plain = summary[summary["other_settings"] == ""]
    plain = plain.assign(position=plain["groups"].map(num_groups)).sort_values("position")
    swept = plain[plain.groupby("gate")["position"].transform("nunique") > 1]
    single = plain.drop(swept.index)
    ticks = swept.drop_duplicates("position")
    plain = plain.assign(x=positions(swept, single))
    for gate in in_gate_order(swept["gate"]):
        draw_unit(accuracy, size, plain[(plain["gate"] == gate) & plain.index.isin(swept.index)])
    for index in single.index:
        draw_unit(accuracy, size, plain.loc[[index]], level=True)
    accuracy.set_xscale("log", base=2)
    size.set_xticks(ticks["position"], labels=ticks["groups"])
    size.xaxis.set_minor_locator(NullLocator())
    size.set(xlabel="groups (s)", ylabel="parameters")
    format_accuracy_axis(accuracy, *bar_range(plain), "top-1 accuracy (%)")
    format_count_axis(size, plain["params"], along="y")
    handles, labels = accuracy.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, handlelength=2.6)
    dashed = "Dashed: units trained with one number of groups."
    add_caption(figure, f"{bar_caption(plain)} {dashed}", ONE_COLUMN)
    return figure


def positions(swept: pd.DataFrame, single: pd.DataFrame) -> pd.Series:
    """Return where variants stand: swept ones near their groups, the others beyond the largest."""
    gates = in_gate_order(swept["gate"])
    right = swept["position"].max() if len(swept) else 1.0
    step = (right / swept["position"].min()) ** 0.02 if len(swept) else 1.0
    aside = swept["gate"].map({gate: i - (len(gates) - 1) / 2 for i, gate in enumerate(gates)})
    beyond = right * max(step**4, 1.3) ** np.arange(1, len(single) + 1)
    return pd.concat(
        [swept["position"] * step ** aside.astype(float), pd.Series(beyond, index=single.index)]
    )


def draw_unit(accuracy: Axes, size: Axes, rows: pd.DataFrame, level: bool = False) -> None:
    """Draw the variants of one gating unit in both panels."""
    look = gate_look(rows["gate"].iloc[0])
    style = "--" if level else "-"
    draw_with_bars(accuracy, rows["x"], rows, style)
    mark = {"marker": look.mark, "markersize": 4 * look.scale}
    size.plot(rows["x"], rows["params"], style, color=look.colour, **mark)
    if level:
        for axes, column in ((accuracy, "mean"), (size, "params")):
            value = rows[column].iloc[0]
            axes.axhline(value, color=look.colour, linestyle="--", linewidth=0.7)
