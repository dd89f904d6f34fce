"""Several syncs at once: nothing is lost or doubled."""

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from samples import RunFolder, Shown

import posmlp
from posmlp.tracking.ui import HOST

ROOT = Path(posmlp.__file__).parents[1]
POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
NUM_EPOCHS = 60  # more points than MLflow takes at once


def sync_at_once(results_folders, address="", users=("anna",)):
    """Run `posmlp sync` in each folder at the same time, each by the next of the users.

    Locks are in TMPDIR: processes with different ones are like processes of different machines.
    """

    def sync(number):
        return subprocess.run(
            [sys.executable, "-m", "posmlp", "sync", "--results", results_folders[number]],
            env=os.environ
            | {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": address}
            | {"LOGNAME": users[number % len(users)]}
            | {"TMPDIR": str(results_folders[number].parent)},
            cwd=ROOT,
            capture_output=True,
            text=True,
        )

    with ThreadPoolExecutor(len(results_folders)) as threads:
        done = list(threads.map(sync, range(len(results_folders))))
    assert [d.returncode for d in done] == [0] * len(done), [d.stderr for d in done]
    return "".join(d.stdout for d in done)


def make_runs(results, study="digits", num_runs=4):
    for seed in range(num_runs):
        RunFolder(results, study, "sgu", seed, begun=1.8e9 + seed).finish(NUM_EPOCHS)
    return results


def assert_complete(shown, num_runs=4):
    assert sorted(int(run.data.tags["seed"]) for run in shown.runs) == list(range(num_runs))
    for run in shown.runs:
        assert run.info.status == "FINISHED"
        for name, number in (("lr", NUM_EPOCHS), ("ema_test_top1", NUM_EPOCHS / 2)):
            assert len({step for step, *_ in shown.points(run, name)}) == number


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


def test_processes_that_sync_one_folder_to_a_new_sqlite_store_at_once(tmp_path):
    results = make_runs(tmp_path / "results")
    sync_at_once([results] * 3)
    assert_complete(Shown(results))
    assert {path.name for path in results.iterdir()} == {"mlflow.db", "mlartifacts", "runs"}


def test_users_that_sync_the_same_study_through_a_server_on_postgresql(
    start, postgres, tmp_path, unused_port
):
    log, address = start(postgres, unused_port), f"http://{HOST}:{unused_port}"
    folders = [make_runs(tmp_path / user / "results") for user in ("anna", "bert")]
    output = sync_at_once(folders, address, users=("anna", "bert"))
    assert output.count("digits: 4 runs, 4 finished.") == 2
    for user in ("anna", "bert"):
        assert_complete(Shown(None, f"{user}/digits", address))
    assert "QueuePool" not in log.read_text()
