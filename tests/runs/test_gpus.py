"""GPUs of a machine, and the launch of several processes."""

import sys

import pynvml
import pytest

from posmlp.runs.gpus import launch, visible_gpus


@pytest.mark.parametrize(
    ("variable", "found"),
    [
        ("2, 3", ["2", "3"]),
        ("GPU-8932f937,MIG-7b2c", ["GPU-8932f937", "MIG-7b2c"]),
        ("1,-1,0", ["1"]),  # CUDA shows what stands before the first that it does not know
        ("", []),
        ("NoDevFiles", []),  # some versions of Slurm, in jobs without a GPU
    ],
)
def test_the_variable_names_the_gpus(monkeypatch, variable, found):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    monkeypatch.setattr("pynvml.nvmlInit", lambda: pytest.fail("asked the driver"))
    assert visible_gpus() == found


def test_without_the_variable_the_driver_does(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("pynvml.nvmlInit", lambda: None)
    monkeypatch.setattr("pynvml.nvmlDeviceGetCount", lambda: 2)
    monkeypatch.setattr("pynvml.nvmlDeviceGetHandleByIndex", lambda index: index)
    monkeypatch.setattr("pynvml.nvmlDeviceGetUUID", lambda handle: f"GPU-{handle}")
    assert visible_gpus() == ["GPU-0", "GPU-1"]

    def fail():
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr("pynvml.nvmlInit", fail)
    assert visible_gpus() == []


def test_several_processes_use_torchrun_here_and_srun_in_a_job(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/opt/my env/python")
    assert launch(1) == "'/opt/my env/python' -m posmlp"
    torchrun = "torch.distributed.run --standalone --nproc-per-node=8 -m posmlp"
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert launch(8, 2, 6).endswith(torchrun)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    spread = "srun --nodes=2 --ntasks=8 --ntasks-per-node=4 --cpus-per-task=6 "
    assert launch(8, 2, 6).startswith(spread)
    assert launch(8).endswith(torchrun)  # inside a job, but without the profile
