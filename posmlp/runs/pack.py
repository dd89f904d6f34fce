"""Pack: runs of a study that one process trains, each in a child of its own, so many at once.

The parent imports torch once and forks; it starts no threads and never touches a GPU, so that its
children may. A child that crashes takes nobody along. A signal to the parent reaches every child.
"""

import ctypes
import gc
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

from posmlp.runs.interrupts import SIGNALS
from posmlp.runs.reading import is_finished, read_json
from posmlp.study import RunConfig
from posmlp.user_errors import FAILED, RUN_AGAIN, reporting_errors

MOST_STARTS = 3  # of a run that alone is signalled
PR_SET_PDEATHSIG = 1  # Linux's prctl: the signal that a process gets when its parent dies
LOST = "killed by SIGKILL. Slurm and Linux do so when memory runs out (slurm.mem_gb)"


@dataclass
class Child:
    """A process that trains a run."""

    run: RunConfig
    slot: int  # of those that train at once
    pid: int


class Pack:
    """Trains runs in children of this process.

    Args:
        results: folder of results; runs log into its logs/<study>/train/.
        train: what a child does: trains a run and returns, or becomes another program. Takes the
            run, its slot and whether the pack began with it.
        prepare: called once before the first child, to import what all need.
    """

    def __init__(
        self,
        runs: Sequence[RunConfig],
        results: Path,
        at_once: int,
        train: Callable[[RunConfig, int, bool], int | None],
        prepare: Callable[[], None],
    ) -> None:
        self.results, self.train, self.prepare = results, train, prepare
        self.waiting = [run for run in runs if not is_finished(run.folder(results), run.key)]
        self.num_runs, self.num_done = len(runs), len(runs) - len(self.waiting)
        self.at_once = min(at_once, len(self.waiting))
        self.children: list[Child] = []
        self.starts: dict[str, int] = {}  # of each run
        self.num_failed = 0  # by themselves
        self.num_lost = 0  # killed or crashed
        self.num_stopped = 0
        self.signalled = False

    def run(self) -> int:
        """Train all; the exit status: 0, FAILED, or RUN_AGAIN where that may finish more runs."""
        if not self.waiting:
            say(f"nothing to train: {self.num_done} of {self.num_runs} runs are finished")
            return 0
        logs = self.log(self.waiting[0]).parent
        logs.mkdir(parents=True, exist_ok=True)
        num = len(self.waiting)
        say(f"{num} of {self.num_runs} runs to train, {self.at_once} at once; logs: {logs}")
        with self.listening() as signals:
            self.prepare()
            gc.freeze()  # or the children's collections would copy the parent's memory
            while self.waiting or self.children:
                has_room = self.waiting and len(self.children) < self.at_once
                if select.select([signals], [], [], 0 if has_room else None)[0]:
                    self.attend(os.read(signals, 4096))
                else:
                    self.start(self.waiting.pop(0))
            gc.unfreeze()
        return self.summary()

    def log(self, run: RunConfig) -> Path:
        return self.results / "logs" / run.study / "train" / f"{run.variant}-seed{run.seed}.log"

    @contextmanager
    def listening(self) -> Iterator[int]:
        """A pipe from which to read the signals that come, the ends of children among them."""
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        # Without a handler Python would not write the signal's number into the pipe.
        before = {n: signal.signal(n, lambda *_: None) for n in (*SIGNALS, signal.SIGCHLD)}
        signal.set_wakeup_fd(writer)
        try:
            yield reader
        finally:
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(reader)
            os.close(writer)

    def start(self, run: RunConfig) -> None:
        """Fork a child that trains the run."""
        slot = min(set(range(self.at_once)) - {child.slot for child in self.children})
        at_start = len(self.starts) < self.at_once
        self.starts[run.name] = self.starts.get(run.name, 0) + 1
        try:
            log = self.open_log(run)
        except OSError as error:
            self.num_failed += 1
            say(f"failed: {run.variant}-seed{run.seed}: {error.filename}: {error.strerror}")
            return
        sys.stdout.flush()
        sys.stderr.flush()
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # a child handles its own, once it can
        parent = os.getpid()
        pid = os.fork()
        if not pid:
            self.be_child(run, slot, at_start, log, parent)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        with suppress(OSError):  # as the child does; whoever comes first
            os.setpgid(pid, pid)
        os.close(log)
        self.children.append(Child(run, slot, pid))

    def open_log(self, run: RunConfig) -> int:
        """Begin a run's log, or go on with it where the run is started again."""
        first = os.O_TRUNC if self.starts[run.name] == 1 else 0
        log = os.open(self.log(run), os.O_WRONLY | os.O_CREAT | os.O_APPEND | first, 0o666)
        job = f", Slurm job {os.environ['SLURM_JOB_ID']}" if os.environ.get("SLURM_JOB_ID") else ""
        with suppress(OSError):
            os.write(log, f"{time.strftime('%F %T')} on {socket.gethostname()}{job}\n".encode())
        return log

    def be_child(self, run: RunConfig, slot: int, at_start: bool, log: int, parent: int) -> None:
        """Train in the process just forked, and end it."""
        status = 1
        try:
            os.setpgid(0, 0)  # so that a terminal's Ctrl-C arrives once, from the parent
            leave_with_parent(parent)
            signal.set_wakeup_fd(-1)
            for number in (*SIGNALS, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            os.dup2(log, 1)
            os.dup2(log, 2)
            status = reporting_errors(lambda: self.train(run, slot, at_start))
        except BaseException:
            traceback.print_exc()
        finally:
            with suppress(OSError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def attend(self, numbers: bytes) -> None:
        """Pass on signals that have come, after which no run is started, and bury the dead."""
        for number in (signal.Signals(number) for number in numbers if number in SIGNALS):
            self.signalled = True
            self.num_stopped += len(self.waiting)
            self.waiting.clear()
            again = "; press again to quit at once" if number == signal.SIGINT else ""
            say(f"{number.name}: {len(self.children)} runs write checkpoints and stop{again}")
            for child in self.children:
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, number)  # torchrun's processes too
        for child in [*self.children]:
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                self.bury(child, os.waitstatus_to_exitcode(status))

    def bury(self, child: Child, status: int) -> None:
        """Say how a child has ended, and start its run again where it alone was stopped."""
        self.children.remove(child)
        run, folder = child.run, child.run.folder(self.results)
        if is_finished(folder, run.key):
            self.num_done += 1
            metrics = read_json(folder / "metrics.json")
            say(
                f"{run.name}: top-1 {metrics['test_top1']:.2f} % in {metrics['wall_s']:.0f} s; "
                f"{self.num_done} of {self.num_runs} runs done"
            )
        elif not self.was_stopped(status):
            log = self.log(run)
            why = LOST if status == -signal.SIGKILL else reason(log)
            by_itself = status == FAILED or (folder / "error.json").exists()  # torchrun's is 1
            self.num_failed += by_itself
            self.num_lost += not by_itself
            say(f"{'failed' if by_itself else 'lost'}: {log.stem}: {why} (log: {log})")
        elif self.signalled or self.starts[run.name] == MOST_STARTS:
            self.num_stopped += 1
        else:
            self.waiting.insert(0, run)

    def was_stopped(self, status: int) -> bool:
        """Whether the run left because of a signal; torchrun makes every status a 1."""
        early = [-number for number in SIGNALS]  # before it could handle one
        return status in (RUN_AGAIN, *early) or (self.signalled and status == 1)

    def summary(self) -> int:
        """The exit status; the last line said tells a cluster whether to try again."""
        done = f"{self.num_done} of {self.num_runs} runs done"
        if self.num_stopped:
            say(f"stopped: {self.num_stopped} runs; the same command resumes them")
        elif self.num_lost:
            say(f"{done}; the same command trains those that were lost")
        elif self.num_failed:
            say(f"error: {done}, {self.num_failed} failed")
            return FAILED
        return RUN_AGAIN if self.num_stopped or self.num_lost else 0


def parts(runs: Sequence[RunConfig], number: int) -> list[Sequence[RunConfig]]:
    """Cut runs into so many parts of equal size, or nearly."""
    ends = [len(runs) * k // number for k in range(number + 1)]
    return [runs[first:end] for first, end in pairwise(ends)]


def become(words: Sequence[str]) -> NoReturn:
    """Replace a child by a program that handles its own signals."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    os.execvp(words[0], words)


def leave_with_parent(parent: int) -> None:
    """Have the kernel send this process SIGTERM when its parent dies, so that it saves and leaves.

    Where there is no such service (not Linux), a run outlives its parent.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it has died already
        os._exit(RUN_AGAIN)


def reason(log: Path) -> str:
    """The error that a log reports: its last line of that kind, or else its last line."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return "no log was written"
    lines = [line for line in lines if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    return (errors or lines or ["the log is empty"])[-1].removeprefix("error: ")


def say(line: str) -> None:
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)
