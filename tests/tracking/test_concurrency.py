"""Many trainings at once, and a store that nobody has opened before: nothing lost, no error."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import posmlp
from posmlp.tracking import init_store
from posmlp.tracking.attachments import send_datasets
from posmlp.tracking.mirror import RunMirror, sync_runs
from posmlp.tracking.store import open_client
from posmlp.tracking.ui import HOST, server_command

ROOT = Path(posmlp.__file__).parents[1]
NUM_RUNS, NUM_EPOCHS = 32, 200
POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
# 32 processes that import MLflow need 20 s of 2 cores each, so four of them write for eight runs.
WRITER = """
import json, sys
from pathlib import Path
from posmlp.tracking import Store
from posmlp.tracking.mirror import RunMirror
from posmlp.tracking.store import open_client
from concurrent.futures import ThreadPoolExecutor
folders, store = sys.argv[2:], Store(**json.loads(sys.argv[1]))
def grow(folder):
    folder = Path(folder)
    lines = (folder / "whole.csv").read_text().splitlines(keepends=True)
    run = RunMirror(folder, open_client(store.uri, store.experiment_id), store.experiment_id)
    for stop in range(20, len(lines) + 20, 20):
        (folder / "history.csv").write_text("".join(lines[:stop]))
        run.update(alive=stop < len(lines))
with ThreadPoolExecutor(len(folders)) as threads:
    list(threads.map(grow, folders))
