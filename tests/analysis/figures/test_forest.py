import numpy as np
import pytest

from posmlp.analysis.figures.forest import contrast_names, forest, percentage


def test_every_comparison_is_a_row_with_its_interval(digits_summary):
    axes, right = forest(digits_summary, 0.5).axes
    compared = digits_summary[1:]  # the reference has nothing to differ from
    rows = {container.get_label(): container for container in axes.containers}
    assert list(rows) == compared["variant"].tolist()
    for y, (_, row) in enumerate(compared.iterrows()):
        assert rows[row["variant"]].lines[0].get_xydata().tolist() == [
            [row["test_top1_difference"], y]
        ]
        (low, _), (high, _) = rows[row["variant"]].lines[2][0].get_segments()[0]
        assert (high - low) / 2 == pytest.approx(row["test_top1_difference_half_width"])
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == contrast_names(compared)
    params = digits_summary.set_index("variant")["params"]
    shares = [1 - params[variant] / params["sgu"] for variant in compared["variant"]]
    assert [label.get_text() for label in right.get_yticklabels()] == list(map(percentage, shares))
    (band,) = axes.patches
    assert (band.get_x(), band.get_width()) == (-0.5, 1.0)


def test_a_row_names_what_it_is_compared_with_unless_that_is_the_reference(digits_summary):
    rows = digits_summary[1:3].assign(against=["sgu", "lrpe_s1"])
    assert contrast_names(rows) == ["fc_lrpe", "fc_gqpe − lrpe_s1"]


@pytest.mark.parametrize(
    ("share", "text"), [(0.914, "91%"), (0.0, "0%"), (-8.94, "+894%"), (np.nan, "")]
)
def test_parameters_removed_are_percentages_and_those_added_have_a_plus(share, text):
    assert percentage(share) == text


def test_a_study_without_margin_has_no_band(digits_summary):
    figure = forest(digits_summary, None)
    assert not figure.axes[0].patches
    assert "margin" not in figure.get_supxlabel()
