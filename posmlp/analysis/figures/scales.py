"""Axes for counts and for accuracies, linear or logarithmic by their range."""

from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter, NullLocator

COUNT_RATIO = 3  # a count axis over a larger ratio is logarithmic
ERROR_RATIO = 10  # an accuracy axis over a larger ratio of errors (100 - accuracy) likewise
LEAST_ERROR = 0.05  # per cent; smaller errors are drawn as this
ACCURACY_TICKS = (0, 50, 80, 90, 95, 98, 99, 99.5, 99.8, 99.9)
MARGIN = 0.06  # of the range, at each end


def format_count_axis(axes: Axes, counts: pd.Series, *, along: Literal["x", "y"] = "x") -> None:
    """Count in k and M along an axis, logarithmic where the range asks for it."""
    axis = axes.xaxis if along == "x" else axes.yaxis
    if counts.max() > COUNT_RATIO * counts.min():
        axes.set(**{f"{along}scale": "log"})
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(EngFormatter(sep=""))


def format_accuracy_axis(axes: Axes, low: float, high: float, label: str) -> None:
    """Show accuracies in per cent from low to high along y.

    One failed variant would press all others against the top; the logarithm of the error keeps
    both in sight, and halving the error is the same step everywhere.
    """
    if 100 - low > ERROR_RATIO * max(100 - high, LEAST_ERROR):
        axes.set_yscale("function", functions=(log_error, accuracy))
        bottom, top = log_error(np.array([low, high]))
        margin = MARGIN * (top - bottom)
        bottom, top = accuracy(np.array([bottom - margin, top + margin]))
        bottom = max(bottom, 0)
        ticks = [tick for tick in ACCURACY_TICKS if bottom <= tick <= top]
        axes.set_yticks(ticks, labels=[f"{tick:g}" for tick in ticks])
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set(ylim=(bottom, top), ylabel=f"{label}, log error")
    else:
        set_range(axes, low, high)
        axes.set_ylabel(label)


def set_range(axes: Axes, low: float, high: float) -> None:
    """Show low to high along y, with a margin."""
    margin = MARGIN * (high - low) or 1.0
    axes.set_ylim(low - margin, high + margin)


def log_error(accuracies: np.ndarray) -> np.ndarray:
    """Minus the decimal logarithm of the error in per cent: the better, the higher."""
    return -np.log10(np.maximum(100 - accuracies, LEAST_ERROR))


def accuracy(log_errors: np.ndarray) -> np.ndarray:
    """Inverse of log_error."""
    return 100 - 10**-log_errors
