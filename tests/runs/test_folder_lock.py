"""The lock of a run folder: one holder, on whatever machine; the dead hold nothing."""

import json
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


@pytest.fixture
def elsewhere(tmp_path):
    """Return a function that writes the lock of a process on another machine."""

    def write(beat):
        holder = {"host": "node7", "pid": 4242, "job": "77", "beat": f"token {beat}"}
        (tmp_path / ".lock").write_text(json.dumps(holder).ljust(lock.LENGTH))

    return write


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


def test_a_living_holder_on_another_machine_is_respected(tmp_path, elsewhere):
    elsewhere(0)
    alive = threading.Event()

    def live():
        for beat in range(1, 40):
            if alive.wait(0.05):
                return
            elsewhere(beat)

    thread = threading.Thread(target=live)
    thread.start()
    try:
        with pytest.raises(FolderInUse, match=r"process 4242 on node7 \(Slurm job 77\)"):
            FolderLock(tmp_path).__enter__()
    finally:
        alive.set()
        thread.join()


def test_a_lock_left_behind_by_a_dead_machine_is_recognised(tmp_path, elsewhere, capsys):
    elsewhere(0)
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


def test_locked_folders_tells_the_living_from_the_dead_without_locking(tmp_path, elsewhere):
    """Of this machine, gone at once; of another one, alive while its number changes."""
    folders = {}
    for name in ("mine", "gone", "free", "none", "still", "beating"):
        folders[name] = tmp_path / name
        folders[name].mkdir()
    process = subprocess.Popen(["true"])
    process.wait()
    gone = {"host": socket.gethostname(), "pid": process.pid, "job": None, "beat": "token 1"}
    (folders["gone"] / ".lock").write_text(json.dumps(gone))
    (folders["free"] / ".lock").touch()
    away = {"host": "node7", "pid": 1, "job": None}
    done = threading.Event()

    def beat():
        number = 0
        while not done.wait(0.02):
            number += 1
            text = json.dumps(away | {"beat": f"token {number}"}).ljust(lock.LENGTH)
            with (folders["beating"] / ".lock").open("r+") as file:
                file.write(text)

    for name in ("still", "beating"):
        (folders[name] / ".lock").write_text(json.dumps(away | {"beat": "x"}).ljust(lock.LENGTH))
    heart = threading.Thread(target=beat)
    heart.start()
    try:
        with FolderLock(folders["mine"]):
            assert locked_folders(folders.values()) == {folders["mine"], folders["beating"]}
    finally:
        done.set()
        heart.join()
    with FolderLock(folders["mine"]):  # nobody was kept out
        pass


def test_folders_that_nobody_locked_cost_no_time(tmp_path, monkeypatch):
    monkeypatch.setattr(lock.time, "sleep", lambda seconds: pytest.fail("waited"))
    assert locked_folders([tmp_path]) == set()


@pytest.fixture
def no_kernel_locks(monkeypatch):
    """A file system whose locks do not reach other machines."""
    monkeypatch.setattr(FolderLock, "take", lambda lock: None)


def test_a_suspended_holder_notices_that_its_lock_was_taken_over(
    tmp_path, elsewhere, no_kernel_locks
):
    with FolderLock(tmp_path) as suspended:
        suspended.check()
        elsewhere(0)
        written = (tmp_path / ".lock").read_bytes()
        time.sleep(0.1)  # several beats
        assert (tmp_path / ".lock").read_bytes() == written
        with pytest.raises(FolderInUse, match=r"taken over by process 4242 on node7 \(Slurm job 7"):
            suspended.check()
    assert (tmp_path / ".lock").read_bytes() == written  # not emptied either


def test_a_lock_that_another_holder_took_and_released_is_lost_too(tmp_path, no_kernel_locks):
    with FolderLock(tmp_path) as suspended:
        (tmp_path / ".lock").write_text("")
        with pytest.raises(FolderInUse, match="taken over by another process"):
            suspended.check()
