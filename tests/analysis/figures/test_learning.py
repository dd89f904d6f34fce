import pytest

from posmlp.analysis.figures.learning import learning


def test_gaps_are_those_of_the_tables_and_losses_end_at_the_last_epoch(studies):
    inputs = studies["ordinary"]
    figure = learning(inputs["curves"], inputs["summary"], inputs["units"])
    gap, losses = figure.axes
    table = inputs["summary"].set_index("variant")["test_top1_mean"]
    assert [bars.get_label() for bars in gap.containers] == [
        *("fc_lrpe", "fc_gqpe", "lrpe_s16", "qpe_s16", "gqpe_s16")
    ]
    for bars in gap.containers:
        line = bars.lines[0].get_xydata()
        assert line[-1, 1] == pytest.approx(table[bars.get_label()] - table["sgu"])
    assert losses.lines[1].get_xydata()[-1].tolist() == [pytest.approx(2.3), pytest.approx(1.4)]
    assert losses.lines[1].get_xydata()[0, 0] == pytest.approx(2.8)  # the third of 8 epochs
