"""Division of a machine, or of a cluster's jobs, among the runs of a study."""

from dataclasses import replace

import pytest

from posmlp.config import read_settings
from posmlp.study import load_study
from posmlp.study.study_error import StudyError
from posmlp.workflow import allocation as module
from posmlp.workflow.allocation import allocate

SITE = {"cpus": 6, "mem_gb": 32, "account": "lab"}
DIGITS = load_study("digits")  # 36 runs


def allocated(gpus=1, nodes=1, cores=8, **settings):
    study = replace(DIGITS, gpus=gpus, nodes=nodes)
    return allocate(read_settings({"study": "digits"} | settings), study, cores, submits=True)


@pytest.fixture
def visible(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setattr("posmlp.slurm.site.partition_minutes", lambda partition: None)

    def show(names):
        monkeypatch.setattr(module, "visible_gpus", lambda: names)

    show([])
    return show


@pytest.mark.parametrize("key", ["runs_per_job", "runs_at_once"])
def test_a_number_of_runs_is_at_least_one(key):
    with pytest.raises(StudyError, match=f"config.yaml or --config: {key}"):
        read_settings({"study": "digits", key: 0})


@pytest.mark.parametrize("site", [{}, {"slurm": SITE}])
def test_only_runs_of_one_gpu_share_it(visible, site):
    assert allocated(runs_at_once="4", **site).at_once == 4
    with pytest.raises(StudyError, match=r"each takes 2 \(gpus in the study file\)"):
        allocated(gpus=2, runs_at_once=4, **site)


def test_on_cores_runs_of_several_processes_train_side_by_side(visible):
    visible(["0"])
    run = allocated(gpus=2, runs_at_once=4, device="cpu")
    assert (run.at_once, run.cpus) == (4, 1)


@pytest.mark.parametrize(
    ("names", "gpus", "settings", "cores", "at_once", "cpus"),
    [
        ("", 1, {}, 3, 3, 1),
        ("", 2, {}, 3, 1, 1),
        ("", 1, {"runs_at_once": 2}, 8, 2, 4),
        ("01", 1, {}, 8, 2, 4),
        ("01", 1, {"runs_at_once": 4}, 7, 4, 1),
        ("0123", 2, {}, 16, 2, 4),
        ("0", 2, {}, 4, 1, 2),
    ],
)
def test_one_job_divides_a_machine_among_its_runs(
    visible, names, gpus, settings, cores, at_once, cpus
):
    visible(list(names))
    job = allocated(gpus, cores=cores, **settings)
    assert (job.at_once, job.cpus, job.threads, job.num_jobs) == (at_once, cpus, cores, 1)
    assert job.num_gpus == len(names)


@pytest.mark.parametrize(
    ("settings", "num_jobs", "at_once", "cpus", "minutes"),
    [
        ({}, 36, 1, 6, 60),
        ({"runs_per_job": 10}, 4, 1, 6, 600),
        ({"runs_per_job": 10, "runs_at_once": 4}, 4, 4, 1, 180),
        ({"runs_per_job": 10, "runs_at_once": 4, "device": "cpu"}, 4, 4, 6, 180),
    ],
)
def test_a_job_of_a_cluster_has_one_run_unless_more_are_wanted(
    visible, settings, num_jobs, at_once, cpus, minutes
):
    job = allocated(slurm=SITE | {"hours": 1}, **settings)
    assert (job.num_jobs, job.at_once, job.cpus) == (num_jobs, at_once, cpus)
    assert job.threads == 1
    assert job.resources.get("gres") == (None if "device" in settings else "gpu:1")
    assert job.resources["runtime"](None, attempt=1) == minutes
