"""The tracking address: which ones can be used, and how they may be shown."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

LONGEST_REASON = 800  # characters; that a connection was refused stands at the end of 400
SQL_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


class StoreError(ValueError):
    """The tracking address cannot be used as it is written."""


def masked(text: object) -> str:
    """`text` without the user names, passwords and tokens of any address in it."""
    hidden = re.sub(r"://\S*@", "://***@", str(text))
    return re.sub(r"(?i)\b(password|passwd|pwd|token|secret)=[^&\s'\"]+", r"\1=***", hidden)


def brief(error: object) -> str:
    """What an error says, masked and in one line: servers answer with whole pages."""
    return masked(error).partition("\n")[0][:LONGEST_REASON]


def resolve_uri(results: Path, uri: str | None = None) -> str:
    """The tracking address: `uri`, else MLFLOW_TRACKING_URI, else SQLite in `results`."""
    default = f"sqlite:///{results.absolute() / 'mlflow.db'}"
    address = (uri or os.environ.get("MLFLOW_TRACKING_URI", "")).strip() or default
    if address.startswith("sqlite:"):
        _check_sqlite_path(address, default)
    elif not _is_server(address):
        raise StoreError(
            f"MLFLOW_TRACKING_URI={masked(address)} cannot be used: it must be an absolute "
            "http://, https://, sqlite:////, postgresql://, mysql:// or mssql:// address "
            "(MLflow refuses folders such as ./mlruns and file:). "
            f"Unset it for {default}, or write one of these."
        )
    return address


def _is_server(address: str) -> bool:
    scheme = address.partition("://")[0]
    try:
        parts = urlsplit(address)
        if scheme in ("http", "https"):
            return bool(parts.hostname) and parts.port != 0
        return scheme.split("+")[0] in SQL_PORTS and len(parts.path) > 1 and parts.port != 0
    except ValueError:  # the port is not a number
        return False


def _check_sqlite_path(address: str, default: str) -> None:
    path = address.removeprefix("sqlite:///")
    if not path.startswith("/") or path.endswith("/"):
        raise StoreError(
            f"MLFLOW_TRACKING_URI={address} is not an absolute path: each job would open another "
            f"file, in its own folder. Write four slashes and the whole path, such as {default}"
        )
    if odd := sorted(set("%?#") & set(path)):
        raise StoreError(
            f"{address} holds {' '.join(odd)}, which MLflow reads as an escape or a query and so "
            "opens another file. Set MLFLOW_TRACKING_URI to a path without % ? #, such as "
            "sqlite:////home/me/posmlp/mlflow.db, or rename the folder."
        )


def sqlite_path(uri: str) -> Path | None:
    """The database file of a SQLite address; None for any other store."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None
