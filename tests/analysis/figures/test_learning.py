from dataclasses import replace

import pytest

from posmlp.analysis.figures.learning import learning, run_curves


def test_gaps_are_those_of_the_tables_and_losses_end_at_the_last_epoch(
    digits_summary, curves_of, settings_of
):
    plain = digits_summary[digits_summary["other_settings"] == ""]
    figure = learning(curves_of(plain), plain, settings_of(plain))
    gap, losses = figure.axes
    table = digits_summary.set_index("variant")["test_top1_mean"]
    assert [bars.get_label() for bars in gap.containers] == [
        *("fc_lrpe", "fc_gqpe", "lrpe_s16", "qpe_s16", "gqpe_s16")
    ]
    for bars in gap.containers:
        line = bars.lines[0].get_xydata()
        assert line[-1, 1] == pytest.approx(table[bars.get_label()] - table["sgu"])
    assert losses.lines[1].get_xydata()[-1].tolist() == [pytest.approx(2.3), pytest.approx(1.4)]
    assert losses.lines[1].get_xydata()[0, 0] == pytest.approx(2.8)  # the third of 8 epochs


def lines_of(axes) -> dict:
    return {line.get_label(): line for line in axes.lines}


def test_curves_of_a_run_show_every_split_and_the_average(learned_run):
    columns = ("train_loss", "test_top1", "test_loss", "val_top1", "val_loss", "ema_test_top1")
    history = [{"epoch": e} | {c: 10.0 * e + i for i, c in enumerate(columns)} for e in range(3)]
    history = [row | {"ema_val_top1": None} for row in history]
    accuracy, loss = run_curves(replace(learned_run([]), history=history)).axes
    assert lines_of(accuracy).keys() == {"test", "validation", "test (averaged weights)"}
    assert lines_of(loss).keys() == {"training", "test", "validation"}
    assert lines_of(accuracy)["test"].get_xdata().tolist() == [1, 2, 3]
    assert lines_of(accuracy)["validation"].get_ydata().tolist() == [3, 13, 23]
    assert run_curves(learned_run([])) is None
