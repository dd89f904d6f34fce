"""The shell around a training: what is started again, what is not, and what the log says."""

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

    def start(self, lines: str, attempt: int = 1) -> subprocess.Popen[str]:
        command = f"echo >> {self.count}; n=$(wc -l < {self.count}); {lines}"
        process = subprocess.Popen(
            ["bash", SCRIPT, str(attempt), self.log, "bash", "-c", command],
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def run(self, lines: str, attempt: int = 1) -> tuple[int, str]:
        """Return the exit status and what stands on the terminal."""
        process = self.start(lines, attempt)
        _, errors = process.communicate(timeout=60)
        return process.returncode, errors

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


def test_a_run_that_alone_was_stopped_is_started_again(shell):
    status, errors = shell.run("echo start $n; echo said $n >&2; [ $n -eq 3 ] || exit 75")
    assert (status, shell.num_starts) == (0, 3)
    assert errors.splitlines() == ["said 1", "said 2", "said 3"]
    assert set(shell.log.read_text().splitlines()) == {
        *(f"{word} {n}" for word in ("start", "said") for n in (1, 2, 3))
    }


def test_it_is_not_started_for_ever(shell):
    assert shell.run("exit 75") == (75, "")
    assert shell.num_starts == 3


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGUSR1"])
def test_it_leaves_where_the_shell_was_told_to_leave_too(shell, name):
    lines = f"trap 'echo leaving >&2; exit 75' {name[3:]}; touch {shell.folder}/on; "
    process = shell.start(lines + "sleep 2 2> /dev/null & wait")
    deadline = time.monotonic() + 30
    while not (shell.folder / "on").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.Signals[name])
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors, shell.num_starts) == (75, "leaving\n", 1)


def test_a_run_that_ends_well_has_ended_well_whatever_the_shell_was_told(shell):
    status, _ = shell.run("kill -TERM $PPID; exit 0")
    assert (status, shell.num_starts) == (0, 1)


def test_own_fault_is_not_tried_again_but_by_the_next_start(shell):
    lines = "echo error: diverged >&2; exit 2"
    assert shell.run(lines) == (2, "error: diverged\n")
    shell.log.unlink()  # as Snakemake does
    status, errors = shell.run(lines, attempt=2)
    assert (status, shell.num_starts) == (2, 1)
    assert errors == (
        "error: not tried again before the next start: it ended by its own fault, see above\n"
    )
    assert shell.log.read_text() == "error: diverged\n"
    shell.run(lines)
    assert shell.num_starts == 2
    assert shell.log.read_text() == "error: diverged\n"


@pytest.mark.parametrize("before", ["exit 1", "kill -KILL $$", "exit 75"])
def test_a_lost_run_is_tried_again(shell, before):
    shell.run("exit 2")
    shell.run(before)
    assert shell.run("exit 0", attempt=2) == (0, "")
