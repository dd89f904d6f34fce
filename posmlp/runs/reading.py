"""Reading of run folders. Users copy, edit and damage their files, so errors name the file."""

import csv
import json
from datetime import datetime
from pathlib import Path
from typing import Any

from posmlp.metrics import EPOCH_COLUMNS, REQUIRED, RUN_COLUMNS


def read_bytes(path: Path) -> bytes:
    """The content of a file.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path.name}: cannot be read ({error.strerror})") from None


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty if the file is missing.

    Raises:
        ValueError: the file is damaged or contains something else.
    """
    if not path.exists() and not path.is_symlink():
        return {}
    try:
        values = json.loads(read_bytes(path), parse_constant=_refuse)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name}: is damaged ({error})") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path.name}: contains a {type(values).__name__} instead of an object")
    return values


def _refuse(constant: str) -> None:
    raise json.JSONDecodeError(f"{constant} is not a number", constant, 0)


def finished_metrics(folder: Path, key: str) -> dict[str, Any]:
    """The metrics.json of the finished run with this key; empty if missing, damaged or another's.

    The one test of whether a run is finished. `read_metrics` also checks every value.
    """
    try:
        metrics = read_json(folder / "metrics.json")
    except ValueError:
        return {}
    return metrics if metrics.get("key") == key else {}


def read_metrics(path: Path) -> dict[str, Any]:
    """The metrics.json of a finished run, with every value checked.

    Raises:
        ValueError: the file is missing or damaged.
    """
    metrics = read_json(path)
    for name in (*RUN_COLUMNS, "epochs"):
        value = metrics.get(name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number and (value is not None or name in (*REQUIRED, "epochs")):
            raise ValueError(f"{path.name}: {name} is {json.dumps(value)}, not a number")
    for name in ("key", "finished_at"):
        if not isinstance(metrics.get(name), str):
            raise ValueError(f"{path.name}: {name} is missing")
    try:
        milliseconds(metrics["finished_at"])
    except ValueError:
        raise ValueError(f"{path.name}: finished_at is not a time") from None
    return metrics


def read_history(path: Path) -> list[dict[str, float | None]]:
    """The rows of a history.csv, one per epoch; an empty cell is None.

    Raises:
        ValueError: the file is missing or truncated, or has unknown columns or values.
    """
    text = read_bytes(path).decode(errors="replace")
    if not text.endswith("\n"):
        raise ValueError(f"{path.name}: the last line is truncated")
    rows = csv.DictReader(text.splitlines())
    if unknown := set(rows.fieldnames) - set(EPOCH_COLUMNS):
        raise ValueError(f"{path.name}: unknown metrics: {', '.join(sorted(unknown))}")
    history = []
    for line, row in enumerate(rows, start=2):
        where = f"{path.name}, line {line}"
        if None in row or None in row.values():
            raise ValueError(f"{where}: has a different number of columns than line 1")
        try:
            values = {name: float(value) if value else None for name, value in row.items()}
            history.append(values | {"epoch": int(row["epoch"]), "time": float(row["time"])})
        except (KeyError, ValueError) as error:
            raise ValueError(f"{where}: {error}") from None
    return history


def milliseconds(moment: str) -> int:
    """An ISO time as milliseconds since 1970."""
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


def modified_ns(path: Path) -> int:
    """Modification time of a file in nanoseconds; 0 if it is missing."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
