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
    gate_label,
    nothing_to_show,
    num_groups,
    on_same_data,
)
from posmlp.analysis.figures.scales import format_accuracy_axis, format_count_axis
from posmlp.analysis.figures.style import (
    CHARACTERS,
    ONE_COLUMN,
    figure_style,
    gate_look,
    in_gate_order,
)


@figure_style()
def accuracy_vs_groups(summary: pd.DataFrame) -> Figure:
    """Draw top-1 and parameters against the number of groups, for variants changed in no other way.

    A gating unit with several group counts is a line; one with a single count is a horizontal
    line with its mark and interval at the right, beyond the largest count.
    """
    summary, _ = on_same_data(summary)
    plain = summary[summary["other_settings"] == ""]
    plain = plain.assign(position=plain["groups"].map(num_groups)).sort_values("position")
    swept = plain[plain.groupby("gate")["position"].transform("nunique") > 1]
    if swept.empty:
        return nothing_to_show("No gating unit here has been trained with several group counts.")
    single = plain.drop(swept.index)
    plain = plain.assign(x=positions(swept, single))
    figure = Figure(figsize=(ONE_COLUMN, 4.2), layout="constrained")
    accuracy, size = figure.subplots(2, 1, sharex=True, height_ratios=(1.6, 1))
    for gate in in_gate_order(swept["gate"]):
        draw_unit(accuracy, size, plain[(plain["gate"] == gate) & plain.index.isin(swept.index)])
    for index in single.index:
        draw_unit(accuracy, size, plain.loc[[index]], level=True)
    accuracy.set_xscale("log", base=2)
    ticks = spaced_ticks(swept.drop_duplicates("position"), *accuracy.get_xlim())
    size.set_xticks(ticks["position"], labels=ticks["groups"])
    size.xaxis.set_minor_locator(NullLocator())
    size.set(xlabel="groups (s)", ylabel="parameters")
    format_accuracy_axis(accuracy, *bar_range(plain), "top-1 accuracy (%)")
    format_count_axis(size, plain["params"], along="y")
    handles = dict(zip(*accuracy.get_legend_handles_labels()[::-1], strict=True))
    legend = {"loc": "outside upper center", "ncols": 3, "handlelength": 2.2}
    figure.legend(handles.values(), handles.keys(), columnspacing=1.0, **legend)
    dashed = " Dashed: units with one group count." if len(single) else ""
    add_caption(figure, f"{bar_caption(plain)}{dashed}")
    return figure


def positions(swept: pd.DataFrame, single: pd.DataFrame) -> pd.Series:
    """Positions along x: near their groups for swept variants, beyond the largest for others."""
    gates = in_gate_order(swept["gate"])
    right = swept["position"].max()
    step = (right / swept["position"].min()) ** 0.02
    aside = swept["gate"].map({gate: i - (len(gates) - 1) / 2 for i, gate in enumerate(gates)})
    beyond = right * max(step**4, 1.3) ** np.arange(1, len(single) + 1)
    return pd.concat(
        [swept["position"] * step ** aside.astype(float), pd.Series(beyond, index=single.index)]
    )


def spaced_ticks(ticks: pd.DataFrame, low: float, high: float) -> pd.DataFrame:
    """Leave out ticks whose labels would overlap on a logarithmic axis from low to high."""
    inches = 0.75 * ONE_COLUMN / np.log(high / low)
    kept, end = [], -np.inf
    for index, row in ticks.sort_values("position").iterrows():
        middle = inches * np.log(row["position"])
        half = (len(row["groups"]) + 1) / 2 / CHARACTERS
        if middle - half > end:
            kept.append(index)
            end = middle + half
    return ticks.loc[kept]


def draw_unit(accuracy: Axes, size: Axes, rows: pd.DataFrame, level: bool = False) -> None:
    """Draw the variants of one gating unit in both panels."""
    gate = rows["gate"].iloc[0]
    look = gate_look(gate)
    style = {"linestyle": "--" if level else "-", "color": look.colour}
    style |= {"marker": look.mark, "markersize": 4 * look.scale}
    accuracy.errorbar(
        rows["x"],
        rows["test_top1_mean"],
        yerr=rows["test_top1_half_width"],
        label=gate_label(gate),
        ecolor=(look.colour, 0.6),
        elinewidth=0.8,
        **style,
    )
    size.plot(rows["x"], rows["params"], **style)
    if level:
        for axes, column in ((accuracy, "test_top1_mean"), (size, "params")):
            value = rows[column].iloc[0]
            axes.axhline(value, color=look.colour, linestyle="--", linewidth=0.7)
