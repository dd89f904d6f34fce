"""Pack: trains several runs of a study, each in a forked child process.

The parent imports torch once and forks. It starts no threads and never touches a GPU, so that its
children can. A child that crashes does not affect the others. A signal to the parent reaches every
child.
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
from posmlp.runs.reading import finished_metrics
from posmlp.study import RunConfig
from posmlp.user_errors import FAILED, RUN_AGAIN, reporting_errors

MAX_STARTS = 3  # of a run that is stopped by a signal while its pack is not
PR_SET_PDEATHSIG = 1  # for prctl of Linux: the signal sent to a process when its parent dies
LOST = "killed by SIGKILL. Slurm and Linux do so when memory runs out (slurm.mem_gb)"


@dataclass
class Child:
    """A process that trains a run."""

    run: RunConfig
    slot: int  # 0 to at_once - 1
    pid: int


class Pack:
    """Trains runs in children of this process.

    Args:
        results: folder of results; runs log into its logs/<study>/train/.
        at_once: maximum number of children.
        train: called in a child with the run and its slot; returns an exit status or replaces the
            process by another program.
        prepare: called once before the first fork, to import what all children need.
    """

    def __init__(
        self,
        runs: Sequence[RunConfig],
        results: Path,
        at_once: int,
        train: Callable[[RunConfig, int], int | None],
        prepare: Callable[[], None],
    ) -> None:
        self.results, self.train, self.prepare = results, train, prepare
        self.waiting = [run for run in runs if not finished_metrics(run.folder(results), run.key)]
        self.num_runs, self.num_done = len(runs), len(runs) - len(self.waiting)
        self.at_once = min(at_once, len(self.waiting))
        self.children: list[Child] = []
        self.starts: dict[str, int] = {}  # number of starts by run
        self.num_failed = 0  # the run itself failed: starting it again would not help
        self.num_lost = 0  # killed or crashed
        self.num_stopped = 0
        self.signal: signal.Signals | None = None  # the last one that stopped the pack

    def run(self) -> int:
        """Train all runs.

        Returns:
            The exit status: 0, FAILED, or RUN_AGAIN if another start may finish more runs.
        """
        if not self.waiting:
            say(f"nothing to train: {self.num_done} of {self.num_runs} runs are finished")
            return 0
        logs = self.log(self.waiting[0]).parent
        logs.mkdir(parents=True, exist_ok=True)
        num = len(self.waiting)
        to_train = f"{num} of {self.num_runs} runs to train, {self.at_once} at once"
        say(f"{time_and_host()}: {to_train}; logs: {logs}")
        with self.listening() as signals:
            self.prepare()
            gc.freeze()  # garbage collection in a child would copy the parent's memory
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
        """A pipe that receives the numbers of signals, including SIGCHLD."""
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        # Python writes only signals with a handler into the pipe.
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
        self.starts[run.name] = self.starts.get(run.name, 0) + 1
        try:
            log = self.open_log(run)
        except OSError as error:
            self.num_failed += 1
            say(f"failed: {run.variant}-seed{run.seed}: {error.filename}: {error.strerror}")
            return
        sys.stdout.flush()
        sys.stderr.flush()
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until the child has its own handlers
        parent = os.getpid()
        pid = os.fork()
        if not pid:
            self.be_child(run, slot, log, parent)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        with suppress(OSError):  # the child does the same; either may come first
            os.setpgid(pid, pid)
        os.close(log)
        self.children.append(Child(run, slot, pid))

    def open_log(self, run: RunConfig) -> int:
        """Open a run's log: emptied at its first start, appended to at later ones."""
        first = os.O_TRUNC if self.starts[run.name] == 1 else 0
        log = os.open(self.log(run), os.O_WRONLY | os.O_CREAT | os.O_APPEND | first, 0o666)
        with suppress(OSError):
            os.write(log, f"{time_and_host()}\n".encode())
        return log

    def be_child(self, run: RunConfig, slot: int, log: int, parent: int) -> None:
        """Train in the child just forked, then exit."""
        status = 1
        try:
            os.setpgid(0, 0)  # Ctrl-C in a terminal then arrives once, through the parent
            leave_with_parent(parent)
            signal.set_wakeup_fd(-1)
            for number in (*SIGNALS, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            os.dup2(log, 1)
            os.dup2(log, 2)
            status = reporting_errors(lambda: self.train(run, slot))
        except BaseException:
            traceback.print_exc()
        finally:
            with suppress(OSError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def attend(self, numbers: bytes) -> None:
        """Handle signals: pass them on and start no more runs; report children that have exited."""
        for number in (signal.Signals(number) for number in numbers if number in SIGNALS):
            self.signal = number
            self.num_stopped += len(self.waiting)
            self.waiting.clear()
            again = "; press again to quit at once" if number == signal.SIGINT else ""
            say(f"{number.name}: stopping {len(self.children)} runs after a checkpoint{again}")
            for child in self.children:
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, number)  # includes processes of torchrun
        for child in [*self.children]:
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                self.report(child, os.waitstatus_to_exitcode(status))

    def report(self, child: Child, status: int) -> None:
        """Print how a child exited; queue its run again if it was stopped but the pack was not."""
        self.children.remove(child)
        run, folder = child.run, child.run.folder(self.results)
        if metrics := finished_metrics(folder, run.key):
            self.num_done += 1
            say(
                f"{run.name}: top-1 {metrics['test_top1']:.2f} % in {metrics['wall_s']:.0f} s; "
                f"{self.num_done} of {self.num_runs} runs done"
            )
        elif not self.was_stopped(status):
            log = self.log(run)
            why = LOST if status == -signal.SIGKILL else reason(log)
            by_itself = status == FAILED or (folder / "error.json").exists()  # torchrun returns 1
            self.num_failed += by_itself
            self.num_lost += not by_itself
            say(f"{'failed' if by_itself else 'lost'}: {log.stem}: {why} (log: {log})")
        elif self.signal or self.starts[run.name] == MAX_STARTS:
            self.num_stopped += 1
        else:
            self.waiting.insert(0, run)

    def was_stopped(self, status: int) -> bool:
        """Whether a signal stopped the run; torchrun turns every status into 1."""
        early = [-number for number in SIGNALS]  # before the child had a handler
        return status in (RUN_AGAIN, *early) or (self.signal is not None and status == 1)

    def summary(self) -> int:
        """Print the last line, by which `failed_by_itself` decides on a retry; the exit status."""
        done = f"{self.num_done} of {self.num_runs} runs done"
        if self.num_stopped:
            say(f"stopped with {done}; the same command resumes the rest")
        elif self.num_lost:
            say(f"{done}, {self.num_lost} lost; the same command resumes them")
        elif self.num_failed:
            say(f"error: {done}, {self.num_failed} failed")
            return FAILED
        return RUN_AGAIN if self.num_stopped or self.num_lost else 0


def parts(runs: Sequence[RunConfig], number: int) -> list[Sequence[RunConfig]]:
    """Split runs into consecutive parts whose sizes differ by at most one."""
    ends = [len(runs) * k // number for k in range(number + 1)]
    return [runs[first:end] for first, end in pairwise(ends)]


def become(words: Sequence[str]) -> NoReturn:
    """Replace this child by a program with signal handlers of its own."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    os.execvp(words[0], words)


def leave_with_parent(parent: int) -> None:
    """Ask Linux to send this process SIGTERM when its parent dies, so that it saves and exits.

    On other systems a run outlives its parent.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it has died already
        os._exit(RUN_AGAIN)


def reason(log: Path) -> str:
    """The last `error:` line of a log, or else its last line."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return "no log was written"
    lines = [line for line in lines if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    return (errors or lines or ["the log is empty"])[-1].removeprefix("error: ")


def time_and_host() -> str:
    """Where and when a log begins."""
    job = f", Slurm job {os.environ['SLURM_JOB_ID']}" if os.environ.get("SLURM_JOB_ID") else ""
    return f"{time.strftime('%F %T')} on {socket.gethostname()}{job}"


def say(line: str) -> None:
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)
