import pytest

from posmlp.analysis.figures.learning import learning, units


def test_of_each_unit_the_plain_variant_with_most_groups_is_drawn(digits_summary):
    expected = ["sgu", "fc_lrpe", "fc_gqpe", "lrpe_s16", "qpe_s16", "gqpe_s16"]
    assert units(digits_summary)["variant"].tolist() == expected
    assert units(digits_summary.assign(n=0)).empty


def test_gaps_are_differences_of_means_and_losses_end_at_the_last_epoch(digits_summary, curves_of):
    gap, losses = learning(curves_of(digits_summary), digits_summary).axes
    means = digits_summary.set_index("variant")["test_top1_mean"]
    ends = [line.get_ydata()[-1] for line in gap.lines[1::2]]
    shown = units(digits_summary)["variant"].tolist()[1:]
    assert ends == pytest.approx([means[name] - means["sgu"] for name in shown])
    assert gap.lines[1].get_xdata()[0] == 3  # of 8 epochs, without the first quarter
    assert losses.lines[1].get_xydata().tolist() == [[pytest.approx(2.3), pytest.approx(1.4)]]


def test_without_another_unit_there_is_nothing_to_show(digits_summary, curves_of):
    (text,) = learning(curves_of(digits_summary[:1]), digits_summary[:1]).texts
    assert "No unit here" in text.get_text()
