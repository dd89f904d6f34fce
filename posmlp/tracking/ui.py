"""`posmlp ui`: run MLflow's server on this machine, keep its store in sync, stop it cleanly."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import IO

from posmlp.tracking.store import (
    StoreError,
    StoreUnavailable,
    masked,
    open_store,
    resolve_uri,
    sqlite_path,
)
from posmlp.tracking.sync import rounds

HOST = "127.0.0.1"
START_S, ANSWER_S, STOP_S = 120, 10, 10
SYNC_S = 30  # between syncs
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # bypasses any proxy
PROBE = "/api/2.0/mlflow/experiments/search"  # /health answers even without a store
SERVER_ENV = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # saves 15 processes and 2 GB
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": "20",  # the default deadlocks under load
}
# Workers, and connections that each may open beyond its pool. SQLite has a single writer;
# PostgreSQL's connections must stay below its max_connections, 100.
SQLITE, DATABASE = (1, 80), (2, 25)


def serve(results: Path, port: int, host: str | None = None) -> None:
    """Serve the store of `results`, in sync with the run folders, until interrupted.

    Args:
        host: name or address under which other machines reach this one; None: local access only.

    Raises:
        StoreError: the port or the host cannot be used, or the server does not start.
    """
    uri, address = resolve_uri(results), host or HOST
    if uri.startswith("http"):
        print(f"The runs are on a tracking server: open {masked(uri)}.")
        print(f"To keep it up to date: posmlp sync --every {SYNC_S}", flush=True)
        return
    try:
        socket.create_server((address, port)).close()
    except OSError as error:
        raise StoreError(
            f"cannot listen on {address}:{port}: {error.strerror}. Name a free port with --port; "
            "--host takes a name or address of this machine"
        ) from None
    print(f"Starting MLflow on {masked(uri)} ...", flush=True)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    with open_store(results):  # created before the server opens it
        pass
    root, artifacts = f"http://{address}:{port}", results.absolute() / "mlartifacts"
    with tempfile.TemporaryFile("w+") as output:
        server = start_server(uri, artifacts, address, port, output)
        try:
            wait_until_up(server, root, output)
            print("MLflow is up (Ctrl-C stops it). Each study's pages follow.", flush=True)
            sync_beside(server, results, root)
            raise StoreUnavailable(f"mlflow server stopped:\n{_tail(output)}")
        except KeyboardInterrupt:
            print("Stopped.", flush=True)
        finally:
            stop_server(server)


def sync_beside(server: subprocess.Popen[str], results: Path, root: str) -> None:
    """Sync every SYNC_S seconds until the server ends; print each new page's address."""
    announced: set[str] = set()
    for reports in rounds(results, patient=True):
        for report in reports:
            for title, path in report.links.items():
                if path not in announced:
                    print(f"  {report.study}  {title:10}  {root}/{path}", flush=True)
            announced.update(report.links.values())
        with suppress(subprocess.TimeoutExpired):
            server.wait(SYNC_S)
            return


def start_server(
    uri: str, artifacts: Path, host: str, port: int, output: IO[str]
) -> subprocess.Popen[str]:
    """Start MLflow's server in a session of its own, so that its workers end with it.

    It answers only requests addressed to `host` or loopback (no DNS rebinding).
    """
    workers, overflow = SQLITE if sqlite_path(uri) else DATABASE
    names = dict.fromkeys((host, HOST, "localhost"))
    command = [sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port)]
    command += ["--workers", str(workers)]
    command += ["--allowed-hosts", ",".join(f"{name}:*" for name in names)]
    command += ["--cors-allowed-origins", ",".join(f"http://{name}:{port}" for name in names)]
    settings = SERVER_ENV | {
        "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW": str(overflow),
        "MLFLOW_BACKEND_STORE_URI": uri,  # in the environment: it may hold a password
        "MLFLOW_ARTIFACTS_DESTINATION": str(artifacts),
    }
    return subprocess.Popen(
        command,
        env=os.environ | settings,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def wait_until_up(server: subprocess.Popen[str], root: str, output: IO[str]) -> None:
    """Wait until a real call to the server succeeds."""
    request = urllib.request.Request(
        f"{root}{PROBE}", b'{"max_results": 1}', {"Content-Type": "application/json"}
    )
    deadline = time.monotonic() + START_S
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with DIRECT.open(request, timeout=ANSWER_S):
                return
        except OSError:
            time.sleep(0.2)
    raise StoreUnavailable(f"mlflow server did not start:\n{_tail(output)}")


def _tail(output: IO[str], num_lines: int = 15) -> str:
    output.seek(0)
    return masked("\n".join(output.read().splitlines()[-num_lines:]))


def stop_server(server: subprocess.Popen[str]) -> None:
    """Stop the server and its workers; kill those still running after STOP_S seconds."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(server.pid, number)
            server.wait(STOP_S)