"""


def environment(**variables):
    return os.environ | {"PYTHONPATH": str(ROOT)} | variables


def write_at_once(store, folders, num_processes=4):
    """Let every folder grow and be mirrored at the same time; returns what was complained of."""
    settings = {"uri": store.uri, "experiment_id": store.experiment_id}
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, json.dumps(settings), *folders[i::num_processes]],
            env=environment(),
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for i in range(num_processes)
    ]
    outputs = [writer.communicate()[0] for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * num_processes, outputs
    return "".join(outputs)


@pytest.fixture
def folders(new_run):
    """32 run folders that have yet to write their 200 epochs."""
    paths = []
    for seed in range(NUM_RUNS):
        run = new_run(seed=seed, begun=1.8e9 + seed).write_history(NUM_EPOCHS)
        (run.path / "history.csv").rename(run.path / "whole.csv")
        paths.append(run.path)
    return paths


def assert_complete(store, folders):
    from mlflow import MlflowClient

    client = MlflowClient(store.uri)
    runs = client.search_runs([store.experiment_id], max_results=1000)
    assert sorted(int(run.data.tags["seed"]) for run in runs) == list(range(NUM_RUNS))
    for run in runs:
        assert run.info.status == "KILLED"  # by its files: it has no final figures
        for name, number in (("lr", NUM_EPOCHS), ("ema_test_top1", NUM_EPOCHS / 2)):
            history = client.get_metric_history(run.info.run_id, name)
            assert len(history) == number
            assert len({point.step for point in history}) == number


@pytest.fixture
def postgres(needs):
    """The address of an empty database of a server that ends with the test."""
    needs(bool(POSTGRES), "postgresql")
    binaries, as_user = POSTGRES[-1], []
    # Not in tmp_path: pytest closes its folders to others, and PostgreSQL refuses to run as root.
    with tempfile.TemporaryDirectory(prefix="posmlp-postgres-", dir="/tmp") as parent:
        folder = Path(parent)
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
            as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]

        def run(*command):
            words = [*as_user, *map(str, command)]
            subprocess.run(words, check=True, cwd=folder, stdout=subprocess.DEVNULL, timeout=120)

        run(binaries / "initdb", "-D", folder / "db", "-A", "trust", "-U", "anna", "--no-sync")
        options = f"-c listen_addresses='' -c fsync=off -k {folder}"
        control = (binaries / "pg_ctl", "-D", folder / "db", "-w")
        run(*control, "-o", options, "-l", folder / "log", "start")
        try:
            run(binaries / "createdb", "-h", folder, "-U", "anna", "mlflow")
            yield f"postgresql+psycopg://anna:secret@/mlflow?host={folder}"
        finally:
            run(*control, "-m", "immediate", "stop")


@pytest.fixture
def server(postgres, tmp_path, unused_port):
    """A tracking server on PostgreSQL with the settings of `make ui`."""
    init_store("digits", results=tmp_path, uri=postgres)
    command, settings = server_command(postgres, HOST, unused_port)
    variables = settings | {"MLFLOW_BACKEND_STORE_URI": postgres}
    variables |= {"MLFLOW_ARTIFACTS_DESTINATION": str(tmp_path / "served")}
    with (tmp_path / "server.log").open("w+") as log:
        process = subprocess.Popen(
            command, env=environment(**variables), stdout=log, stderr=log, start_new_session=True
        )
        address = f"http://{HOST}:{unused_port}"
        deadline = time.monotonic() + 180
        while True:
            try:
                urllib.request.urlopen(f"{address}/health", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.3)
        yield address, tmp_path / "server.log"
        os.killpg(process.pid, 15)
        process.wait(60)


def test_32_runs_at_once_on_sqlite(store, folders):
    assert write_at_once(store, folders) == ""
    assert_complete(store, folders)


def test_32_runs_at_once_through_a_server_on_postgresql(server, folders, results):
    address, log = server
    store = init_store("digits", results=results, uri=address)
    assert write_at_once(store, folders) == ""
    assert_complete(store, folders)
    counts, _ = sync_runs(folders, store)
    assert (counts["runs"], counts["failed"]) == (NUM_RUNS, 0)
    assert_complete(store, folders)
    assert "QueuePool" not in log.read_text()


def test_runs_that_name_new_data_sets_at_once(store, new_run):
    """MLflow looks for a data set before it adds it; both runs may look before either adds."""
    runs = [new_run(seed=seed).finish() for seed in range(4)]
    mirrors = [
        RunMirror(run.path, open_client(store.uri, store.experiment_id), store.experiment_id)
        for run in runs
    ]
    for mirror in mirrors:
        mirror.update(alive=True)
    for round_ in range(10):
        digests = {"train": f"train{round_}", "test": f"test{round_}"}
        start = threading.Barrier(len(mirrors))

        def name(mirror, start=start, metrics=runs[0].metrics | {"digests": digests}):
            start.wait()
            send_datasets(mirror, metrics)

        with ThreadPoolExecutor(len(mirrors)) as threads:
            list(threads.map(name, mirrors))
    for mirror in mirrors:
        assert len(mirror.client.get_run(mirror.run_id).inputs.dataset_inputs) == 2 + 2 * 10


FIRST = """
import sys
from pathlib import Path
from posmlp.tracking import init_store
uri = sys.argv[1] or None
print(init_store("digits", "note", results=Path(sys.argv[2]), uri=uri).experiment_id)
"""


def open_first(uri, results, num=8):
    """Open a new store from several processes at once; returns their experiments."""

    def once(_):
        return subprocess.run(
            [sys.executable, "-c", FIRST, uri, str(results)],
            env=environment(MLFLOW_TRACKING_URI=""),
            cwd=ROOT,
            capture_output=True,
            text=True,
        )

    with ThreadPoolExecutor(num) as threads:
        done = list(threads.map(once, range(num)))
    assert {d.returncode for d in done} == {0}, [d.stderr for d in done]
    return {d.stdout for d in done}


def test_processes_that_open_a_new_sqlite_store_at_once_find_one(tmp_path):
    assert len(open_first("", tmp_path / "results")) == 1
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["mlflow.db"]


def test_machines_that_open_a_new_postgresql_store_at_once_find_one(postgres, tmp_path):
    """Each with a folder of its own, so that no lock of one machine helps."""

    def machine(number):
        return open_first(postgres, tmp_path / f"machine{number}", num=1)

    with ThreadPoolExecutor(4) as threads:
        found = set.union(*threads.map(machine, range(4)))
    assert len(found) == 1
