"""Runner: trains one run in its own processes, disturbs them, and checks how they end.

`posmlp train` is forked from a process that has imported torch, so a start is quick; the signals
that it, or the child in which it trains the run, gets are real.
"""

import os
import random
import resource
import signal
import sys
import time
from contextlib import suppress
from ctypes import c_int
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil
from torch.optim.optimizer import register_optimizer_step_post_hook

from posmlp.cli import main as posmlp_main
from posmlp.runs.checkpoints import Checkpoints
from posmlp.runs.interrupts import SIGNALS
from posmlp.user_errors import FAILED, RUN_AGAIN

FORK = get_context("fork")
PATIENCE_S = 300.0  # for one start; a run takes seconds
LEAST_LIMIT = 512  # bytes, the size of the lock file

IN_WRITING = "SIGKILL while a file is written"
DISK_FULL = "disk full"
DAMAGED = "damaged checkpoint"
ALONE = "SIGTERM to the run alone"
OF_PARENT = "SIGKILL of its parent"
SENT = {
    "SIGKILL": [signal.SIGKILL],
    OF_PARENT: [signal.SIGKILL],
    IN_WRITING: [signal.SIGKILL],
    ALONE: [signal.SIGTERM],
    "SIGTERM": [signal.SIGTERM],
    "SIGUSR1": [signal.SIGUSR1],
    "SIGINT": [signal.SIGINT],
    "SIGINT twice": [signal.SIGINT, signal.SIGINT],
    DAMAGED: [signal.SIGKILL],  # and then the checkpoint is damaged
}
TO_THE_RUN = ("SIGKILL", IN_WRITING, DAMAGED, ALONE)  # the others are sent to its parent
KINDS = (*SENT, DISK_FULL)


@dataclass(frozen=True)
class Start:
    """Exit status, output, optimiser steps and duration of one process."""

    status: int
    log: str
    steps: int
    seconds: float


def train(arguments: list[str], log: int, steps: c_int, limit: int) -> None:
    """Train in this process, whose files may not grow beyond `limit` bytes."""
    os.dup2(log, 1)
    os.dup2(log, 2)
    # New streams, because the old ones would seek if they were files.
    sys.stdout, sys.stderr = (os.fdopen(n, "w", closefd=False) for n in (1, 2))
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    sys.dont_write_bytecode = True
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    def count(*_) -> None:
        steps.value += 1

    register_optimizer_step_post_hook(count)
    sys.exit(posmlp_main(arguments))


