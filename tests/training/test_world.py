"""How processes of a run find their device and each other; no process is started."""

import os

import pytest
import torch

from posmlp.training.distributed import World, join_world, set_slurm_meeting_point
from posmlp.training.training_error import TrainingError

SCONTROL = """#!/bin/sh
case "$*" in
  "show hostnames n[3-4]") printf 'n3\\nn4\\n' ;;
  "show node n3") echo "NodeName=n3 NodeAddr=10.0.0.3 NodeHostName=head" ;;
  "show hostnames n9") echo n9 ;;
  "show node n9") echo "NodeName=n9" ;;
  *) exit 1 ;;
esac
"""
LAUNCHER = ("LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE")


@pytest.fixture
def environment(monkeypatch, tmp_path):
    """An environment with a fake scontrol and without variables of Slurm or a launcher."""
    for name in [name for name in os.environ if name.startswith("SLURM_") or name in LAUNCHER]:
        monkeypatch.delenv(name)
    for name in LAUNCHER:  # so that values set by a test are undone as well
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    command = tmp_path / "scontrol"
    command.write_text(SCONTROL)
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return monkeypatch


def test_a_single_process_communicates_nothing(environment):
    environment.setattr(torch.cuda, "device_count", lambda: 0)
    world = join_world("auto")
    assert world == World(torch.device("cpu"), rank=0, size=1)
    assert world.is_rank0
    assert not World(world.device, rank=1, size=2).is_rank0
    value = torch.tensor(3.0)
    assert (world.all_max(2), world.broadcast("x")) == (2, "x")
    assert world.all_sum(value) is value


def test_a_missing_gpu_is_reported(environment):
    environment.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(TrainingError, match="cuda was requested but torch sees no GPU"):
        join_world("cuda")


@pytest.mark.parametrize("name", ["LOCAL_RANK", "SLURM_LOCALID"])
def test_more_processes_than_gpus_are_refused_but_not_on_cpus(environment, name):
    environment.setattr(torch.cuda, "device_count", lambda: 2)
    environment.setenv(name, "2")
    for device in ("auto", "cuda"):
        with pytest.raises(TrainingError, match="process 2 of this machine has no GPU of its own"):
            join_world(device)
    assert join_world("cpu").device.type == "cpu"


@pytest.mark.parametrize(
    ("nodes", "address"), [("n[3-4]", "10.0.0.3"), ("n9", "n9")], ids=["by address", "by name"]
)
def test_srun_tasks_meet_at_the_first_node_of_their_step(environment, nodes, address):
    environment.setenv("SLURM_STEP_NODELIST", nodes)
    environment.setenv("SLURM_JOB_NODELIST", "n[1-4]")
    environment.setenv("SLURM_JOB_ID", "1234567")
    environment.setenv("SLURM_STEP_ID", "2")
    set_slurm_meeting_point()
    assert os.environ["MASTER_ADDR"] == address
    assert os.environ["MASTER_PORT"] == "26702"  # from job and step, so two steps differ


def test_a_given_address_is_kept(environment):
    environment.setenv("MASTER_ADDR", "here")
    set_slurm_meeting_point()
    assert os.environ["MASTER_ADDR"] == "here"
    assert "MASTER_PORT" not in os.environ
