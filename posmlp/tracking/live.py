"""A training seen live: a second, low-priority process mirrors its folder while it runs.

A process and not a thread: importing MLflow takes 3 s of a core, and in a thread a training of 10 s
took 3.7 s longer, on one core as on two, for the interpreter lock is one.  `Tracker` is the
trainer's side, `follow` the other process's.  They share a pipe: its only line is the task, and
when it closes the trainer has ended, however it did: the files say how.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TextIO

import posmlp
from posmlp.tracking.address import brief
from posmlp.tracking.mirror import RunMirror
from posmlp.tracking.store import CLIENT_ENV, Store, open_client

logger = logging.getLogger("posmlp.tracking")

# Shorter trainings cost nothing and are shown by `sync`. Where all cores train, the start of a
# follower, 3 s of a core, takes 1.5 % of one for 200 s: less than 1 % of any longer training.
DELAY_S = 120.0
INTERVAL_S = 2.0
NICE = 19  # so that on a busy core training gets 98 % of it
LAST_WORD_S = 20  # the longest life of a follower whose trainer is gone


class Tracker:
    """Shows the run of a folder in MLflow while the block runs; never fails or delays it.

    `store` None: does nothing.  What is missing at the end is left to `sync`.
    """

    def __init__(
        self,
        run_folder: Path,
        store: Store | None,
        *,
        delay_s: float = DELAY_S,
        interval_s: float = INTERVAL_S,
    ) -> None:
        self.run_folder = Path(run_folder)
        self.store = store if store and store.is_live_here else None
        self.interval_s = interval_s
        self.follower: subprocess.Popen[str] | None = None
        self.timer = threading.Timer(delay_s, self._start)
        self.timer.daemon = True

    def __enter__(self) -> Tracker:
        if self.store:
            self.timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.store:
            self.close(failed=kind is not None)

    def close(self, *, failed: bool = False) -> None:
        """Let the follower send the rest by itself; no training waits for MLflow.

        It gives up after LAST_WORD_S, and `sync` shows what is missing then.
        """
        self.timer.cancel()
        self.timer.join()
        if failed and not self.follower:
            self._start()  # after a failure no `sync` may follow
        if self.follower:
            with contextlib.suppress(OSError):  # it has ended already
                self.follower.stdin.close()

    def _start(self) -> None:
        command = [sys.executable, "-m", "posmlp.tracking", "follow"]
        package_root = str(Path(posmlp.__file__).parents[1])
        paths = os.pathsep.join([package_root, os.environ.get("PYTHONPATH", "")])
        task = {
            "run_folder": str(self.run_folder.absolute()),
            "store": asdict(self.store),
            "interval_s": self.interval_s,
            "last_word_s": LAST_WORD_S,
        }
        try:
            self.follower = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,  # not the command line: the address may hold a password
                stdout=subprocess.DEVNULL,
                # Signals are for the trainer. Not a new session: Linux shares a core between
                # sessions evenly, whatever NICE says.
                process_group=0,
                env=os.environ | CLIENT_ENV | {"PYTHONPATH": paths},
                text=True,
            )
            self.follower.stdin.write(json.dumps(task) + "\n")
            self.follower.stdin.flush()
        except Exception as error:
            self._warn(error)

    def _warn(self, reason: object) -> None:
        logger.warning(not_shown(self.run_folder, reason))


def follow(orders: TextIO) -> None:
    """Mirror a folder until the trainer has ended; `orders` is the pipe."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)  # the trainer gets them as well, and decides
    task = json.loads(orders.readline())
    os.nice(NICE)
    folder, store = Path(task["run_folder"]), Store(**task["store"])
    ended = threading.Event()
    waits = threading.Thread(target=_wait_for_end, args=(orders, ended, task["last_word_s"]))
    waits.daemon = True
    waits.start()
    run, warned = None, False
    while True:
        alive = not ended.is_set()
        try:
            run = run or RunMirror(
                folder, open_client(store.uri, store.experiment_id), store.experiment_id
            )
            run.update(alive=alive)
        except Exception as error:
            run = None  # so that the next time looks what MLflow has, and completes it
            if not warned:
                logger.warning(not_shown(folder, brief(error)))
            warned = True
        if not alive:
            return
        ended.wait(task["interval_s"])


def _wait_for_end(orders: TextIO, ended: threading.Event, last_word_s: int) -> None:
    """Note that the trainer is gone; in a thread, for the other one may be waiting for a server."""
    orders.read()
    signal.alarm(last_word_s)  # ends this process
    ended.set()


def not_shown(run_folder: Path, reason: object) -> str:
    """The one line about a failing tracker."""
    return (
        f"MLflow does not show {run_folder} completely ({reason}); nothing is lost: "
        f"`python -m posmlp.tracking sync {run_folder}` completes it"
    )
