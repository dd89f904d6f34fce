"""The shell around a training: what is started again, what is not, and what its log says."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "workflow/scripts/train.sh"


class Shell:
    """Runs train.sh around a few lines of shell that count their starts in a file."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log, self.count = folder, folder / "run.log", folder / "count"
        self.started = []

    def start(self, lines: str, **variables: str) -> subprocess.Popen[str]:
        command = f"echo >> {self.count}; n=$(wc -l < {self.count}); {lines}"
        process = subprocess.Popen(
            ["bash", SCRIPT, self.log, "bash", "-c", command],
            env=os.environ | {"SLURM_JOB_ID": ""} | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def run(self, lines: str, **variables: str) -> tuple[int, str]:
        """Exit status and terminal output of a run."""
        process = self.start(lines, **variables)
        _, errors = process.communicate(timeout=60)
        return process.returncode, errors

    @property
    def logged(self) -> list[str]:
        """The log without its first line, which names time and machine."""
        first, *lines = self.log.read_text().splitlines()
        assert " on " in first
        return lines

    @property
    def num_starts(self) -> int:
        return len(self.count.read_text().splitlines()) if self.count.exists() else 0


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path)
    yield shell
    for process in shell.started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def test_what_is_said_is_in_the_log_alone(shell):
    status, errors = shell.run("echo start; echo said >&2; exit 75")
    assert (status, errors, shell.num_starts) == (75, "", 1)
    assert shell.logged == ["start", "said"]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGUSR1"])
def test_it_leaves_where_the_shell_was_told_to_leave_too(shell, name):
    lines = f"trap 'echo leaving >&2; exit 75' {name[3:]}; touch {shell.folder}/on; "
    process = shell.start(lines + "sleep 2 2> /dev/null & wait")
    deadline = time.monotonic() + 30
    while not (shell.folder / "on").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.Signals[name])
    process.communicate(timeout=60)
    assert (process.returncode, shell.logged, shell.num_starts) == (75, ["leaving"], 1)


def test_a_run_that_ends_well_has_ended_well_whatever_the_shell_was_told(shell):
    status, _ = shell.run("kill -TERM $PPID; exit 0")
    assert (status, shell.num_starts) == (0, 1)


@pytest.mark.parametrize("name", ["INT", "TERM", "USR1"])
def test_a_signal_before_the_command_listens_is_not_lost(shell, name):
    status, _ = shell.run(f"kill -{name} $PPID; kill -{name} $$")
    assert status == 75
    assert shell.logged[-1] == f"stopped by SIG{name} before training began"  # bash says its own


@pytest.mark.parametrize("before", ["exit 75", "kill -USR1 $$"])
def test_slurms_warning_puts_the_job_back(shell, before):
    scontrol = shell.folder / "scontrol"
    scontrol.write_text(f"#!/bin/sh\necho $* >> {shell.folder}/asked\nexit $REFUSED\n")
    scontrol.chmod(0o755)
    variables = {"PATH": f"{shell.folder}:{os.environ['PATH']}", "SLURM_JOB_ID": "42"}
    lines = f"kill -USR1 $PPID; {before}"
    status, _ = shell.run(lines, REFUSED="0", **variables)
    assert status == 75
    assert "warning" not in shell.logged[-1]
    assert (shell.folder / "asked").read_text() == "requeue 42\n"
    shell.run(lines, REFUSED="1", **variables)
    assert shell.logged[-1] == "warning: job 42 was not put back into the queue"


def test_a_killed_command_says_what_may_have_killed_it(shell):
    status, _ = shell.run("kill -KILL $$")
    assert status == 137
    assert shell.logged[-1].startswith("lost: killed by SIGKILL.")
