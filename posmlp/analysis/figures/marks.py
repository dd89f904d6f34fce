"""What several figures share: ranges and formats of axes, legends, captions."""

import textwrap
from collections.abc import Iterable

import numpy as np
import pandas as pd
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import Formatter, LogLocator, NullFormatter
from numpy.typing import ArrayLike

from posmlp.analysis.figures.style import CHARACTERS, GATE_LOOKS, GREY, ONE_COLUMN, gate_look
from posmlp.analysis.statistics import CONFIDENCE
from posmlp.analysis.tables import shorten

HANDLE = 5  # characters that a mark in a legend takes
LONGEST_GATE = 14  # characters of a gating unit's name in a legend
LOG_RATIO = 3  # an axis of positive numbers over a larger ratio is logarithmic
MARGIN = 0.06  # of an axis' range, at each end
REACH = 1.5  # of error bars; those of two seeds would squeeze the axis


def bar_range(
    means: pd.Series, half_widths: pd.Series, least: float = 0, most: float = 100
) -> tuple[float, float]:
    """Ends of all error bars, at most REACH times the spread of the means beyond them.

    Accuracies end at 100 but t intervals do not, so the range starts no lower than `least` and
    ends at most halfway from the best mean to `most`.
    """
    half_widths = half_widths.fillna(0)
    reach = REACH * (means.max() - means.min()) or np.inf
    low = max((means - half_widths).min(), means.min() - reach, least)
    high = min((means + half_widths).max(), means.max() + reach, (means.max() + most) / 2)
    return low, high


def format_positive_axis(axis: Axis, values: ArrayLike, formatter: Formatter) -> None:
    """Format an axis' numbers, on a logarithmic scale if they span a large ratio."""
    if np.nanmax(values) > LOG_RATIO * np.nanmin(values):
        axis.axes.set(**{f"{axis.axis_name}scale": "log"})
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(formatter)


def gate_label(gate: str) -> str:
    """Name of a gating unit in a legend; networks from elsewhere have none."""
    return shorten([gate], LONGEST_GATE)[0] or "no gate named"


def legend_handles(summary: pd.DataFrame) -> list[Line2D]:
    """A mark per gating unit and, where some marks are hollow, their explanation."""
    order = [*GATE_LOOKS, *summary["gate"]]
    handles = [
        Line2D([], [], linestyle="", label=gate_label(gate), **gate_look(gate).marked(5))
        for gate in sorted(summary["gate"].unique(), key=order.index)
    ]
    if summary["other_settings"].ne("").any():
        mark = {"marker": "o", "markersize": 5, "color": GREY, "markerfacecolor": "white"}
        handles.append(Line2D([], [], linestyle="", label="other settings", **mark))
    return handles


def legend_columns(names: Iterable[str], width: float) -> int:
    """Columns that fit into a legend of a width in inches."""
    return max(1, int(width * CHARACTERS / (max(map(len, names)) + HANDLE)))


def bar_caption(summary: pd.DataFrame) -> str:
    """Say what the error bars are, and over how many seeds."""
    fewest, most = summary["n"].min(), summary["n"].max()
    if most <= 1:
        return "One seed each, so no intervals."
    seeds = most if fewest == most else f"{fewest} to {most}"
    return f"Bars: Student-t {CONFIDENCE:.0%} interval of the mean over {seeds} seeds."


def add_caption(figure: Figure, *sentences: str) -> None:
    """Write a caption under the figure, wrapped to its width; empty sentences are left out."""
    width = int(figure.get_size_inches()[0] * CHARACTERS)
    figure.supxlabel(textwrap.fill(" ".join(filter(None, sentences)), width), color=GREY)


def evenly_spaced(length: int, most: int) -> list[int]:
    """At most `most` positions below length, from first to last."""
    return np.linspace(0, length - 1, min(most, length)).round().astype(int).tolist()


def nothing_to_show(why: str) -> Figure:
    """A figure without axes that says why: a study may lack what a figure is about."""
    figure = Figure(figsize=(ONE_COLUMN, 0.7))
    text = textwrap.fill(why, int(ONE_COLUMN * CHARACTERS))
    figure.text(0.5, 0.5, text, ha="center", va="center", color=GREY)
    return figure
