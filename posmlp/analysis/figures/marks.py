"""What the figures of a study share: selection, names, axes, legends, captions."""

import textwrap
from collections.abc import Iterable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import Formatter, LogLocator, NullFormatter, NullLocator
from numpy.typing import ArrayLike

from posmlp.analysis.figures.style import CHARACTERS, GREY, ONE_COLUMN, gate_look, in_gate_order
from posmlp.analysis.statistics import CONFIDENCE
from posmlp.analysis.tables import shorten

HANDLE = 5  # characters that a mark in a legend takes
LONGEST_GATE = 14  # characters of a gating unit's name in a legend
LOG_RATIO = 3  # an axis of positive numbers over a larger ratio is logarithmic
ERROR_RATIO = 10  # an accuracy axis over a larger ratio of errors (100 - accuracy) likewise
LEAST_ERROR = 0.05  # per cent; smaller errors are drawn as this
ACCURACY_TICKS = (0, 50, 80, 90, 95, 98, 99, 99.5, 99.8, 99.9)
MARGIN = 0.06  # of the range, at each end
REACH = 1.5  # of bars: those of two seeds would squeeze the axis


def on_same_data(summary: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Select variants on the reference's images, and note how many are left out.

    Accuracies on other images, a fraction of the data set for instance, need an axis of their own.
    """
    same = ~summary["other_settings"].str.contains(r"(?:^|; )data\.", regex=True)
    num_others = int((~same).sum())
    note = f" Not shown: {num_others} on other data (see the table)." if num_others else ""
    return summary[same], note


def bar_range(
    means: pd.Series, half_widths: pd.Series, least: float = 0, most: float = 100
) -> tuple[float, float]:
    """Ends of all error bars, at most REACH times the spread of the means beyond these.

    Accuracies end at 100, t intervals do not: at least `least`, at most halfway from the best mean
    to `most`.
    """
    half_widths = half_widths.fillna(0)
    reach = REACH * (means.max() - means.min()) or np.inf
    low = max((means - half_widths).min(), means.min() - reach, least)
    high = min((means + half_widths).max(), means.max() + reach, (means.max() + most) / 2)
    return low, high


def format_positive_axis(axis: Axis, values: ArrayLike, formatter: Formatter) -> None:
    """Write numbers in a format, on a logarithmic scale where their range asks for it."""
    if np.nanmax(values) > LOG_RATIO * np.nanmin(values):
        axis.axes.set(**{f"{axis.axis_name}scale": "log"})
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(formatter)


def format_accuracy_axis(axes: Axes, low: float, high: float, label: str) -> None:
    """Show accuracies in per cent from low to high along y.

    One failed variant would press all others against the top; the logarithm of the error keeps
    both in sight, and halving the error is the same step everywhere.
    """
    if 100 - low <= ERROR_RATIO * max(100 - high, LEAST_ERROR):
        margin = MARGIN * (high - low) or 1.0
        axes.set(ylim=(low - margin, high + margin), ylabel=label)
        return
    axes.set_yscale("function", functions=(log_error, accuracy))
    bottom, top = log_error(np.array([low, high]))
    margin = MARGIN * (top - bottom)
    bottom, top = accuracy(np.array([bottom - margin, top + margin]))
    bottom = max(bottom, 0)
    ticks = [tick for tick in ACCURACY_TICKS if bottom <= tick <= top]
    axes.set_yticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set(ylim=(bottom, top), ylabel=f"{label}, log error")


def log_error(accuracies: np.ndarray) -> np.ndarray:
    """Minus the decimal logarithm of the error in per cent: the better, the higher."""
    return -np.log10(np.maximum(100 - accuracies, LEAST_ERROR))


def accuracy(log_errors: np.ndarray) -> np.ndarray:
    """Inverse of log_error."""
    return 100 - 10**-log_errors


def gate_label(gate: str) -> str:
    """Name of a gating unit in a legend; networks of other origin have none."""
    return shorten([gate], LONGEST_GATE)[0] or "no gate named"


def legend_handles(summary: pd.DataFrame) -> list[Line2D]:
    """A mark per gating unit and, where some marks are hollow, their explanation."""
    handles = [
        Line2D([], [], linestyle="", label=gate_label(gate), **gate_look(gate).marked(5))
        for gate in in_gate_order(summary["gate"])
    ]
    if summary["other_settings"].ne("").any():
        mark = {"marker": "o", "markersize": 5, "color": GREY, "markerfacecolor": "white"}
        handles.append(Line2D([], [], linestyle="", label="other settings", **mark))
    return handles


def legend_columns(names: Iterable[str], width: float) -> int:
    """Columns of a legend in so many inches."""
    return max(1, int(width * CHARACTERS / (max(map(len, names)) + HANDLE)))


def bar_caption(summary: pd.DataFrame) -> str:
    """Say what the error bars are, and over how many seeds."""
    fewest, most = summary["n"].min(), summary["n"].max()
    if most <= 1:
        return "One seed each, so no intervals."
    seeds = most if fewest == most else f"{fewest} to {most}"
    return f"Bars: Student-t {CONFIDENCE:.0%} interval of the mean over {seeds} seeds."


def add_caption(figure: Figure, text: str) -> None:
    """Write a caption under the figure, wrapped to its width."""
    width = int(figure.get_size_inches()[0] * CHARACTERS)
    figure.supxlabel("\n".join(textwrap.wrap(text, width)), color=GREY)


def evenly_spaced(length: int, most: int) -> list[int]:
    """At most `most` positions below length, from first to last."""
    return np.linspace(0, length - 1, min(most, length)).round().astype(int).tolist()


def nothing_to_show(why: str) -> Figure:
    """An empty figure that says why: a study may lack what a figure is about."""
    figure = Figure(figsize=(ONE_COLUMN, 0.7))
    text = "\n".join(textwrap.wrap(why, int(ONE_COLUMN * CHARACTERS)))
    figure.text(0.5, 0.5, text, ha="center", va="center", color=GREY)
    return figure
