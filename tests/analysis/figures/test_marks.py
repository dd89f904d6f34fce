import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from posmlp.analysis.figures.marks import bar_range, format_positive_axis


@pytest.mark.parametrize(("largest", "scale"), [(2.9e6, "linear"), (3.1e6, "log")])
def test_counts_over_a_factor_of_three_are_logarithmic(largest, scale):
    axes = Figure().add_subplot()
    format_positive_axis(axes.xaxis, [1e6, 2e6, largest], EngFormatter(sep=""))
    assert axes.get_xscale() == scale
    assert axes.xaxis.get_major_formatter()(2_000_000) == "2M"


@pytest.mark.parametrize(
    ("means", "half_width", "expected"),
    [
        ([92, 98], 2.0, (90, 99)),  # halfway to 100
        ([92], 2.0, (90, 94)),
        ([92], np.nan, (92, 92)),
        ([92, 98], 60.0, (92 - 1.5 * 6, 99)),  # marks stay apart
    ],
)
def test_a_range_holds_all_bars_but_ends_below_100(means, half_width, expected):
    means = pd.Series(means, dtype=float)
    assert bar_range(means, pd.Series(half_width, means.index)) == expected
