"""How a machine, or a cluster, is divided among the runs of a study."""

import sys

import pytest

from posmlp.config import read_settings, sharing
from posmlp.study.study_error import StudyError
from posmlp.workflow import allocation as module
from posmlp.workflow.allocation import allocate, launch, runs_at_once

SITE = {"cpus": 6, "mem_gb": 32, "account": "lab"}


def allocated(gpus=1, nodes=1, cores=8, **settings):
    return allocate(read_settings({"study": "digits"} | settings), gpus, nodes, cores, submits=True)


@pytest.fixture
def visible(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)

    def show(names):
        monkeypatch.setattr(module, "visible_gpus", lambda: names)

    show([])
    return show


@pytest.mark.parametrize("value", [0, -1, 1.5, "two"])
def test_runs_per_gpu_is_a_whole_number_from_one_on(value):
    with pytest.raises(StudyError, match=r"config.yaml or --config: runs_per_gpu"):
        read_settings({"study": "digits", "runs_per_gpu": value})


def test_only_runs_of_one_gpu_share_it():
    settings = read_settings({"study": "digits", "runs_per_gpu": "4"})
    assert sharing(settings, gpus=1) == 4
    with pytest.raises(StudyError, match=r"each takes 2 \(gpus in the study file\)"):
        sharing(settings, gpus=2)
    cpu = read_settings({"study": "digits", "runs_per_gpu": 4, "device": "cpu"})
    assert sharing(cpu, gpus=2) == 1


@pytest.mark.parametrize(
    ("names", "gpus", "runs_per_gpu", "cores", "slots", "cpus", "said"),
    [
        ("01", 1, 1, 8, 2, 4, (2, "2 GPUs; 8 cores of this machine")),
        ("01", 1, 2, 7, 4, 1, (4, "2 GPUs, at most 2 runs on each; 7 cores of this machine")),
        ("01", 1, 4, 3, 8, 1, (3, "2 GPUs, at most 4 runs on each; 3 cores of this machine")),
        ("0123", 2, 1, 16, 2, 4, (2, "4 GPUs; 16 cores of this machine")),
        ("0", 2, 1, 4, 1, 2, (1, "1 GPUs; 4 cores of this machine")),
        ("", 1, 4, 3, None, 1, (3, "3 cores of this machine")),
        ("", 2, 1, 3, None, 1, (1, "3 cores of this machine")),
    ],
)
def test_a_machine_is_divided(visible, names, gpus, runs_per_gpu, cores, slots, cpus, said):
    visible(list(names))
    run = allocated(gpus, cores=cores, runs_per_gpu=runs_per_gpu)
    assert (run.slots, run.cpus, run.threads) == (slots, cpus, cpus * gpus)
    assert ("gpu_slots" in run.resources) == bool(names)
    assert ("posmlp.runs.gpus" in run.command) == bool(names)
    assert runs_at_once(run, None, gpus, cores, most_jobs=50) == said


def test_gpus_are_left_alone_where_runs_use_the_cpu(visible):
    visible(["0"])
    assert allocated(device="cpu").slots is None


def test_a_cluster_gives_what_the_site_file_says(visible, monkeypatch):
    monkeypatch.setattr("posmlp.slurm.site.partition_minutes", lambda partition: None)
    run = allocated(slurm=SITE)
    assert (run.cpus, run.threads, run.resources["cpus_per_task"]) == (6, 1, 6)
    assert run.resources["gres"] == "gpu:1"
    assert "gres" not in allocated(slurm=SITE, device="cpu").resources


def test_one_process_runs_by_itself(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/opt/my env/python")
    assert launch(1) == "'/opt/my env/python' -m posmlp"


def test_several_processes_use_torchrun_here_and_srun_in_a_job(visible, monkeypatch):
    torchrun = "torch.distributed.run --nproc-per-node=8 -m posmlp"
    assert launch(8, 2, 6).endswith(torchrun)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    spread = "srun --nodes=2 --ntasks=8 --ntasks-per-node=4 --cpus-per-task=6 "
    assert launch(8, 2, 6).startswith(spread)
    assert launch(8).endswith(torchrun)  # inside a job, but without the profile
