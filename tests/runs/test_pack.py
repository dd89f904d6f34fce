"""A pack: each run is its own process and does not affect the others.

Most children here do not train; they exit as a training may.
"""

import contextlib
import json
import os
import signal
import sys
import time
from itertools import count

import psutil
import pytest

from posmlp.runs.pack import LOST, Pack, parts
from posmlp.runs.reading import finished_metrics
from posmlp.user_errors import FAILED, RUN_AGAIN


def finish(run, results):
    folder = run.folder(results)
    folder.mkdir(parents=True, exist_ok=True)
    metrics = {"key": run.key, "test_top1": 90.0, "wall_s": 1.0}
    (folder / "metrics.json").write_text(json.dumps(metrics))


@pytest.fixture
def train(make_config, tmp_path):
    """Train runs with seeds 0, 1, ...: each calls the function of its seed, or finishes at once."""

    def train(number, ends, at_once=2):
        def child(run, slot):
            sys.stdout, sys.stderr = os.fdopen(os.dup(1), "w"), os.fdopen(os.dup(2), "w")
            with (tmp_path / f"starts{run.seed}").open("a") as file:
                file.write(f"{slot}\n")
            if status := ends[run.seed]() if run.seed in ends else 0:
                return status
            finish(run, tmp_path)
            return 0

        runs = [make_config(seed=seed) for seed in range(number)]
        status = Pack(runs, tmp_path, at_once, child, prepare=lambda: None).run()
        return status, {run.seed for run in runs if finished_metrics(run.folder(tmp_path), run.key)}

    return train


def starts(folder, seed):
    path = folder / f"starts{seed}"
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize("at_once", [1, 3])
def test_runs_at_once_are_limited_and_have_a_slot_each(train, tmp_path, at_once):
    def work():
        mark = tmp_path / f"on-{os.getpid()}"
        mark.touch()
        time.sleep(0.1)
        number = len(list(tmp_path.glob("on-*")))
        mark.unlink()
        assert number <= at_once

    assert train(5, dict.fromkeys(range(5), work), at_once) == (0, set(range(5)))
    slots = {int(slot) for seed in range(5) for slot in starts(tmp_path, seed)}
    assert slots == set(range(at_once))


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def diverge():
    raise ValueError("the loss is nan")


def crash():
    return [][0]


@pytest.mark.parametrize(
    ("end", "status", "said"),
    [
        (kill, RUN_AGAIN, f"lost: gqpe-seed1: {LOST} (log: "),
        (diverge, FAILED, "failed: gqpe-seed1: the loss is nan (log: "),
        (crash, RUN_AGAIN, "lost: gqpe-seed1: IndexError: list index out of range (log: "),
    ],
)
def test_a_run_that_fails_does_not_affect_the_others(train, tmp_path, capfd, end, status, said):
    assert train(4, {1: end}) == (status, {0, 2, 3})
    *lines, last = capfd.readouterr().err.splitlines()
    assert f"{said}{tmp_path}/logs/small/train/gqpe-seed1.log)" in lines
    assert last.startswith("error: ") == (status == FAILED)  # not retried on a cluster


def test_what_a_run_says_is_in_its_log(train, tmp_path, capfd):
    def speak():
        print("said")
        os.write(2, b"warned\n")

    assert train(1, {0: speak})[0] == 0
    first, *lines = (tmp_path / "logs/small/train/gqpe-seed0.log").read_text().splitlines()
    assert " on " in first
    assert sorted(lines) == ["said", "warned"]
    terminal = capfd.readouterr()
    assert (terminal.out, "warned" in terminal.err) == ("", False)
    assert "gqpe seed 0: top-1 90.00 % in 1 s; 1 of 1 runs done" in terminal.err


@pytest.mark.parametrize(("stops", "status"), [(2, 0), (3, RUN_AGAIN)])
def test_a_run_that_alone_was_stopped_is_started_again_at_most_twice(
    train, tmp_path, capfd, stops, status
):
    def stop():
        return RUN_AGAIN if len(starts(tmp_path, 0)) <= stops else 0

    assert train(2, {0: stop}) == (status, {0, 1} if status == 0 else {1})
    assert len(starts(tmp_path, 0)) == 3
    assert ("stopped with 1 of 2 runs done" in capfd.readouterr().err) == (status != 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_reaches_every_child_and_starts_no_other(train, tmp_path, capfd, number):
    def leave():
        came = []
        signal.signal(number, lambda number, frame: came.append(number))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
        (tmp_path / f"ready-{os.getpid()}").touch()
        while len(list(tmp_path.glob("ready-*"))) < 2:
            time.sleep(0.01)
        with contextlib.suppress(FileExistsError):
            (tmp_path / "sent").touch(exist_ok=False)
            os.kill(os.getppid(), number)
        while not came:
            time.sleep(0.01)
        return RUN_AGAIN

    assert train(3, {0: leave, 1: leave}) == (RUN_AGAIN, set())
    assert [len(starts(tmp_path, seed)) for seed in range(3)] == [1, 1, 0]
    assert "stopped with 0 of 3 runs done" in capfd.readouterr().err


def test_finished_runs_are_skipped(make_config, train, tmp_path, capfd):
    finish(make_config(seed=1), tmp_path)
    damaged = make_config(seed=2).folder(tmp_path) / "metrics.json"
    damaged.parent.mkdir(parents=True)
    damaged.write_text("{")
    assert train(3, {}) == (0, {0, 1, 2})
    assert [len(starts(tmp_path, seed)) for seed in range(3)] == [1, 0, 1]
    assert train(3, {}) == (0, {0, 1, 2})
    assert "nothing to train: 3 of 3 runs are finished" in capfd.readouterr().err
    assert [len(starts(tmp_path, seed)) for seed in range(3)] == [1, 0, 1]


def test_a_log_that_cannot_be_written_is_its_runs_failure(train, tmp_path, capfd):
    (tmp_path / "logs/small/train/gqpe-seed0.log").mkdir(parents=True)
    assert train(2, {}) == (FAILED, {1})
    assert "failed: gqpe-seed0: " in capfd.readouterr().err


def test_a_parent_that_is_killed_leaves_no_child_behind(start_process, tmp_path):
    process = start_process("sgu/seed0", "sgu/seed1", "--runs-at-once", "2")
    folders = [tmp_path / f"results/runs/long/sgu/seed{seed}" for seed in (0, 1)]
    for tries in count():
        if all((folder / "history.csv").exists() for folder in folders):
            break
        assert tries < 1200
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    children = psutil.Process(process.pid).children()
    assert len(children) == 2
    process.kill()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive
    for folder in folders:  # stopped as by a signal: with a checkpoint, and its log says so
        log = tmp_path / f"results/logs/long/train/sgu-{folder.name}.log"
        assert "stopped at epoch" in log.read_text()
        assert list(folder.glob("checkpoint-*.pt"))


@pytest.mark.parametrize(("length", "number"), [(7, 1), (7, 3), (3, 3), (2, 3)])
def test_parts_are_nearly_equal_and_keep_the_order(length, number):
    cut = parts(list(range(length)), number)
    assert [run for part in cut for run in part] == list(range(length))
    assert len(cut) == number
    assert max(map(len, cut)) - min(map(len, cut)) <= 1
