"""`posmlp ui`: MLflow's server, the sync loop beside it, and how both end."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from samples import Shown

import posmlp
from posmlp.cli import main
from posmlp.runs.folder_lock import FolderLock
from posmlp.user_errors import FAILED

pytestmark = pytest.mark.xdist_group("MLflow")

ROOT = Path(posmlp.__file__).parents[1]
SERVE = """
import sys
from pathlib import Path
from posmlp.tracking import ui
ui.SYNC_S = 1
ui.serve(Path(sys.argv[1]), int(sys.argv[2]))
"""


@pytest.fixture
def taken_port():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


def test_ui_shows_a_running_training_grow_and_stops_cleanly(results, new_run, unused_port):
    (results / "mlflow.db").unlink()  # it makes one
    root = f"http://127.0.0.1:{unused_port}"
    run = new_run().write_history(1)
    with FolderLock(run.path):
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(results), str(unused_port)],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert "Starting MLflow" in process.stdout.readline()
            assert "MLflow is up" in process.stdout.readline()
            assert "digits: 1 runs, 0 finished, 1 running." in process.stdout.readline()
            page = re.fullmatch(rf"  digits  Curves +{root}/(.*)\n", process.stdout.readline())
            shown = Shown(results, uri=root)
            assert f"#/experiments/{shown.id}/runs" in page[1]
            assert [r.info.status for r in shown.runs] == ["RUNNING"]
            run.finish(3)
            assert "digits: 1 runs, 1 finished." in process.stdout.readline()
            shown = Shown(results, uri=root)
            assert [step for step, *_ in shown.points(shown.runs[0], "test_top1")] == [0, 1, 2]
            check_that_other_hosts_are_refused(f"{root}/api/2.0/mlflow/experiments/get", shown.id)
        finally:
            process.send_signal(signal.SIGTERM)
            rest, _ = process.communicate()
    assert (process.returncode, rest) == (0, "Stopped.\n")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", unused_port))


def check_that_other_hosts_are_refused(address, experiment_id):
    """By any other name the server answers nobody: DNS rebinding."""
    address = f"{address}?experiment_id={experiment_id}"
    with urllib.request.urlopen(address) as answer:
        assert json.load(answer)["experiment"]["name"] == "digits"
    request = urllib.request.Request(address, headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request)


def test_a_taken_port_is_named(results, taken_port, capsys):
    assert main(["ui", "--results", str(results), "--port", str(taken_port)]) == FAILED
    assert re.search(f":{taken_port}: Address already .* --port", capsys.readouterr().err)


def test_a_tracking_server_is_named_without_password(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://anna:secret@host/mlflow")
    assert main(["ui", "--results", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "https://***@host/mlflow" in shown
    assert "posmlp sync --every 30" in shown
    assert "secret" not in shown


def test_a_server_that_does_not_start_is_reported_with_its_output(results, monkeypatch, capsys):
    monkeypatch.setattr(sys, "executable", "ls")  # has no option --host, and says so
    assert main(["ui", "--results", str(results)]) == FAILED
    assert re.search(r"mlflow server did not start:\n.*--host", capsys.readouterr().err)
