from dataclasses import replace

from posmlp.analysis.figures.curves import run_curves


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
