"""The lock of a run folder: one holder across machines, and none that is dead."""

import json
import os
import socket
import subprocess
import threading
import time

import pytest

from posmlp.runs import folder_lock as lock
from posmlp.runs.folder_lock import FolderInUse, FolderLock, locked_folders


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(lock, "BEAT_S", 0.02)
    monkeypatch.setattr(lock, "PATIENCE_S", 0.5)


def lock_elsewhere(folder, beat=0):
    """Write the lock of a process on another machine, in one write as FolderLock does."""
    file = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT)
    holder = {"host": "node7", "pid": 4242, "job": "77", "beat": f"token {beat}"}
    os.pwrite(file, json.dumps(holder).ljust(lock.LENGTH).encode(), 0)
    os.close(file)


def test_it_is_free_again_after_the_block(tmp_path):
    for _ in range(2):
        with FolderLock(tmp_path):
            assert (tmp_path / ".lock").stat().st_size == lock.LENGTH
        assert (tmp_path / ".lock").stat().st_size == 0


def test_a_second_holder_is_refused_and_told_of_the_first(tmp_path):
    with FolderLock(tmp_path):
        with pytest.raises(FolderInUse, match=r"in use: process .* trains there"):
            FolderLock(tmp_path).__enter__()
        time.sleep(0.1)
        assert lock.read_holder(tmp_path / ".lock")["pid"]  # the holder's beats go on


def test_a_lock_left_behind_by_a_dead_machine_is_recognised(tmp_path, capsys):
    lock_elsewhere(tmp_path)
    with FolderLock(tmp_path):
        pass
    assert "node7 left the lock behind" in capsys.readouterr().out


def test_the_lock_is_one_text_of_constant_length(tmp_path):
    with FolderLock(tmp_path) as held:
        texts = set()
        for _ in range(20):
            texts.add((tmp_path / ".lock").read_text())
            time.sleep(0.02)
    assert len(texts) > 3
    assert {len(text) for text in texts} == {lock.LENGTH}
    assert {json.loads(text)["beat"].split()[0] for text in texts} == {held.token}


@pytest.fixture
def beating(tmp_path):
    """A folder whose holder is alive on another machine."""
    folder, done = tmp_path / "beating", threading.Event()
    folder.mkdir()

    def beat():
        number = 0
        while not done.wait(0.02):
            number += 1
            lock_elsewhere(folder, number)

    lock_elsewhere(folder)
    heart = threading.Thread(target=beat)
    heart.start()
    yield folder
    done.set()
    heart.join()


def test_a_living_holder_on_another_machine_is_respected(beating):
    with pytest.raises(FolderInUse, match=r"process 4242 on node7 \(Slurm job 77\)"):
        FolderLock(beating).__enter__()


def test_locked_folders_tells_the_living_from_the_dead_without_locking(tmp_path, beating):
    """A holder on this machine is dead with its process; on another, when its heartbeat stops."""
    process = subprocess.Popen(["true"])
    process.wait()
    folders = {name: tmp_path / name for name in ("mine", "gone", "free", "none", "still")}
    for folder in folders.values():
        folder.mkdir()
    (folders["free"] / ".lock").touch()
    lock_elsewhere(folders["still"])
    gone = {"host": socket.gethostname(), "pid": process.pid}
    (folders["gone"] / ".lock").write_text(json.dumps(gone))
    with FolderLock(folders["mine"]):
        found = locked_folders([*folders.values(), beating])
        assert found == {folders["mine"], beating}
    with FolderLock(folders["mine"]):  # nobody was kept out
        pass


@pytest.fixture
def no_kernel_locks(monkeypatch):
    """A file system without locks between machines."""
    monkeypatch.setattr(FolderLock, "take", lambda lock: None)


def test_a_suspended_holder_notices_that_its_lock_was_taken_over(tmp_path, no_kernel_locks):
    with FolderLock(tmp_path) as suspended:
        suspended.check()
        lock_elsewhere(tmp_path)
        written = (tmp_path / ".lock").read_bytes()
        time.sleep(0.1)  # several beats
        assert (tmp_path / ".lock").read_bytes() == written
        with pytest.raises(FolderInUse, match=r"taken over by process 4242 on node7 \(Slurm job 7"):
            suspended.check()
    assert (tmp_path / ".lock").read_bytes() == written  # not emptied either
