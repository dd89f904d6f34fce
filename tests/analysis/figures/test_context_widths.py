import pandas as pd

from posmlp.analysis.figures.context_widths import MOST_PANELS, granularity


def test_figure_has_a_dot_a_group_and_the_start(digits_summary, granularities_of):
    figure = granularity(granularities_of(digits_summary), digits_summary)
    plain = digits_summary[digits_summary["other_settings"] == ""]
    titles = [axes.get_title() for axes in figure.axes if axes.axison]
    assert titles == plain["variant"].tolist()
    (dots,) = figure.axes[0].lines
    assert dots.get_ydata().tolist() == [1.1, 1.2, 1.3, 2.1, 2.2, 2.3]
    assert dots.get_xdata().round().tolist() == [1, 1, 1, 2, 2, 2]
    levels = [patch.get_data().values.tolist() for patch in figure.axes[0].patches]
    assert levels == [[4.0, 4.0], [1.0, 1.0]]
    assert "standard deviation per axis" in " ".join(figure.get_supxlabel().split())


def test_figure_counts_what_it_leaves_out(digits_summary, granularities_of):
    one = digits_summary[:1]
    many = pd.concat([one.assign(variant=f"v{i}") for i in range(MOST_PANELS + 3)])
    figure = granularity(granularities_of(many), many)
    assert "Not shown: 3 more" in " ".join(figure.get_supxlabel().split())
