"""`python -m posmlp.tracking ui` shows the runs; `sync` brings MLflow to what the folders say;
`rebuild` makes the store anew from the folders alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from pathlib import Path

from posmlp.tracking import StoreError, StoreUnavailable, init_store
from posmlp.tracking.live import follow
from posmlp.tracking.mirror import sync_runs
from posmlp.tracking.record import read_config
from posmlp.tracking.store import move_away
from posmlp.tracking.study import sync
from posmlp.tracking.ui import serve


def main(arguments: list[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    try:
        if options.command == "ui":
            serve(options.results, options.port, options.host)
        elif options.command == "sync":
            _sync(options.folders, options.results, options.every)
        elif options.command == "rebuild":
            if old := move_away(options.results):
                print(f"The store as it was is kept: {old}", flush=True)
            _sync([], options.results)
        else:
            follow(sys.stdin)
    except (StoreError, StoreUnavailable) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("Stopped.", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m posmlp.tracking", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    ui = commands.add_parser("ui", help="open MLflow on this machine")
    ui.add_argument("--port", type=int, help="default: the first free one from 5000 on")
    ui.add_argument(
        "--host",
        help="a name or address of this machine that others may open it by (it asks nobody for a "
        "password); default: this machine alone",
    )
    again = commands.add_parser("sync", help="bring MLflow to what the run folders say")
    again.add_argument("folders", nargs="*", type=Path, help="default: every run in results/runs")
    again.add_argument(
        "--every", type=float, metavar="SECONDS", help="and again, until interrupted"
    )
    rebuild = commands.add_parser("rebuild", help="make the store anew from the run folders")
    for command in (ui, again, rebuild):
        command.add_argument("--results", type=Path, default=Path("results"))
    commands.add_parser("follow", help="used by trainers: mirror one folder while it grows")
    return parser


def _sync(folders: list[Path], results: Path, every_s: float | None = None) -> None:
    """Sync once; or again and again, and then a store that is not well is waited for."""
    while True:
        try:
            _sync_once(folders, results)
        except StoreUnavailable as error:
            if every_s is None:
                raise
            print(f"{error}; trying again in {every_s:g} s", file=sys.stderr, flush=True)
        if every_s is None:
            return
        time.sleep(every_s)


def _sync_once(folders: list[Path], results: Path) -> None:
    """Sync each study's folders with its experiment; whole studies where no folder is named."""
    studies = defaultdict(list)
    for folder in folders or sorted(results.glob("runs/*/*/seed*")):
        if folders or (folder / "config.yaml").exists():  # else it has not begun
            studies[read_config(folder)["study"]].append(folder)
    for study, of_study in studies.items():
        store = init_store(study, results=results)
        if folders:
            report, _ = sync_runs(of_study, store)
        else:
            report = sync(of_study, store, results / study)
        print(f"{study}: {json.dumps(report)}", flush=True)


if __name__ == "__main__":
    main()
