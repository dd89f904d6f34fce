from dataclasses import replace

import pytest

from posmlp.analysis.figures.learning import learning, run_curves, units


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
