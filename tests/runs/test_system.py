"""What a run uses of its machine is noted while it trains, and only where it is asked for."""

import csv
import subprocess
import sys
import time

import psutil
import pytest

from posmlp.runs import system
from posmlp.runs.system import SYSTEM, SystemLog, used


def rows(folder):
    path = folder / "system.csv"
    return list(csv.DictReader(path.open())) if path.exists() else []


def wait_for_rows(folder, num):
    deadline = time.monotonic() + 60
    while len(rows(folder)) < num:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_lines_are_added_and_a_later_start_goes_on(tmp_path):
    for num in (2, 4):
        with SystemLog(tmp_path, 0.01):
            wait_for_rows(tmp_path, num)
    assert tuple(rows(tmp_path)[0]) == SYSTEM
    times = [float(row["time"]) for row in rows(tmp_path)]
    assert times == sorted(times)
    own = psutil.Process()
    used_mb = sum(one.memory_info().rss for one in (own, *own.children(recursive=True))) / 1e6
    assert float(rows(tmp_path)[-1]["memory_mb"]) == pytest.approx(used_mb, rel=0.5)


def test_it_is_off_by_default(tmp_path):
    with SystemLog(tmp_path, 0):
        pass
    assert list(tmp_path.iterdir()) == []


def test_children_count_and_their_end_is_no_error():
    process = psutil.Process()
    seen = {process.pid: process}
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    used(seen)
    assert child.pid in seen
    child.communicate(b"\n")
    used(seen)
    assert child.pid not in seen


def test_gpus_are_means_and_sums(monkeypatch, tmp_path):
    """NVIDIA's library, made up: this machine may have none."""
    import pynvml

    class Rates:
        gpu = 50

    class Memory:
        used = 2e6

    monkeypatch.setattr(pynvml, "nvmlDeviceGetUtilizationRates", lambda gpu: Rates)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", lambda gpu: Memory)
    monkeypatch.setattr(system, "find_gpus", lambda: ["a", "b"])
    with SystemLog(tmp_path, 0.01):
        wait_for_rows(tmp_path, 1)
    assert (rows(tmp_path)[0]["gpu_percent"], rows(tmp_path)[0]["gpu_memory_mb"]) == ("50.0", "4.0")
