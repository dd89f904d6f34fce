from pathlib import Path

import pytest

from posmlp.analysis.figures.released_logs import read_released_logs, released_curves

LOGS = Path(__file__).parents[3] / "workflow/resources/released_logs"


@pytest.fixture(scope="module")
def released():
    return read_released_logs(LOGS)


@pytest.mark.parametrize(
    ("network", "rows", "best", "epoch", "raw"),
    [("PosMLP-T", 300, 81.976, 254, 81.694), ("PosMLP-S", 310, 82.958, 264, 82.544)],
)
def test_logs_are_the_released_ones(released, network, rows, best, epoch, raw):
    log = released[network]
    assert len(log) == rows
    assert log["ema_test_top1"].max() == pytest.approx(best, abs=1e-3)
    assert log["ema_test_top1"].idxmax() == epoch
    assert log["test_top1"].max() == pytest.approx(raw, abs=1e-3)


def test_raw_averaged_and_loss_are_drawn_and_the_best_is_named(released):
    accuracy, loss = released_curves(released).axes
    for network, log in released.items():
        lines = {line.get_label(): line for line in [*accuracy.lines, *loss.lines]}
        assert lines[f"{network}, raw"].get_ydata().tolist() == log["test_top1"].tolist()
        assert lines[f"{network}, EMA"].get_ydata().tolist() == log["ema_test_top1"].tolist()
        assert lines[network].get_xdata().tolist() == list(range(1, len(log) + 1))  # epochs
        assert lines[network].get_ydata().tolist() == log["train_loss"].tolist()
    assert [text.get_text() for text in accuracy.texts] == ["81.98", "82.96"]


def test_a_missing_or_other_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"PosMLP-T\.csv: no such file"):
        read_released_logs(tmp_path)
    (tmp_path / "PosMLP-T.csv").write_text("epoch,loss\n0,1\n")
    with pytest.raises(ValueError, match=r"PosMLP-T\.csv: not a released log"):
        read_released_logs(tmp_path)
