"""GPUs shared by runs of one machine: who gets which, and that a dead run's is free again."""

import os
import select
import signal
import subprocess
import sys

import pynvml
import pytest

from posmlp.runs.gpus import visible_gpus

HOLDER = "import os, time; print(os.environ['CUDA_VISIBLE_DEVICES'], flush=True); time.sleep(300)"


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


@pytest.fixture
def start(tmp_path):
    """Start a run that says which GPUs it holds, and holds them until it is killed."""
    started = []

    def start(runs_per_gpu=1, gpus=1, visible="4,5", command=(sys.executable, "-c", HOLDER)):
        numbers = "--gpus", str(gpus), "--runs-per-gpu", str(runs_per_gpu)
        process = subprocess.Popen(
            [sys.executable, "-m", "posmlp.runs.gpus", *numbers, *command],
            env=os.environ | {"CUDA_VISIBLE_DEVICES": visible, "TMPDIR": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def line(stream):
    assert select.select([stream], [], [], 30)[0], "nothing said in 30 s"
    return stream.readline().strip()


def held(process):
    return line(process.stdout)


def wait_until_it_waits(process):
    assert "waiting for a GPU" in line(process.stderr)


def test_a_killed_run_leaves_its_gpu_to_the_next(start):
    runs = {held(run): run for run in (start(), start())}
    assert runs.keys() == {"4", "5"}
    late = start()
    wait_until_it_waits(late)
    runs["5"].kill()
    assert held(late) == "5"


def test_runs_are_spread_and_the_emptiest_gpu_is_taken(start):
    runs = [start(runs_per_gpu=3) for _ in range(6)]
    on = {"4": [], "5": []}
    for run in runs:
        on[held(run)].append(run)
    assert [len(runs) for runs in on.values()] == [3, 3]
    waiting = [start(runs_per_gpu=3)]
    wait_until_it_waits(waiting[0])
    for run in on["5"][1:]:
        run.kill()
        run.wait()
    assert held(waiting[0]) == "5"


def test_a_run_of_several_gpus_has_them_to_itself(start):
    first = start(gpus=2, visible="4,5,6")
    assert held(first) == "4,5"
    second = start(gpus=2, visible="4,5,6")
    wait_until_it_waits(second)
    assert held(start(gpus=1, visible="4,5,6")) == "6"  # the one that waits holds none
    first.kill()
    assert held(second) == "4,5"


def test_the_commands_status_is_passed_on_and_too_few_gpus_are_refused(start):
    assert start(command=("sh", "-c", "exit 75")).wait() == 75
    run = start(gpus=3)
    assert run.wait() == 2
    said = run.stderr.read()
    assert "takes 3 GPUs (gpus in the study file) and this machine shows 2" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 75), (signal.SIGTERM, -15)])
def test_one_that_waits_leaves_when_asked(start, number, status):
    first = start(visible="4")
    held(first)
    run = start(visible="4")
    wait_until_it_waits(run)
    run.send_signal(number)
    assert run.wait() == status
    assert "Traceback" not in run.stderr.read()
