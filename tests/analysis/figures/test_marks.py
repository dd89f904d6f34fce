import pytest
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from posmlp.analysis.figures.marks import (
    format_accuracy_axis,
    format_positive_axis,
)


@pytest.fixture
def axes():
    return Figure().add_subplot()


@pytest.mark.parametrize(("largest", "scale"), [(2.9e6, "linear"), (3.1e6, "log")])
def test_counts_over_a_factor_of_three_are_logarithmic(axes, largest, scale):
    format_positive_axis(axes.xaxis, [1e6, 2e6, largest], EngFormatter(sep=""))
    assert axes.get_xscale() == scale
    assert axes.xaxis.get_major_formatter()(2_000_000) == "2M"


@pytest.mark.parametrize(
    ("low", "high", "scale"),
    [(81.0, 98.0, "linear"), (79.0, 98.0, "function"), (99.6, 100.0, "linear")],
)
def test_errors_over_a_factor_of_ten_are_logarithmic(axes, low, high, scale):
    format_accuracy_axis(axes, low, high, "top-1 (%)")
    assert axes.get_yscale() == scale
    assert ("log error" in axes.get_ylabel()) == (scale == "function")
    bottom, top = axes.get_ylim()
    assert low - 5 < bottom < low
    assert high < top < 100.1


def test_a_failed_variant_leaves_room_for_the_others(axes):
    format_accuracy_axis(axes, 20.0, 99.0, "top-1 (%)")
    heights = axes.transAxes.inverted().transform(
        axes.transData.transform([[0, 20], [0, 96], [0, 98], [0, 99]])
    )[:, 1]
    assert heights[0] < 0.1  # both ends are in sight
    assert heights[3] > 0.9
    assert heights[2] - heights[1] == pytest.approx(heights[3] - heights[2])  # half the error
    assert heights[2] - heights[1] > 0.1
    assert axes.get_ylim()[0] == 0
    ticks = [tick.get_text() for tick in axes.get_yticklabels()]
    assert ticks == ["0", "50", "80", "90", "95", "98", "99"]
