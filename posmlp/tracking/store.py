"""Opening MLflow's store: made or upgraded where it is SQLite, checked to answer, locked."""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import os
import socket
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from posmlp.tracking.address import SQL_PORTS, StoreError, brief, resolve_uri, sqlite_path

if TYPE_CHECKING:
    from mlflow import MlflowClient

TIMEOUT_S = 5
# Bounded waits (MLflow's default is 7 retries, minutes a call), no telemetry, no chatter.
CLIENT_ENV = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": str(TIMEOUT_S),
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",  # a busy server may ask for an hour
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
REBUILD = "MLflow is only a view: `posmlp rebuild` makes a new store from the files"


class StoreUnavailable(StoreError):  # noqa: N818 (it says a state)
    """The store cannot be reached or read now; runs are recorded in their folders all the same."""


@dataclass(frozen=True)
class Store:
    """An open store.

    Args:
        uri: may hold a password, so it is not in the repr.
        results: the folder whose runs it shows.
    """

    uri: str = field(repr=False)
    results: Path
    client: MlflowClient = field(repr=False)

    def check(self) -> None:
        """Raise StoreUnavailable unless the store answers."""
        try:
            self.client.search_experiments(max_results=1)
        except Exception as error:  # MLflow's and its database drivers' are of many kinds
            raise unavailable(self.uri, error) from None

    def experiment_id(self, name: str) -> str:
        """The id of an experiment, restored or created where needed.

        One of a store that was moved would write to its old location; it is renamed and replaced.
        """
        artifacts, name = self._artifacts(name), self.experiment_name(name)
        found = self.client.get_experiment_by_name(name)
        if found and found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        if found and sqlite_path(self.uri) and _was_moved(found.artifact_location, artifacts):
            self.client.rename_experiment(
                found.experiment_id, f"{name} (of {found.artifact_location})"
            )
            found = None
        return found.experiment_id if found else self._create_experiment(name, artifacts)

    def experiment_name(self, name: str) -> str:
        """The name itself; on a server, which several people share, after that of the user."""
        return name if sqlite_path(self.uri) else f"{getpass.getuser()}/{name}"

    def _create_experiment(self, name: str, artifacts: str | None) -> str:
        from mlflow.exceptions import MlflowException

        try:
            return self.client.create_experiment(name, artifacts)
        except MlflowException:
            found = self.client.get_experiment_by_name(name)  # another process was first
            if not found:
                raise
            return found.experiment_id

    def _artifacts(self, name: str) -> str | None:
        """Beside the store; a tracking server chooses for itself."""
        if self.uri.startswith("http"):
            return None
        database = sqlite_path(self.uri)
        root = database.parent if database else self.results.absolute()
        return str(root / "mlartifacts" / name)


def _was_moved(old: str, new: str) -> bool:
    return old != new and Path(old).parts[-2:] == Path(new).parts[-2:]


@contextmanager
def open_store(results: Path, uri: str | None = None) -> Iterator[Store]:
    """Open the store, made or upgraded where needed, for one process of this machine at a time.

    Processes that open a new store at once ruin it, and two syncs of a folder would create two
    runs.

    Raises:
        StoreError: the address is wrong.
        StoreUnavailable: it is right, but nothing answers.
    """
    uri = resolve_uri(results, uri)
    database = sqlite_path(uri)
    with _one_at_a_time(str(database.parent) if database else uri):
        try:
            set_client_environment()
            if database:
                _create_or_upgrade(database)
            client = _open_while_others_do(uri)
        except StoreUnavailable:
            raise
        except Exception as error:
            raise unavailable(uri, error) from None
        yield Store(uri, results, client)


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


def _open_while_others_do(uri: str) -> MlflowClient:
    """Open a store that other machines may be creating: in PostgreSQL all but one of them fail on
    its first tables, and find them there a moment later.
    """
    for pause in (0.5, 1, 2, 4):
        try:
            return open_client(uri)
        except StoreUnavailable:
            if uri.startswith(("http", "sqlite")):
                raise
            time.sleep(pause)
    return open_client(uri)


def open_client(uri: str) -> MlflowClient:
    """A client of an existing store, checked to answer."""
    _check_reachable(uri)
    try:
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        client.search_experiments(max_results=1)
    except Exception as error:
        raise unavailable(uri, error) from None
    return client


def set_client_environment() -> None:
    """Set CLIENT_ENV where the user has not; some of it counts when mlflow is imported."""
    for name, value in CLIENT_ENV.items():
        os.environ.setdefault(name, value)


def unavailable(uri: str, error: Exception) -> StoreUnavailable:
    """Describe an error of MLflow or its drivers that means trouble with the store."""
    return StoreUnavailable(brief(f"{uri}: {type(error).__name__}: {error}"))


def _check_reachable(uri: str) -> None:
    """Fail at once where MLflow would create a second store or retry for minutes."""
    if database := sqlite_path(uri):
        if not _schema_version(database):
            raise StoreUnavailable(f"{database} is not an intact MLflow store. {REBUILD}")
        return
    parts = urlsplit(uri)
    port = parts.port or SQL_PORTS.get(parts.scheme.split("+")[0])
    if parts.hostname and port and not parts.scheme.startswith("http"):
        try:
            socket.create_connection((parts.hostname, port), TIMEOUT_S).close()
        except OSError as error:
            raise unavailable(uri, error) from None


def _schema_version(database: Path) -> str | None:
    """The migration that a SQLite store is at; None if it is damaged or not a store."""
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", 20, uri=True)) as connection:
            row = connection.execute("select version_num from alembic_version").fetchone()
    except sqlite3.Error:
        return None
    return row[0] if row else None


def _create_or_upgrade(database: Path) -> None:
    """Bring a SQLite store to this MLflow, in a copy: an interrupted migration ruins the file."""
    is_old = database.exists()
    if is_old and _schema_version(database) in (None, _newest_schema_version()):
        return
    from mlflow.db import upgrade

    database.parent.mkdir(parents=True, exist_ok=True)
    copy = database.with_name(f"{database.name}.{os.getpid()}.tmp")
    try:
        if is_old:
            with closing(sqlite3.connect(database)) as old, closing(sqlite3.connect(copy)) as new:
                old.backup(new)
        upgrade.callback(f"sqlite:///{copy}")  # `mlflow db upgrade`, which creates as well
        if is_old:
            copy.replace(database)
        else:
            with suppress(FileExistsError):  # never over the new store of another process
                os.link(copy, database)
    except Exception as error:
        raise StoreUnavailable(f"{database} is not of this MLflow ({error}). {REBUILD}") from None
    finally:
        copy.unlink(missing_ok=True)


def _newest_schema_version() -> str | None:
    from alembic.script import ScriptDirectory
    from mlflow.store import db_migrations

    return ScriptDirectory(str(Path(db_migrations.__file__).parent)).get_current_head()
