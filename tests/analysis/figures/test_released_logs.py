from pathlib import Path

import pytest

from posmlp.analysis.figures.released_logs import read_released_logs

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
