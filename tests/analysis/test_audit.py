"""The statuses of the audit, and the committed audit."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from committed import ROOT

from posmlp.analysis.audit import Ours, audit, compared, ours_text, summary, trained, write_audit
from posmlp.analysis.collect import CURVE_COLUMNS, RUN_COLUMNS, write_frame
from posmlp.published import RESOURCES, Counterpart, Published

pytestmark = pytest.mark.xdist_group("audit")


def published(value="21", unit="M", quantity="params", **fields) -> Published:
    fields = dict(source="readme", model="a", confidence="verbatim", where="table") | fields
    return Published(value=value, unit=unit, quantity=quantity, **fields)


TOP1 = published("82.1", "%", "top1")


@pytest.mark.parametrize(
    ("number", "ours", "status"),
    [
        (published(), Ours(20_500_001), "equal"),  # it rounds to 21M
        (published(), Ours(21_499_999), "equal"),
        (published(), Ours(21_500_001), "different"),
        (published(known_difference="-100001"), Ours(21_600_000), "explained"),
        (published(known_difference="-100001"), Ours(21_700_000), "different"),
        (published(known_difference="-5000000"), Ours(21_100_000), "equal"),
        (published(), None, "not counted"),
        (TOP1, Ours(82.14, np.nan, 1), "equal"),
        (TOP1, Ours(82.2, np.nan, 1), "different"),
        (TOP1, Ours(82.4, 0.31, 3), "equal"),  # within the interval of ours
        (TOP1, Ours(82.4, 0.29, 3), "different"),
        (TOP1, None, "not run"),
        (None, Ours(5e9), "unknown"),
    ],
)
def test_status(number, ours, status):
    row = compared(number.quantity if number else "macs", number, ours)
    assert row["status"] == status
    if number and ours:
        assert float(row["difference"]) == pytest.approx(ours.number - number.number)


def test_numbers_are_written_as_published():
    exact = published("18229856", "1", confidence="inferred")
    row = compared("params", exact, Ours(18_229_856))
    assert (row["published_text"], row["ours_text"]) == ("18,229,856†", "18,229,856")
    assert ours_text("params", published("18.2"), Ours(18_229_856)) == "18,229,856 = 18.2M"
    assert ours_text("macs", None, Ours(5_057_448_000)) == "5.057G"
    assert ours_text("top1", None, Ours(82.1, 0.25, 3)) == "82.10 ± 0.25 % (n=3)"
    assert ours_text("top1", None, Ours(82.1, np.nan, 1)) == "82.10 % (n=1)"
    assert compared("top1", None, None)["ours"] == "not run"


@pytest.fixture
def results(tmp_path):
    """Two seeds of a variant, last epochs worse than best ones; another variant beside them."""
    runs = pd.DataFrame(
        {
            "variant": ["tiny", "tiny", "small"],
            "seed": [0, 1, 0],
            "test_top1": [81.0, 82.0, 50.0],
            "test_top5": [95.0, 96.0, 60.0],
            "ema_test_top1": [81.5, 82.5, 50.0],
            "ema_test_top5": [95.5, 96.5, 60.0],
        }
    ).reindex(columns=RUN_COLUMNS)
    curves = pd.DataFrame(
        {
            "variant": ["tiny"] * 4 + ["small"],
            "seed": [0, 0, 1, 1, 0],
            "epoch": [0, 1, 0, 1, 0],
            "test_top1": [81.2, 81.0, 82.2, 82.0, 99.0],
            "ema_test_top1": [81.9, 81.5, 82.9, 82.5, 99.0],
        }
    ).reindex(columns=CURVE_COLUMNS)
    folder = tmp_path / "imagenet_posmlp"
    folder.mkdir()
    write_frame(runs, folder / "runs.csv")
    write_frame(curves, folder / "curves.csv")
    return tmp_path


TINY = Counterpart("PosMLP-T", "posmlp_tiny_224", {}, "imagenet_posmlp", "tiny", "stated")


@pytest.mark.parametrize(
    ("quantity", "weights", "mean"),
    [
        ("top1", "", 81.5),
        ("top5", "", 95.5),
        ("top1", "last raw", 81.5),
        ("top1", "last ema", 82.0),
        ("top1", "best raw", 81.7),
        ("top1", "best ema", 82.4),
    ],
)
def test_accuracies_come_from_the_same_point_of_training(results, quantity, weights, mean):
    found = trained(TINY, quantity, weights, results)
    assert (found.number, found.num_runs) == (pytest.approx(mean), 2)
    assert found.half_width == pytest.approx(12.706 * 0.5, rel=1e-3)  # t of one degree of freedom


def test_without_runs_there_is_no_accuracy(results, tmp_path):
    assert trained(TINY, "top1", "", tmp_path / "elsewhere") is None
    base = replace(TINY, variant="base")
    assert trained(base, "top1", "", results) is None
    assert trained(base, "top1", "best ema", results) is None
    no_study = replace(TINY, study="", variant="")
    assert trained(no_study, "top1", "", results / "imagenet_posmlp") is None


def test_the_committed_audit_is_not_stale(tmp_path):
    made = audit(ROOT / "results", ROOT / RESOURCES)
    write_audit(made, tmp_path)
    for name in ("audit.csv", "audit.md"):
        committed = ROOT / "results/audit" / name
        assert committed.read_text() == (tmp_path / name).read_text(), "make audit"
    assert summary(made).startswith("90 numbers: 26 equal, 20 explained, 2 different, ")
