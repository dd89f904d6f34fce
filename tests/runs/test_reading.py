"""Run folders that were copied, edited or damaged: errors name the file."""

import json
import os

import pytest

from posmlp.metrics import EPOCH_COLUMNS, REQUIRED
from posmlp.runs.reading import read_history, read_json, read_metrics

METRICS = dict.fromkeys(REQUIRED, 1.5) | {"epochs": 2, "key": "0123", "ema_test_top1": None}
METRICS |= {"finished_at": "2026-11-22T10:01:00+00:00"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "contains a list"),
        (METRICS | {"test_top1": "97"}, 'test_top1 is "97", not a number'),
        (METRICS | {"test_top1": True}, "test_top1 is true"),
        (METRICS | {"val_top1": "97"}, 'val_top1 is "97"'),
        (METRICS | {"test_top1": None}, "test_top1 is null"),
        (METRICS | {"epochs": None}, "epochs is null"),
        (METRICS | {"key": None}, "key is missing"),
        (METRICS | {"finished_at": "noon"}, "finished_at is not a time"),
    ],
)
def test_invalid_metrics_are_refused(tmp_path, values, message):
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(METRICS))
    assert read_metrics(path) == METRICS
    path.write_text(json.dumps(values))
    with pytest.raises(ValueError, match=f"^metrics.json: {message}"):
        read_metrics(path)


def test_json_files_that_cannot_be_read_are_named(tmp_path):
    path = tmp_path / "metrics.json"
    assert read_json(path) == {}
    path.write_text(json.dumps(METRICS)[:-20])
    with pytest.raises(ValueError, match=r"metrics\.json: is damaged \(.* column"):
        read_json(path)
    path.unlink()
    os.symlink("metrics.json", path)
    with pytest.raises(ValueError, match="Too many levels of symbolic links"):
        read_json(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(ValueError, match="Is a directory"):
        read_json(path)


HEADER = ",".join(EPOCH_COLUMNS)
ROW = ",".join(["3", "1.5", *["0.25"] * (len(EPOCH_COLUMNS) - 3), ""])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the last line is truncated"),
        (f"{HEADER}\n{ROW}\n{ROW[:9]}", "the last line is truncated"),
        (f"{HEADER}\n{ROW}\n{ROW[:9]}\n", "line 3: has a different number of columns"),
        (f"{HEADER}\n{ROW},7\n", "line 2: has a different number of columns"),
        (f"{HEADER}\n{ROW.replace('3', 'x', 1)}\n", "line 2: .*'x'"),
        (f"{HEADER}\n{ROW.replace('0.25', 'high', 1)}\n", "line 2: .*'high'"),
        ("epoch,time,top1\n0,1.5,97\n", "unknown metrics: top1"),
        ("epoch,lr\n0,0.1\n", "line 2: 'time'"),
    ],
)
def test_a_damaged_history_is_refused(tmp_path, text, message):
    path = tmp_path / "history.csv"
    path.write_text(f"{HEADER}\n{ROW}\n")
    (row,) = read_history(path)
    assert (row["epoch"], row["time"], row["epoch_s"]) == (3, 1.5, None)
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"^history\.csv.*{message}"):
        read_history(path)
