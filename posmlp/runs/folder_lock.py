"""FolderLock: lets one process at a time train in a run folder, across machines.

The kernel's lock on the file `.lock` is released when its holder dies. Some network file systems do
not share it between machines, so the file also names the holder and carries a heartbeat, a number
that the holder changes every BEAT_S. Another machine takes the lock over only after the heartbeat
has not changed for PATIENCE_S. Clocks of different machines are never compared.

A holder that was suspended for longer may have lost its lock when it wakes. It therefore reads the
file before each beat, and calls `check` before each write into the folder.
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

import psutil

from posmlp.runs.run_folder import naming

BEAT_S = 10.0
PATIENCE_S = 45.0
LENGTH = 512  # bytes of the file while the folder is locked


class FolderInUse(ValueError):  # noqa: N818 (a state, not a fault)
    """Another process holds the lock.

    Attributes:
        holder: names that process.
    """

    def __init__(self, message: str, holder: str) -> None:
        super().__init__(message)
        self.holder = holder


class FolderLock:
    """Locks a run folder while its block runs.

    Raises (on entry):
        FolderInUse: another process has locked it.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / ".lock"
        self.beats = 0
        self.token = uuid.uuid4().hex
        self.done = threading.Event()

    def __enter__(self) -> Self:
        with naming(self.path):
            self.file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            self.take()
            self.check_other_machines()
            self.beat()
        self.heart = threading.Thread(target=self.keep_beating, daemon=True)
        self.heart.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.done.set()
        self.heart.join()
        if not self.is_lost():
            os.ftruncate(self.file, 0)  # not removed: another process may be opening this file
        os.close(self.file)

    def take(self) -> None:
        """Take the kernel's lock; on file systems without locks, heartbeats have to suffice."""
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self.in_use(read_holder(self.path)) from None
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK):
                raise

    def check_other_machines(self) -> None:
        """Raise FolderInUse if the holder is alive on another machine."""
        holder = read_holder(self.path)
        if not holder or holder["host"] == socket.gethostname():
            return  # a dead process of this machine: the kernel released its lock
        print(
            f"{self.path.parent} was locked by {described(holder)}; "
            f"waiting {PATIENCE_S:.0f} s for its heartbeat",
            flush=True,
        )
        if locked_folders([self.path.parent]):
            raise self.in_use(read_holder(self.path))
        print(f"no heartbeat: {holder['host']} left the lock behind; continuing", flush=True)

    def in_use(self, holder: dict[str, Any]) -> FolderInUse:
        name = described(holder)
        return FolderInUse(
            f"{self.path.parent} is in use: {name} trains there. Wait for it, or stop it (kill or "
            "scancel); it leaves a checkpoint from which the next start resumes",
            name,
        )

    def check(self) -> None:
        """Check that this process still holds the lock; called before each write.

        Raises:
            FolderInUse: another process took the lock over while this one was suspended.
        """
        if self.is_lost():
            name = described(read_holder(self.path))
            raise FolderInUse(
                f"{self.path.parent} was taken over by {name} because this process sent no "
                f"heartbeat for {PATIENCE_S:.0f} s (it was suspended, or cut off from the file "
                "system). This process stops and writes nothing more; the other one continues",
                name,
            )

    def is_lost(self) -> bool:
        """Whether the file no longer carries this process's token."""
        try:
            return self.token not in self.path.read_text(encoding="utf-8")
        except (OSError, ValueError):
            return False  # unknown; if the file system is at fault, the next write fails

    def beat(self) -> None:
        self.beats += 1
        holder = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "job": os.environ.get("SLURM_JOB_ID"),
            "beat": f"{self.token} {self.beats}",
        }
        # Constant length, so that a reader sees the old text or the new one, never a mixture.
        os.pwrite(self.file, json.dumps(holder).ljust(LENGTH).encode(), 0)

    def keep_beating(self) -> None:
        while not self.done.wait(BEAT_S):
            if self.is_lost():
                return
            with contextlib.suppress(OSError):  # a full disk, which training itself reports
                self.beat()


def described(holder: dict[str, Any]) -> str:
    """Name the process in a lock file."""
    if not holder:
        return "another process"
    job = f" (Slurm job {holder['job']})" if holder.get("job") else ""
    return f"process {holder['pid']} on {holder['host']}{job}"


def read_holder(path: Path) -> dict[str, Any]:
    """Read a lock file; empty if the folder is free or the file is half written."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def locked_folders(folders: Iterable[Path]) -> set[Path]:
    """Find the run folders in which a process trains now, on any machine.

    No lock is taken, so no training that starts meanwhile is refused. A holder on this machine is
    dead if its process is gone. Other holders are alive as soon as their heartbeat changes, and
    dead if it has not changed for PATIENCE_S. All folders are watched at the same time.
    """
    holders = {folder: read_holder(folder / ".lock") for folder in folders}
    unknown = {
        folder: holder for folder, holder in holders.items() if holder and not is_dead(holder)
    }
    alive = set()
    end = time.monotonic() + PATIENCE_S
    while unknown and time.monotonic() < end:
        time.sleep(min(0.5, PATIENCE_S / 10))
        now = {folder: read_holder(folder / ".lock") for folder in unknown}
        alive |= {folder for folder in now if now[folder] and now[folder] != unknown[folder]}
        unknown = {folder: old for folder, old in unknown.items() if now[folder] == old}
    return alive


def is_dead(holder: dict[str, Any]) -> bool:
    """Whether a holder is known to be dead: it ran on this machine and its process is gone."""
    return holder["host"] == socket.gethostname() and not psutil.pid_exists(holder["pid"])
