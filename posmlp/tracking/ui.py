"""`make ui`: MLflow's own server on this machine, light, and stopped cleanly."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, NoReturn
from urllib.parse import quote, urlencode

from posmlp.tracking.address import StoreError, masked, resolve_uri, sqlite_path
from posmlp.tracking.store import StoreUnavailable

HOST = "127.0.0.1"
FIRST_PORT, NUM_PORTS = 5000, 20
START_S, ANSWER_S, STOP_S = 120, 10, 10
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through a proxy
PROBE = "/api/2.0/mlflow/experiments/search"  # /health answers even where no store does
VIEW = urlencode(
    {
        "searchFilter": "tags.current = 'true'",  # without runs whose folder was trained anew
        "orderByKey": "tags.`mlflow.runName`",
        "orderByAsc": "true",
        "workflowType": "machine_learning",  # MLflow opens on GenAI otherwise
    },
    quote_via=quote,
)
SERVER_ENV = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # else 15 processes and 2 GB
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": "20",  # the default pool locks itself out when busy
    "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW": "25",
}


def serve(results: Path, port: int | None = None) -> None:
    """Show the store of `results` until interrupted; `port` None takes the next free one.

    StoreError: port taken.  StoreUnavailable: no store, or the server does not start.
    """
    uri = resolve_uri(results)
    if uri.startswith("http"):
        print(f"The runs are on a tracking server: open {masked(uri)}", flush=True)
        return
    database = sqlite_path(uri)
    if database and not database.exists():
        raise StoreUnavailable(
            f"there is no MLflow store at {database}: run `make reproduce` first"
        )
    port = _free_port(port)
    print(f"Starting MLflow on {masked(uri)} ...", flush=True)
    with _stopped_by_signals(), tempfile.TemporaryFile("w+") as output:
        server = _start(uri, results, port, output)
        try:
            _announce(_wait_until_up(server, port, output), port)
            server.wait()
            raise StoreUnavailable(f"mlflow server ended by itself:\n{_tail(output)}")
        except KeyboardInterrupt:
            print("Stopped.", flush=True)
        finally:
            _stop(server)


def _free_port(port: int | None) -> int:
    """`port` if it is free; None: the first free one from FIRST_PORT on."""
    candidates = [port] if port is not None else range(FIRST_PORT, FIRST_PORT + NUM_PORTS)
    for candidate in candidates:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, candidate))
            except OSError:
                continue
            return candidate
    taken = f"port {port} is" if port is not None else f"ports from {FIRST_PORT} on are"
    raise StoreError(f"{taken} taken on {HOST}: name another one with --port")


def _start(uri: str, results: Path, port: int, output: IO[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mlflow", "server"]
    command += ["--host", HOST, "--port", str(port), "--workers", "1"]
    addresses = {
        "MLFLOW_BACKEND_STORE_URI": uri,  # in the environment: it may hold a password
        "MLFLOW_ARTIFACTS_DESTINATION": str(results.absolute() / "mlartifacts"),
    }
    return subprocess.Popen(
        command,
        env=os.environ | SERVER_ENV | addresses,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # so that its workers can be stopped with it
    )


def _wait_until_up(
    server: subprocess.Popen[str], port: int, output: IO[str]
) -> list[dict[str, str]]:
    """The experiments that the server shows, once a real call to it succeeds."""
    request = urllib.request.Request(
        f"http://{HOST}:{port}{PROBE}",
        data=json.dumps({"max_results": 100, "order_by": ["name"]}).encode(),
        headers={"Content-Type": "application/json"},
    )
    deadline = time.monotonic() + START_S
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with DIRECT.open(request, timeout=ANSWER_S) as answer:
                return json.load(answer).get("experiments", [])
        except OSError:
            time.sleep(0.2)
    raise StoreUnavailable(f"mlflow server did not start:\n{_tail(output)}")


def _announce(experiments: list[dict[str, str]], port: int) -> None:
    print(f"MLflow: http://{HOST}:{port}   (Ctrl-C stops it)", flush=True)
    for experiment in experiments:
        if experiment["experiment_id"] != "0":  # MLflow's own, always there
            page = f"http://{HOST}:{port}/#/experiments/{experiment['experiment_id']}/runs?{VIEW}"
            print(f"  {experiment['name']}: {page}", flush=True)


def _tail(output: IO[str], num_lines: int = 15) -> str:
    output.seek(0)
    return masked("\n".join(output.read().splitlines()[-num_lines:]))


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Turn the signals that end a program into KeyboardInterrupt, so that the server is stopped."""

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, interrupt) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _stop(server: subprocess.Popen[str]) -> None:
    """Stop the server and its workers; those that hang after STOP_S are killed."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, number)
            server.wait(STOP_S)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
