import json
import re
import signal
import socket
import subprocess
import sys
import types
import urllib.request
from pathlib import Path

import pytest

import posmlp
from posmlp.tracking import Store, mirror
from posmlp.tracking.__main__ import main

ROOT = Path(posmlp.__file__).parents[1]


@pytest.fixture
def taken_port():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_ui_shows_the_experiment_takes_runs_and_stops_cleanly(
    store, client, results, new_run, capfd
):
    port = free_port()
    command = [sys.executable, "-m", "posmlp.tracking", "ui", "--port", str(port)]
    ui = subprocess.Popen(
        [*command, "--results", str(results)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        # Two lines, then three of an experiment; the session's store has another one.
        text = "".join(ui.stdout.readline() for _ in range(8))
        assert f"MLflow: http://127.0.0.1:{port} " in text
        page = f"http://127.0.0.1:{port}/#/experiments/{store.experiment_id}/runs"
        assert re.search(
            f"digits\n    variants, charts: {page}.*workflowType=machine_learning", text
        )
        address = f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/get?experiment_id="
        with urllib.request.urlopen(address + store.experiment_id) as answer:
            assert json.load(answer)["experiment"]["name"] == "digits"
        # By any other name it answers nobody: DNS rebinding.
        request = urllib.request.Request(address + "0", headers={"Host": "evil.example"})
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(request)
        server = Store(f"http://user:secret@127.0.0.1:{port}", store.experiment_id)
        run_id = mirror(new_run().finish().path, server)
        assert client.get_run(run_id).info.status == "FINISHED"
        assert capfd.readouterr().out == ""  # MLflow likes to print the address
    finally:
        ui.send_signal(signal.SIGTERM)
        rest, _ = ui.communicate()
    assert (ui.returncode, rest) == (0, "Stopped.\n")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    assert {path.name for path in results.iterdir()} == {"mlflow.db", "mlartifacts", "runs"}


def test_ui_without_a_store_says_what_to_run(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(SystemExit, match="run `make reproduce` first"):
        main(["ui", "--results", str(tmp_path)])
    assert list(tmp_path.iterdir()) == []


def test_ui_on_a_taken_port_says_so(results, taken_port):
    with pytest.raises(SystemExit, match=f"port {taken_port} is taken .* --port"):
        main(["ui", "--results", str(results), "--port", str(taken_port)])


def test_ui_takes_the_next_free_port(taken_port, monkeypatch):
    from posmlp.tracking import ui

    monkeypatch.setattr(ui, "FIRST_PORT", taken_port)
    assert taken_port < ui._free_port(None) < taken_port + ui.NUM_PORTS


def test_ui_of_a_tracking_server_names_its_address(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://anna:secret@host/mlflow")
    main(["ui", "--results", str(tmp_path)])
    shown = capsys.readouterr().out
    assert "https://***@host/mlflow" in shown
    assert "secret" not in shown


def test_server_that_does_not_start_is_reported_with_its_output(results, monkeypatch):
    monkeypatch.setattr(sys, "executable", "ls")  # has no option --host, and says so
    with pytest.raises(SystemExit, match=r"mlflow server did not start:\n.*--host"):
        main(["ui", "--results", str(results)])


def test_sync_command_finds_the_runs_and_reports_each_study(results, new_run, capsys):
    new_run(seed=0).finish()
    new_run(seed=1).write_history(1)
    main(["sync", "--results", str(results)])
    assert capsys.readouterr().out.startswith('digits: {"runs": 2, "finished": 1, "running": 0, ')


def test_repeated_sync_outlives_a_server_that_is_down(results, new_run, capsys, monkeypatch):
    new_run().finish()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")

    def sleep(seconds):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{results}/mlflow.db")
        if capsys.readouterr().out:  # it has synced
            raise KeyboardInterrupt

    monkeypatch.setattr("posmlp.tracking.__main__.time", types.SimpleNamespace(sleep=sleep))
    main(["sync", "--results", str(results), "--every", "5"])
    assert capsys.readouterr().out == "Stopped.\n"
