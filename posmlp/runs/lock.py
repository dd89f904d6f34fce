"""FolderLock: one process at a time trains in a run folder, on whatever machine it is.

The kernel's lock on the file `.lock` is free as soon as its holder dies. Not every network file
system carries it to other machines, so the file also says who holds it, with a number that the
holder changes every BEAT_S; another machine's lock is taken over only after it has stood still for
PATIENCE_S. No clock is compared with another.
"""

import contextlib
import errno
import fcntl
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from posmlp.runs.record import not_written

BEAT_S = 10.0
PATIENCE_S = 45.0
LENGTH = 512  # bytes of the file while it is held


class FolderInUse(ValueError):  # noqa: N818 (it says a state)
    """Another process trains in this folder."""


class FolderLock:
    """Holds a run folder while its block runs.

    Raises (at the block's start):
        FolderInUse: another process holds it; the message names it.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / ".lock"
        self.beats = 0
        self.token = uuid.uuid4().hex
        self.done = threading.Event()

    def __enter__(self) -> Self:
        try:
            self.file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            self.take()
            self.check_other_machines()
            self.beat()
        except OSError as error:
            raise not_written(self.path, error) from None
        self.heart = threading.Thread(target=self.keep_beating, daemon=True)
        self.heart.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.done.set()
        self.heart.join()
        os.ftruncate(self.file, 0)  # not removed: somebody may be opening this very file
        os.close(self.file)

    def take(self) -> None:
        """Get the kernel's lock, or refuse; where the file system has none the beats must do."""
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self.in_use(self.read()) from None
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK):
                raise

    def check_other_machines(self) -> None:
        """Refuse a folder whose holder, on another machine, is alive."""
        holder = self.read()
        if not holder or holder["host"] == socket.gethostname():
            return  # of this machine, and dead: the kernel gave us its lock
        print(
            f"{self.path.parent} was held by process {holder['pid']} on {holder['host']}; waiting "
            f"{PATIENCE_S:.0f} s for a sign of life",
            flush=True,
        )
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            time.sleep(min(1.0, PATIENCE_S / 10))
            now = self.read()
            if now and now != holder:
                raise self.in_use(now)
        print(f"none: the lock was left behind by {holder['host']}, going on", flush=True)

    def in_use(self, holder: dict[str, Any]) -> FolderInUse:
        who = f"process {holder['pid']} on {holder['host']}" if holder else "another process"
        job = f" (Slurm job {holder['job']})" if holder.get("job") else ""
        return FolderInUse(
            f"{self.path.parent} is in use: {who}{job} trains there. Wait for it, or stop it "
            "(kill or scancel); it leaves a checkpoint that the next start goes on from"
        )

    def read(self) -> dict[str, Any]:
        return read_holder(self.path)

    def beat(self) -> None:
        self.beats += 1
        holder = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "job": os.environ.get("SLURM_JOB_ID"),
            "beat": f"{self.token} {self.beats}",
        }
        # Always as long: whoever reads it meets the old text or the new, never a piece.
        os.pwrite(self.file, json.dumps(holder).ljust(LENGTH).encode(), 0)

    def keep_beating(self) -> None:
        while not self.done.wait(BEAT_S):
            with contextlib.suppress(OSError):  # a full disk: training itself will say so
                self.beat()


def read_holder(path: Path) -> dict[str, Any]:
    """What a lock file says of its holder; nothing where it is free or half written."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def held(folders: Iterable[Path]) -> set[Path]:
    """Return the run folders in which a process trains now, on whatever machine.

    Nothing is locked, so that no training that starts meanwhile is refused.  A holder of this
    machine whose process is gone is dead at once; others are alive once their number changes, and
    dead when it has stood still for PATIENCE_S.  All are waited for together.
    """
    holders = {folder: read_holder(folder / ".lock") for folder in folders}
    unknown = {folder: holder for folder, holder in holders.items() if holder and not _dead(holder)}
    alive = set()
    end = time.monotonic() + PATIENCE_S
    while unknown and time.monotonic() < end:
        time.sleep(min(0.5, PATIENCE_S / 10))
        for folder, before in list(unknown.items()):
            now = read_holder(folder / ".lock")
            if now != before:
                del unknown[folder]
                if now:
                    alive.add(folder)
    return alive


def _dead(holder: dict[str, Any]) -> bool:
    """Whether it is certain that a holder is gone: its process was of this machine."""
    if holder["host"] != socket.gethostname():
        return False
    try:
        os.kill(holder["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False
