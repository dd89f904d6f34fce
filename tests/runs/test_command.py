"""`posmlp train`: GPUs, runs of several processes, and requeueing of Slurm jobs."""

import os
import signal
from argparse import Namespace
from pathlib import Path

import pytest
import yaml

from posmlp.runs import command
from posmlp.runs.interrupts import TIME_LIMIT
from posmlp.user_errors import RUN_AGAIN


@pytest.fixture
def train(study_file, tmp_path, monkeypatch):
    """Train the long study's two runs at once; children only record their arguments."""

    def note(kind):
        def write(given, *_):
            visible = os.environ.get("CUDA_VISIBLE_DEVICES")
            (tmp_path / f"{kind}-{os.getpid()}").write_text(f"{visible}: {given}")
            os._exit(0)

        return write

    def run(gpus=1, launch=None, child=None):
        study = yaml.safe_load(study_file.read_text()) | {"gpus": gpus}
        study_file.write_text(yaml.safe_dump(study))
        monkeypatch.setattr(command, "import_for_training", lambda: None)
        monkeypatch.setattr(command, "train_run", child or note("run"))
        monkeypatch.setattr(command, "become", note("program"))
        options = dict(runs=[], part=(1, 1), runs_at_once=2, launch=launch, threads=1)
        options |= dict(in_process=False, data_root=Path("data"), checkpoint_minutes=10.0)
        options |= dict(study=str(study_file), device="auto", results=tmp_path)
        status = command.train_runs(Namespace(**options))
        if child:
            return status
        kind = "program" if gpus > 1 else "run"
        return sorted(path.read_text() for path in tmp_path.glob(f"{kind}-*"))

    return run


@pytest.mark.parametrize(("visible", "held"), [("5,6", ["5", "6"]), ("5", ["5", "5"]), ("", None)])
def test_runs_that_train_at_once_are_spread_over_the_gpus(train, monkeypatch, visible, held):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = [line.partition(":")[0] for line in train()]
    assert found == (held or ["", ""])


def test_a_run_of_several_gpus_becomes_what_starts_its_processes(train, study_file, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    first, second = train(gpus=2, launch="srun --ntasks=2 python -m posmlp")
    words = f"['srun', '--ntasks=2', 'python', '-m', 'posmlp', 'train', '{study_file}', 'sgu/seed"
    assert first.startswith(f"4,5: {words}")
    assert second.startswith(f"6,7: {words}")
    assert first.endswith("'--in-process']")


@pytest.mark.parametrize("refuses", [False, True])
def test_slurms_warning_puts_the_job_back_into_the_queue(
    train, tmp_path, monkeypatch, capfd, refuses
):
    scontrol = tmp_path / "scontrol"
    scontrol.write_text(f"#!/bin/sh\necho $* > {tmp_path}/asked\nexit {refuses:d}\n")
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "42")

    def warned(run, arguments):
        os.kill(os.getppid(), TIME_LIMIT)
        signal.sigwait([TIME_LIMIT])  # which the pack passes on
        folder = run.folder(arguments.results)
        folder.mkdir(parents=True)
        (folder / "checkpoint-00000-0000003-0123.pt").touch()
        return RUN_AGAIN

    assert train(child=warned) == RUN_AGAIN
    assert (tmp_path / "asked").read_text() == "requeue 42\n"
    assert ("warning: job 42 was not put back" in capfd.readouterr().out) == refuses


def test_a_job_too_short_for_a_step_is_an_error(train, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "42")

    def warned(run, arguments):  # a stopped run always leaves a checkpoint
        os.kill(os.getppid(), TIME_LIMIT)
        signal.sigwait([TIME_LIMIT])
        folder = run.folder(arguments.results)
        folder.mkdir(parents=True)
        (folder / "checkpoint-00000-0000000-0123.pt").touch()
        return RUN_AGAIN

    with pytest.raises(ValueError, match=r"before the first step; give jobs more time .*hours"):
        train(child=warned)
