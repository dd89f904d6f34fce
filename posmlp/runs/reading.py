"""Reading the files of run folders, which users copy, edit and damage: errors name the file."""

import csv
import json
from datetime import datetime
from pathlib import Path
from typing import Any

from posmlp.metrics import EPOCH_COLUMNS, REQUIRED, RUN_COLUMNS


def read_bytes(path: Path) -> bytes:
    """The content of a file.

    Raises:
        ValueError: it is missing, a folder, a broken link or not readable.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path.name}: cannot be read ({error.strerror})") from None


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty where there is no file.

    Raises:
        ValueError: the file is damaged or holds something else.
    """
    if not path.exists() and not path.is_symlink():
        return {}
    try:
        values = json.loads(read_bytes(path), parse_constant=_refuse)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name}: is damaged ({error})") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path.name}: holds a {type(values).__name__} instead of an object")
    return values


def _refuse(constant: str) -> None:
    raise json.JSONDecodeError(f"{constant} is not a number", constant, 0)


def is_finished(folder: Path, key: str) -> bool:
    """Whether a run folder holds the metrics of a run with this key; damaged metrics are none."""
    try:
        return read_json(folder / "metrics.json").get("key") == key
    except ValueError:
        return False


def read_metrics(path: Path) -> dict[str, Any]:
    """The metrics.json of a finished run, its metrics checked to be numbers.

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
    """The rows of a history.csv, an epoch each; a metric that does not apply is None.

    Raises:
        ValueError: the file is missing, cut, or holds something else than known metrics.
    """
    text = read_bytes(path).decode(errors="replace")
    if not text.endswith("\n"):
        raise ValueError(f"{path.name}: its last line is cut")
    rows = csv.DictReader(text.splitlines())
    if unknown := set(rows.fieldnames) - set(EPOCH_COLUMNS):
        raise ValueError(f"{path.name}: unknown metrics: {', '.join(sorted(unknown))}")
    history = []
    for line, row in enumerate(rows, start=2):
        where = f"{path.name}, line {line}"
        if None in row or None in row.values():
            raise ValueError(f"{where}: has another number of columns than line 1")
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
    """When a file was last written, in nanoseconds of its machine's clock; 0: it is missing."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