class Runner:
    """Starts one run of the study repeatedly, and disturbs it.

    Args:
        work: folder of the campaign; it holds the study.
        part: folder in it that takes the results, and the log of every start.
    """

    def __init__(self, work: Path, part: str, variant: str, seed: int) -> None:
        results = work / part
        self.name = f"{variant}, seed {seed}"
        self.folder = results / "runs" / "killed" / variant / f"seed{seed}"
        self.logs = results / "logs" / variant / f"seed{seed}"
        self.logs.mkdir(parents=True)
        self.log = results / "logs" / "killed" / "train" / f"{variant}-seed{seed}.log"
        self.arguments = ["train", f"{work}/killed.yaml", f"{variant}/seed{seed}"]
        self.arguments += ["--results", str(results), "--device", "cpu"]
        self.arguments += ["--checkpoint-minutes", "0.001"]  # the minimum: every 60 ms
        self.starts: list[Start] = []
        self.damaged: Path | None = None  # a checkpoint, until a start has reported it

    @property
    def finished(self) -> bool:
        return (self.folder / "metrics.json").exists()

    @property
    def steps(self) -> int:
        """Optimiser steps of all starts."""
        return sum(start.steps for start in self.starts)

    def seconds_left(self, steps: int) -> float:
        """Estimated duration of an undisturbed start after this number of steps."""
        return self.starts[0].seconds * max(0.1, 1 - steps / self.steps)

    def start(self, kind: str = "none", at: float = 0.0, gap: float = 0.0, limit: int = 0) -> Start:
        """Start the run; send the signals of `kind` after `at` seconds, `gap` seconds apart.

        A checkpoint is damaged as soon as there are two: too few random moments are after that.
        """
        reader, writer = os.pipe()
        steps = FORK.Value("i", 0, lock=False)
        began = time.monotonic()
        process = FORK.Process(target=train, args=(self.arguments, writer, steps, limit))
        process.start()
        os.close(writer)
        if kind in SENT:
            if kind == DAMAGED:
                self.await_two_checkpoints(process)
            else:
                process.join(at)
            if kind == IN_WRITING:
                self.await_writing(process)
            self.send(kind, process, gap)
        process.join(PATIENCE_S)
        if process.is_alive():
            process.kill()
            process.join()
        with open(reader, encoding="utf-8") as pipe:  # open until the child has ended, too
            log = pipe.read() + (self.log.read_text() if self.log.exists() else "")
        start = Start(process.exitcode, log, steps.value, time.monotonic() - began)
        self.starts.append(start)
        (self.logs / f"{len(self.starts):02} {kind}.log").write_text(
            f"{log}\nexit status {start.status}, {start.steps} steps\n"
        )
        return start

    def send(self, kind: str, process: BaseProcess, gap: float) -> None:
        """Send the signals of a fault, unless their target has exited."""
        for number in SENT[kind]:
            with suppress(psutil.Error):
                target = psutil.Process(process.pid)
                if kind in TO_THE_RUN:
                    target = next(iter(target.children()), None)
                if target and process.is_alive():
                    target.send_signal(number)
            process.join(gap)

    def await_writing(self, process: BaseProcess) -> None:
        """Wait until a file is being written, or the process has exited."""
        while process.is_alive() and not any(self.folder.glob(".*.part")):
            time.sleep(0.0002)

    def await_two_checkpoints(self, process: BaseProcess) -> None:
        """Wait until there are a checkpoint to damage and one before it, or the process exits."""
        parent, checkpoints = psutil.Process(process.pid), Checkpoints(self.folder)
        while process.is_alive():
            if parent.children() and len(checkpoints.newest_first()) == 2:
                return
            time.sleep(0.002)

    def damage(self, rng: random.Random) -> bool:
        """Flip a bit of the newest checkpoint or truncate it, if there is an intact one before."""
        found = Checkpoints(self.folder).newest_first()
        if self.damaged or len(found) < 2:
            return False
        self.damaged = found[0]
        content = bytearray(found[0].read_bytes())
        position = rng.randrange(len(content))
        if rng.random() < 0.5:
            content[position] ^= 1 << rng.randrange(8)
        else:
            del content[position:]
        found[0].write_bytes(content)
        return True

    def complaints(self, kind: str = "none") -> list[str]:
        """Problems with the end of the last start, given the kind of its fault."""
        log, found = self.starts[-1].log, []
        if "Traceback" in log:
            found.append("a traceback in its log")
        if self.damaged and f"{self.damaged.name} is damaged" in log:
            self.damaged = None
        if self.damaged and not self.damaged.exists():
            found.append(f"{self.damaged.name} was damaged and that was not reported")
            self.damaged = None
        if not self.ended_well(kind):
            status = self.starts[-1].status
            found.append(f"exit status {status} after {kind}: {last_line(log)}")
        return found

    def ended_well(self, kind: str) -> bool:
        """Whether the exit status of the last start is possible after this kind of fault."""
        start = self.starts[-1]
        sent = [-number for number in SENT.get(kind, []) if kind not in TO_THE_RUN]
        if kind == DISK_FULL:
            return start.status == FAILED and "disk space" in start.log
        if start.status in sent:  # SIGKILL; or before the run is watched, or after; or twice
            killed = -signal.SIGKILL in sent or len(sent) > 1
            return killed or start.steps == 0 or self.finished
        if start.status == RUN_AGAIN and kind in TO_THE_RUN:
            return kind != ALONE and "killed by SIGKILL" in start.log
        if start.status == RUN_AGAIN:
            return bool(sent) and "stopped with 0 of 1 runs done" in start.log
        return start.status == 0 and self.finished


def last_line(log: str) -> str:
    return (log.strip().splitlines() or ["nothing printed"])[-1]
