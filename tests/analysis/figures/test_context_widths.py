from posmlp.analysis.figures.catalogue import FIGURES, draw
from posmlp.analysis.figures.context_widths import MOST_PANELS

(ENTRY,) = [entry for entry in FIGURES if entry.name == "granularity"]


def test_figure_has_a_dot_per_group_and_the_start(studies):
    figure = draw(ENTRY, studies["ordinary"])
    summary = studies["ordinary"]["summary"]
    plain = summary[summary["other_settings"] == ""]
    titles = [axes.get_title() for axes in figure.axes if axes.axison]
    assert titles == plain["variant"].tolist()
    (dots,) = figure.axes[0].lines
    assert dots.get_ydata().tolist() == [1.1, 1.2, 1.3, 2.1, 2.2, 2.3]
    assert dots.get_xdata().round().tolist() == [1, 1, 1, 2, 2, 2]
    levels = [patch.get_data().values.tolist() for patch in figure.axes[0].patches]
    assert levels == [[4.0, 4.0], [1.0, 1.0]]


def test_figure_counts_what_it_leaves_out(studies):
    figure = draw(ENTRY, studies["sixty"])
    num_panels = sum(axes.axison for axes in figure.axes)
    assert num_panels <= MOST_PANELS
    assert f"Not shown: {60 - num_panels} more" in " ".join(figure.get_supxlabel().split())
