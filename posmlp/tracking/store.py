"""Where the runs are shown: the tracking address, the MLflow experiment, and how to open them."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import socket
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from posmlp.tracking.address import (
    SQL_PORTS,
    StoreError,
    brief,
    masked,
    resolve_uri,
    sqlite_path,
)
from posmlp.tracking.experiment import find_or_create_experiment

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger("posmlp.tracking")

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
NETWORK_FILESYSTEMS = (
    *("nfs", "lustre", "gpfs", "beegfs", "ceph", "afs", "panfs", "cifs", "smb"),
    *("fuse.sshfs", "fuse.glusterfs"),
)
REBUILD = "MLflow is only a view: move it away and run again, the view is rebuilt from the files"


class StoreUnavailable(RuntimeError):  # noqa: N818 (it says a state, as KeyboardInterrupt does)
    """The store cannot be reached or read now; runs are still recorded in their folders."""


@dataclass(frozen=True)
class Store:
    """What a trainer needs to show its run; `uri` may hold a password, so it is not in the repr."""

    uri: str = field(repr=False)
    experiment_id: str
    live: bool = True  # False: only `sync` writes, because many writers at once would not be safe
    host: str = ""  # the one machine that may write; empty: any

    @property
    def is_live_here(self) -> bool:
        """Whether a training on this machine may write: SQLite is for one machine only."""
        return self.live and self.host in ("", socket.gethostname())


def write_store(store: Store | None, path: Path) -> None:
    """Save for the trainers as JSON, readable by the owner only; None: they do not track."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        json.dump(asdict(store) if store else None, file)


def read_store(path: Path) -> Store | None:
    """What `write_store` saved."""
    values = json.loads(path.read_text())
    return Store(**values) if values else None


def init_store(
    study: str, description: str = "", *, results: Path = Path("results"), uri: str | None = None
) -> Store:
    """Create or upgrade the store and the experiment named `study`; call it before any trainer.

    Processes that open a new store at once ruin it, so trainers never create anything.
    StoreError: the address is wrong.  StoreUnavailable: it is right but nothing answers.
    """
    uri = resolve_uri(results, uri)
    database = sqlite_path(uri)
    try:
        bound_mlflow()
        with _one_at_a_time(database.parent if database else results):
            if database:
                _create_or_upgrade(database)
            client = _open_while_others_do(uri)
            experiment_id = find_or_create_experiment(client, study, description, uri, results)
    except StoreUnavailable:
        raise
    except Exception as error:  # MLflow's and its database drivers' are of many kinds
        raise unavailable(uri, error) from None
    live = not (database and _on_network(database))
    return Store(uri, experiment_id, live, socket.gethostname() if database else "")


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Let the processes of this machine open a new store one after the other."""
    digest = hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / f"posmlp-{os.getuid()}-{digest}.lock"
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def _open_while_others_do(uri: str) -> MlflowClient:
    """Open a store that processes elsewhere may be making: in PostgreSQL all but one of them fail
    on its first tables, and find them there a moment later.
    """
    for pause in (0.5, 1, 2, 4):
        try:
            return open_client(uri)
        except StoreUnavailable:
            if uri.startswith(("http", "sqlite")):
                raise
            time.sleep(pause)
    return open_client(uri)


def move_away(results: Path) -> Path | None:
    """Set the SQLite store of `results` and its artifacts aside; returns where the store is then.

    StoreError: the store is a server's, which is not ours to empty.
    """
    uri = resolve_uri(results)
    database = sqlite_path(uri)
    if not database:
        raise StoreError(
            f"{masked(uri)} is not a file of ours. To rebuild a study there, delete its experiment "
            "in the UI, `mlflow gc` it, and run: python -m posmlp.tracking sync"
        )
    mark = time.strftime("%Y%m%d-%H%M%S")
    artifacts = database.parent / "mlartifacts"
    if artifacts.exists():
        artifacts.rename(artifacts.with_name(f"mlartifacts.{mark}"))
    if not database.exists():
        return None
    return database.rename(database.with_name(f"{database.name}.{mark}"))


def open_client(uri: str, experiment_id: str | None = None) -> MlflowClient:
    """A client of an existing store, checked to answer and to hold `experiment_id`."""
    bound_mlflow()
    _check_reachable(uri)
    try:
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        if experiment_id is None:
            client.search_experiments(max_results=1)
        else:
            client.get_experiment(experiment_id)
    except Exception as error:
        raise unavailable(uri, error) from None
    return client


def bound_mlflow() -> None:
    """Set CLIENT_ENV where the user has not; some of it counts when mlflow is imported."""
    for name, value in CLIENT_ENV.items():
        os.environ.setdefault(name, value)


def unavailable(uri: str, error: Exception) -> StoreUnavailable:
    """What to raise where an error of MLflow or its drivers means that the store is not well."""
    return StoreUnavailable(brief(f"{uri}: {type(error).__name__}: {error}"))


def _check_reachable(uri: str) -> None:
    """Fail at once where MLflow would create a second store or retry for minutes."""
    if database := sqlite_path(uri):
        if not database.exists():
            raise StoreUnavailable(f"there is no MLflow store at {database}")
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
    """The migration that a SQLite store stands at; None if it is no store or a broken one."""
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


def _on_network(database: Path, mounts: Path = Path("/proc/mounts")) -> bool:
    """Whether SQLite lies where locks of several hosts cannot be trusted; says what follows."""
    if not mounts.exists():
        return False
    kinds = {Path(line.split()[1]): line.split()[2] for line in mounts.read_text().splitlines()}
    kind = next((kinds[folder] for folder in database.resolve().parents if folder in kinds), "")
    if not kind.startswith(NETWORK_FILESYSTEMS):
        return False
    logger.warning(
        "%s lies on %s, where SQLite allows one writer only: runs appear in MLflow when the study "
        "ends. To watch them live, set MLFLOW_TRACKING_URI to a tracking server.",
        database,
        kind,
    )
    return True
