"""How the processes of a run are started, on one machine and inside a Slurm job."""

import pytest

from posmlp.slurm.launch import launch
from posmlp.slurm.site import Site


@pytest.fixture
def inside_a_job(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")


@pytest.mark.parametrize("site", [None, Site()])
def test_one_process_runs_by_itself(inside_a_job, site):
    assert launch("/opt/my env/python", 1, 1, site) == "'/opt/my env/python' -m posmlp"


def test_a_single_machine_uses_torchrun(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert launch("python", 4, 2, None) == (
        "python -m torch.distributed.run --nproc-per-node=4 -m posmlp"
    )


def test_a_job_uses_srun_and_spreads_tasks_evenly(inside_a_job):
    command = launch("python", 8, 2, Site(cpus=6))
    assert command.startswith("srun --nodes=2 --ntasks=8 --ntasks-per-node=4 --cpus-per-task=6 ")
    assert command.endswith(" python -m posmlp")


def test_somebody_elses_job_is_a_single_machine(inside_a_job):
    assert "torch.distributed.run" in launch("python", 2, 1, None)  # without the profile
