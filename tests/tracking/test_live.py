import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

import posmlp
from posmlp.tracking import Store, Tracker, live

ROOT = Path(posmlp.__file__).parents[1]


def wait_for(condition):
    """Poll until `condition` returns something; the slowest machine imports MLflow in a minute."""
    deadline = time.monotonic() + 120
    while not (found := condition()):
        assert time.monotonic() < deadline, "the follower has shown nothing for two minutes"
        time.sleep(0.1)
    return found


def runs_with(client, store, metric):
    found = client.search_runs([store.experiment_id])
    return [run for run in found if metric(run.data.metrics)]


def test_lines_appear_while_training_runs_and_a_failure_is_shown(store, client, new_run):
    run = new_run().write_history(1)
    tracker = Tracker(run.path, store, delay_s=0, interval_s=0.1)

    def train():
        with tracker:
            first = wait_for(lambda: runs_with(client, store, lambda metrics: "lr" in metrics))[0]
            assert first.info.status == "RUNNING"
            run.write_history(4)
            run_id = first.info.run_id
            wait_for(lambda: len(client.get_metric_history(run_id, "lr")) == 4)
            run.write_history(5).fail()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train()
    assert tracker.follower.wait() == 0
    (only,) = client.search_runs([store.experiment_id])
    assert only.info.status == "FAILED"
    assert len(client.get_metric_history(only.info.run_id, "lr")) == 5


def test_killed_trainer_is_shown_as_killed(store, client, new_run):
    run = new_run().write_history(2)
    trainer = f"""
import os, pathlib, time
from posmlp.tracking import Store, Tracker
store = Store({store.uri!r}, {store.experiment_id!r})
tracker = Tracker(pathlib.Path({str(run.path)!r}), store, delay_s=0).__enter__()
while tracker.follower is None:
    time.sleep(0.01)
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", trainer], cwd=ROOT, check=False).returncode == -9
    wait_for(lambda: [r for r in runs_with(client, store, len) if r.info.status == "KILLED"])


def test_short_training_starts_no_process(store, client, new_run):
    with Tracker(new_run().path, store) as tracker:
        pass
    assert tracker.follower is None
    assert not tracker.timer.is_alive()
    assert client.search_runs([store.experiment_id]) == []


@pytest.mark.parametrize("store", [None, Store("sqlite:////x.db", "1", live=False)])
def test_without_a_live_store_nothing_starts(tmp_path, store):
    with pytest.raises(ZeroDivisionError), Tracker(tmp_path, store, delay_s=0) as tracker:
        raise ZeroDivisionError
    assert tracker.follower is None
    assert tracker.timer.ident is None


def test_package_imports_without_mlflow_and_torch():
    code = "import sys, posmlp.tracking; print({'mlflow', 'torch', 'pandas'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


def missing(tmp_path):
    return f"sqlite:///{tmp_path}/missing.db"


def corrupt(tmp_path):
    (tmp_path / "corrupt.db").write_bytes(b"no database" * 100)
    return f"sqlite:///{tmp_path}/corrupt.db"


def server_down(tmp_path):
    return "http://anna:secret@127.0.0.1:9"


@pytest.mark.parametrize("make_uri", [missing, corrupt, server_down])
def test_store_that_fails_is_one_line_and_no_error(tmp_path, new_run, capfd, make_uri):
    run = new_run().write_history(1)
    uri = make_uri(tmp_path)
    with Tracker(run.path, Store(uri, "1"), delay_s=0, interval_s=0.01) as tracker:
        wait_for(lambda: tracker.follower)
        wait_for(lambda: "MLflow" in seen_so_far(capfd, tracker))
    assert tracker.follower.wait() == 0
    text = seen_so_far(capfd, tracker)
    assert text.count("\n") == 1
    assert f"`python -m posmlp.tracking sync {run.path}` completes it" in text
    assert "secret" not in text
    assert sorted(tmp_path.glob("missing.db*")) == []


def seen_so_far(capfd, tracker):
    tracker.seen = getattr(tracker, "seen", "") + capfd.readouterr().err
    return tracker.seen


def test_no_training_waits_for_a_store_that_hangs(new_run, store, monkeypatch):
    """Closing only closes a pipe; the follower ends by itself, whatever it was doing."""
    monkeypatch.setattr(live, "LAST_WORD_S", 1)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        hanging = Store(f"http://127.0.0.1:{deaf.getsockname()[1]}", "1")
        tracker = Tracker(new_run().path, hanging, delay_s=0, interval_s=0.1).__enter__()
        wait_for(lambda: tracker.follower)
        tracker.close()
        assert tracker.follower.poll() is None  # not waited for
        assert tracker.follower.stdin.closed
        assert wait_for(lambda: tracker.follower.poll() is not None)


def test_short_training_that_failed_is_shown(new_run, store, client):
    run = new_run().write_history(1).fail()
    with pytest.raises(ZeroDivisionError), Tracker(run.path, store) as tracker:
        raise ZeroDivisionError
    assert tracker.follower.wait() == 0
    (only,) = client.search_runs([store.experiment_id])
    assert only.info.status == "FAILED"


def test_sqlite_is_live_on_the_machine_of_the_store_alone(store, new_run):
    """On a compute node it would lie on a network file system."""
    assert store.is_live_here
    elsewhere = replace(store, host="node7")
    assert not elsewhere.is_live_here
    assert Tracker(new_run().path, elsewhere).store is None
    assert Store("http://server:5000", "1").is_live_here


def test_follower_that_cannot_start_is_one_line(new_run, store, caplog, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with Tracker(new_run().path, store, delay_s=0) as tracker:
        tracker.timer.join()
    assert len(caplog.records) == 1
    assert "/nowhere/python" in caplog.text
