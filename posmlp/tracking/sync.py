"""`posmlp sync` and `posmlp rebuild`: MLflow brought to what the run folders say."""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from posmlp.tracking.record import read_config
from posmlp.tracking.store import StoreUnavailable, init_store, move_away
from posmlp.tracking.study import sync


def sync_results(results: Path, studies: Sequence[str] = (), every_s: float | None = None) -> None:
    """Sync once; with `every_s` repeatedly, and then an unavailable store is waited for."""
    while True:
        try:
            sync_once(results, studies)
        except StoreUnavailable as error:
            if every_s is None:
                raise
            print(f"{error}; trying again in {every_s:g} s", file=sys.stderr, flush=True)
        if every_s is None:
            return
        time.sleep(every_s)


def sync_once(results: Path, names: Sequence[str] = ()) -> None:
    """Sync the folders of each study that has any, or of the named ones, with its experiment."""
    studies = defaultdict(list)
    for folder in sorted(results.glob("runs/*/*/seed*")):
        if (folder / "config.yaml").exists():
            studies[read_config(folder)["study"]].append(folder)
    for study, folders in studies.items():
        if names and study not in names:
            continue
        store = init_store(study, results=results)
        report = sync(folders, store, results / study)
        print(f"{study}: {json.dumps(report)}", flush=True)


def rebuild(results: Path) -> None:
    """Set the store aside and make it anew from the run folders alone."""
    if old := move_away(results):
        print(f"The old store is kept as {old}", flush=True)
    sync_once(results)
