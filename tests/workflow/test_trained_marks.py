"""Marks of trained packs: which of them are outdated."""

import json
import os
from pathlib import Path

import pytest

from posmlp.study import load_study
from posmlp.workflow.trained_marks import update_inputs

RUNS = load_study("digits").runs()[:4]
PACKS = [RUNS[:2], RUNS[2:]]


@pytest.fixture
def marks(tmp_path):
    """Two marks, of two finished runs each."""
    for run in RUNS:
        path = run.folder(tmp_path) / "metrics.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"key": run.key}))
        os.utime(path, (1000, 1000))
    found = [tmp_path / f".digits.trained-{part}" for part in (1, 2)]
    for mark in found:
        mark.touch()
    return found


def metrics(run, results):
    return run.folder(results) / "metrics.json"


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        (lambda path: None, [True, True]),
        (lambda path: path.unlink(), [True, False]),
        (lambda path: path.write_text("{"), [True, False]),
        (lambda path: path.write_text('{"key": "0"}'), [True, False]),
        (lambda path: os.utime(path, (4e9, 4e9)), [True, False]),  # by another start or command
    ],
    ids=["unchanged", "deleted", "damaged", "another key", "trained later"],
)
def test_a_job_is_needed_while_one_of_its_runs_is_not_finished(marks, tmp_path, change, kept):
    change(metrics(RUNS[3], tmp_path))
    update_inputs(marks, PACKS, tmp_path)
    asked = [Path(f"{mark}.again").stat().st_mtime >= mark.stat().st_mtime for mark in marks]
    assert asked == [not holds for holds in kept]


def test_an_outdated_mark_may_become_valid_again(marks, tmp_path):
    path = metrics(RUNS[3], tmp_path)
    path.rename(tmp_path / "away")
    update_inputs(marks, PACKS, tmp_path)
    (tmp_path / "away").rename(path)
    update_inputs(marks, PACKS, tmp_path)
    assert not any(Path(f"{mark}.again").stat().st_mtime for mark in marks)


def test_a_mark_that_is_not_there_is_snakemakes_affair(marks, tmp_path):
    marks[0].unlink()
    update_inputs(marks, PACKS, tmp_path)
    assert Path(f"{marks[0]}.again").stat().st_mtime == 0
