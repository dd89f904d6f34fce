"""The address of MLflow's store, and opening it. Imports mlflow only when a store is opened."""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import os
import re
import socket
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from mlflow import MlflowClient

LONGEST_REASON = 800  # characters; "connection refused" comes after 400
TIMEOUT_S = 5
# Bounded waits (by default MLflow retries 7 times, for minutes), no telemetry, no chatter.
CLIENT_ENV = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": str(TIMEOUT_S),
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",  # a busy server may ask for an hour
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
SQL_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
SERVER = re.compile(rf"https?://[^/?#]+.*|({'|'.join(SQL_PORTS)})(\+\w+)?://[^/?#]*/.+")
REBUILD = "MLflow is only a view: move this file away, and `posmlp sync` makes a new store"


class StoreError(ValueError):
    """The tracking address cannot be used as it is written."""


class StoreUnavailable(StoreError):  # noqa: N818 (a state, not a fault)
    """The store cannot be reached or read now. Runs are recorded in their folders all the same."""


def masked(text: object) -> str:
    """Hide user names, passwords and tokens of addresses in a text."""
    hidden = re.sub(r"://\S*@", "://***@", str(text))
    return re.sub(r"(?i)\b(password|passwd|pwd|token|secret)=[^&\s'\"]+", r"\1=***", hidden)


def brief(error: object) -> str:
    """The first line of an error, masked and cut: servers answer with whole pages."""
    return masked(error).partition("\n")[0][:LONGEST_REASON]


def unavailable(uri: str, error: Exception) -> StoreUnavailable:
    """Describe an error of MLflow or its drivers."""
    return StoreUnavailable(brief(f"{uri}: {type(error).__name__}: {error}"))


def resolve_uri(results: Path, uri: str | None = None) -> str:
    """The tracking address: `uri`, else MLFLOW_TRACKING_URI, else SQLite in `results`."""
    default = f"sqlite:///{results.absolute() / 'mlflow.db'}"
    address = (uri or os.environ.get("MLFLOW_TRACKING_URI", "")).strip() or default
    # MLflow reads % ? # as an escape or a query and would open another file.
    if SERVER.fullmatch(address) or re.fullmatch(r"sqlite:////[^%?#]*[^%?#/]", address):
        return address
    raise StoreError(
        f"the tracking address {masked(address)} cannot be used. Set MLFLOW_TRACKING_URI to a "
        "whole path after four slashes without % ? #, such as sqlite:////home/me/mlflow.db, or to "
        "an http://, https://, postgresql://, mysql:// or mssql:// address; where it is unset, the "
        f"store is {default}"
    )


def sqlite_path(uri: str) -> Path | None:
    """The file of a SQLite address; None for other stores."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


@dataclass(frozen=True)
class Store:
    """An open store for the runs of a results folder."""

    uri: str = field(repr=False)  # may hold a password
    results: Path
    client: MlflowClient = field(repr=False)

    def check(self) -> None:
        """Raise StoreUnavailable unless the store answers."""
        try:
            self.client.search_experiments(max_results=1)
        except Exception as error:  # MLflow and database drivers raise many kinds
            raise unavailable(self.uri, error) from None

    def experiment_id(self, name: str) -> str:
        """The id of an experiment, which is created or restored where needed.

        Raises:
            StoreUnavailable: the store was moved, and artifacts would go to the old location.
        """
        database = sqlite_path(self.uri)
        root = database.parent if database else self.results.absolute()
        artifacts, name = root / "mlartifacts" / name, self.experiment_name(name)
        found = self.client.get_experiment_by_name(name)
        if not found:  # a tracking server chooses where artifacts are
            location = None if self.uri.startswith("http") else str(artifacts)
            return self.client.create_experiment(name, location)
        old = Path(found.artifact_location)
        if database and old.resolve() != artifacts.resolve():
            raise StoreUnavailable(f"{database} was moved: its files are in {old}. {REBUILD}")
        if found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        return found.experiment_id

    def experiment_name(self, name: str) -> str:
        """The name as it is; on a server, which several people share, <user>/<name>."""
        return name if sqlite_path(self.uri) else f"{getpass.getuser()}/{name}"


@contextmanager
def open_store(results: Path, uri: str | None = None) -> Iterator[Store]:
    """Open the store, creating it where needed; one process of this machine at a time.

    Two processes that create a store at once ruin it, and two syncs would duplicate runs.

    Raises:
        StoreError: the address is wrong.
        StoreUnavailable: the address is right, but no usable store is there.
    """
    uri = resolve_uri(results, uri)
    database = sqlite_path(uri)
    with _one_at_a_time(str(database.parent) if database else uri):
        for name, value in CLIENT_ENV.items():  # some of it counts when mlflow is imported
            os.environ.setdefault(name, value)
        try:
            _check_reachable(uri)
            from mlflow import MlflowClient

            store = Store(uri, results, MlflowClient(tracking_uri=uri, registry_uri=uri))
            store.check()
        except Exception as error:
            what = error if isinstance(error, StoreUnavailable) else unavailable(uri, error)
            raise StoreUnavailable(f"{what}. {REBUILD}" if database else str(what)) from None
        yield store


@contextmanager
def _one_at_a_time(name: str) -> Iterator[None]:
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / f"posmlp-{os.getuid()}-{digest}.lock"
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Waiting for another process that writes to MLflow", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def _check_reachable(uri: str) -> None:
    """Fail at once where MLflow would retry for minutes."""
    database = sqlite_path(uri)
    if database and database.exists():
        try:
            with closing(sqlite3.connect(f"file:{database}?mode=ro", 20, uri=True)) as connection:
                version = connection.execute("select * from alembic_version").fetchone()
        except sqlite3.Error:
            version = None
        if not version:
            raise StoreUnavailable(f"{database} is not an intact MLflow store")
    elif not database and not uri.startswith("http"):
        parts = urlsplit(uri)
        port = parts.port or SQL_PORTS[parts.scheme.split("+")[0]]
        if parts.hostname:
            socket.create_connection((parts.hostname, port), TIMEOUT_S).close()
