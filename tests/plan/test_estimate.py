"""Plans add up measurements; variants without one are listed, never guessed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from posmlp.config import Settings
from posmlp.plan import estimate as module
from posmlp.plan.estimate import (
    Calibration,
    Capacity,
    Estimate,
    estimate,
    read_calibrations,
    wall_seconds,
    write_calibrations,
)
from posmlp.plan.plan_text import plan_text
from posmlp.study import load_study
from posmlp.workflow import allocation

STUDY = load_study("digits")
SGU = STUDY.configs["sgu"]
A_RUN_S = 750.0
ROW = Calibration(
    variant="sgu",
    settings=SGU.speed_key,
    device="GPU A",
    processes=1,
    threads=8,
    start_s=10.0,
    run_s=A_RUN_S,
    disk_mb=7.0,
)


def finish(results: Path, variant: str, seed: int, wall_s: float, key: str | None = None) -> None:
    run = STUDY.run(variant, seed)
    folder = run.folder(results)
    folder.mkdir(parents=True)
    metrics = {"wall_s": wall_s, "key": key or run.key}
    (folder / "metrics.json").write_text(json.dumps(metrics))


def of(variant: str, estimates: list[Estimate]) -> Estimate:
    return next(e for e in estimates if e.variant == variant)


def test_a_calibration_stands_in_until_a_run_is_finished(tmp_path):
    found = estimate(STUDY, tmp_path, [ROW])
    sgu = of("sgu", found)
    assert sgu == Estimate("sgu", 3, (0, 1, 2), 10 + A_RUN_S, "calibration on GPU A", 7.0)
    assert of("gqpe_s4", found).seconds is None
    finish(tmp_path, "sgu", 0, wall_s=100.0)
    finish(tmp_path, "sgu", 2, wall_s=140.0)
    sgu = of("sgu", estimate(STUDY, tmp_path, [ROW]))
    assert (sgu.seeds_left, sgu.seconds, sgu.source) == ((1,), 130.0, "2 finished runs")


def test_measurements_of_other_settings_are_ignored(tmp_path):
    finish(tmp_path, "sgu", 0, wall_s=100.0, key="0" * 16)
    sgu = of("sgu", estimate(STUDY, tmp_path, [ROW.model_copy(update=dict(settings="0" * 16))]))
    assert (sgu.num_left, sgu.seconds, sgu.disk_mb) == (3, None, None)


def test_a_calibration_replaces_an_earlier_one_of_the_same_machine(tmp_path):
    path = tmp_path / "calibration.csv"
    assert read_calibrations(path) == []
    write_calibrations(path, [ROW, ROW.model_copy(update=dict(variant="gqpe_s4"))])
    write_calibrations(path, [ROW.model_copy(update=dict(device="GPU B"))])
    write_calibrations(path, [ROW.model_copy(update=dict(run_s=500.0))])
    rows = read_calibrations(path)
    assert [(r.variant, r.device, r.run_s) for r in rows] == [
        ("gqpe_s4", "GPU A", A_RUN_S),
        ("sgu", "GPU B", A_RUN_S),
        ("sgu", "GPU A", 500.0),
    ]
    assert of("sgu", estimate(STUDY, tmp_path, rows)).seconds == 10 + 500.0


@pytest.mark.parametrize(
    ("num_jobs", "jobs", "at_once", "wall"),
    [
        (36, 1, 1, 60.0),
        (36, 2, 1, 30.0),  # a job per run, the longest first
        (36, 100, 1, 30.0),
        (1, 1, 2, 40.0),  # one job, runs in the order of the sheet: 10 10 | 10 30
        (12, 2, 1, 30.0),  # a job per variant
        (12, 1, 3, 40.0),
    ],
)
def test_wall_time_starts_the_longest_jobs_first(num_jobs, jobs, at_once, wall):
    runs = [Estimate("sgu", 3, (0, 1, 2), 10.0, "", None)]
    runs += [Estimate("gqpe_s4", 3, (1,), 30.0, "", None)]
    assert wall_seconds(STUDY, runs, Capacity(jobs, at_once, "", num_jobs)) == wall


def test_the_plan_adds_up_what_is_left_and_lists_what_is_not_measured(tmp_path):
    finish(tmp_path, "sgu", 0, wall_s=7200.0)
    calibrated(tmp_path, ROW)
    text = plan_text(STUDY, tmp_path, Capacity(1, 4, "4 GPUs", job_minutes=60))
    assert "36 runs in 1 job, 1 done, 35 to do" in text
    assert "4.01 GPU-hours" in text
    assert "Wall time:   2.0 h with 4 runs at once (4 GPUs)" in text
    assert "job time limit 1 h: 3 jobs in sequence" in text
    assert "0.014 GB for checkpoints" in text
    none = plan_text(replace(STUDY, questions=()), tmp_path, Capacity(1, 4, "4 GPUs"))
    assert none.endswith("Verdicts:    none, the study has no questions")
    assert "lrpe_s1, " in text.split("Not measured, so not included: ")[1]


def test_runs_that_share_a_gpu_share_its_hours(tmp_path):
    calibrated(tmp_path, ROW)
    text = plan_text(STUDY, tmp_path, Capacity(1, 8, "2 GPUs", runs_per_gpu=4))
    assert f"{3 * (10 + A_RUN_S) / 4 / 3600:.2f} GPU-hours" in text
    assert "4 runs each" in text
    assert "lower bounds" in text


def calibrated(results: Path, *rows: Calibration) -> None:
    (results / "digits").mkdir(exist_ok=True)
    write_calibrations(results / "digits/calibration.csv", list(rows))


def test_capacity_of_this_machine_and_of_a_cluster(monkeypatch):
    settings = {"study": "digits", "runs_at_once": 6}
    monkeypatch.setattr(allocation, "visible_gpus", lambda: ["GPU"] * 3)
    monkeypatch.setattr(module.os, "sched_getaffinity", lambda process: range(4))
    here = module.capacity_of(Settings.model_validate(settings), STUDY)
    assert here == Capacity(1, 6, "3 GPUs; 4 cores of this machine", 1, 2, None)
    monkeypatch.setattr(module, "installed", lambda: True)
    monkeypatch.setattr(module, "jobs_of_partition", lambda *given: (7, f"{given}"))
    monkeypatch.setattr(module, "partition_minutes", lambda partition: 90)
    settings |= {"slurm": {"partition": "gpu"}, "runs_per_job": 12}
    there = module.capacity_of(Settings.model_validate(settings), STUDY)
    assert there == Capacity(7, 6, "('gpu', 1, True, 50)", 3, 6, 90)


def test_a_damaged_run_is_left_to_do(tmp_path):
    finish(tmp_path, "sgu", 0, wall_s=1.0)
    (STUDY.run("sgu", 0).folder(tmp_path) / "metrics.json").write_text("{")
    assert of("sgu", estimate(STUDY, tmp_path, [])).num_left == 3
