"""`posmlp sync` and `posmlp rebuild`: MLflow brought to what the run folders say."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from posmlp.tracking.run_sync import Report
from posmlp.tracking.store import (
    StoreError,
    StoreUnavailable,
    masked,
    open_store,
    resolve_uri,
    sqlite_path,
)
from posmlp.tracking.study_sync import sync


def rounds(
    results: Path, names: Sequence[str] = (), *, patient: bool = False
) -> Iterator[list[Report]]:
    """Sync studies, printing what is new, each time that the next reports are asked for.

    Args:
        names: of studies; default: all that have runs in `results`.
        patient: a store that does not answer gives no reports, and no error.

    Raises:
        StoreError: no usable address, or no runs of a study that is named.
        StoreUnavailable: the store does not answer.
    """
    said: list[str] = []
    while True:
        reports: list[Report] = []
        try:
            reports = sync_once(results, names)
            lines = [line for report in reports for line in report.lines()]
            lines = lines or [f"{results}/runs holds no runs"]
        except StoreUnavailable as error:
            if not patient:
                raise
            lines = [f"MLflow does not answer, trying again: {error}"]
        for line in lines:
            if line not in said:  # a round that changes nothing says nothing
                print(line, flush=True)
        said = lines
        yield reports


def sync_once(results: Path, names: Sequence[str] = (), uri: str | None = None) -> list[Report]:
    """Sync each study once; `names` may be paths of study files. Errors are those of `rounds`."""
    studies = find_studies(results, names)
    if not studies:
        return []  # and no store is created
    with open_store(results, uri) as store:
        return [sync(study, store) for study in studies]


def find_studies(results: Path, names: Sequence[str] = ()) -> list[str]:
    """Names of the studies that have a folder under runs/, or of those that are named."""
    found = sorted(p.name for p in results.glob("runs/*") if p.is_dir() and p.name[0] != ".")
    chosen = [Path(name).stem if name.endswith(".yaml") else name for name in names]
    for name in chosen:
        if name not in found:
            there = f"there are runs of {', '.join(found)}" if found else "there are none"
            raise StoreError(f"{results}/runs holds no runs of a study {name!r}; {there}")
    return chosen or found


def rebuild(results: Path) -> None:
    """Build a store from the run folders alone, beside the old one, and swap it in last.

    Raises:
        StoreError: there are no runs, or the store is on a server, where its owner deletes.
        StoreUnavailable: it cannot be built; the old one is untouched.
    """
    uri = resolve_uri(results)
    database = sqlite_path(uri)
    if not database:
        raise StoreError(
            f"{masked(uri)} is not a SQLite file. To rebuild a study on a server, delete its two "
            "experiments in the UI, remove them by `mlflow gc`, and run `posmlp sync`"
        )
    if not find_studies(results):
        raise StoreError(f"{results}/runs holds no runs to rebuild the store from")
    new = database.with_name(f"{database.name}.new")
    new.unlink(missing_ok=True)
    try:
        for report in sync_once(results, uri=f"sqlite:///{new}"):
            print("\n".join(report.lines()), flush=True)
        if database.exists():
            old = database.with_name(f"{database.name}.{time.strftime('%Y%m%d-%H%M%S')}")
            os.link(database, old)
            print(f"The old store is kept as {old}", flush=True)
        new.replace(database)
    finally:
        new.unlink(missing_ok=True)
