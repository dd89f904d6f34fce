"""`python -m posmlp.tracking ui` shows the runs; `sync` brings MLflow to what the folders say."""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path

from posmlp.tracking import StoreError, StoreUnavailable, init_store, sync
from posmlp.tracking.live import follow
from posmlp.tracking.record import read_config
from posmlp.tracking.ui import serve


def main(arguments: list[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    try:
        if options.command == "ui":
            serve(options.results, options.port)
        elif options.command == "sync":
            _sync(options.folders, options.results)
        else:
            follow(sys.stdin)
    except (StoreError, StoreUnavailable) as error:
        sys.exit(f"error: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m posmlp.tracking", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    ui = commands.add_parser("ui", help="open MLflow on this machine")
    ui.add_argument("--port", type=int, help="default: the first free one from 5000 on")
    again = commands.add_parser("sync", help="bring MLflow to what the run folders say")
    again.add_argument("folders", nargs="*", type=Path, help="default: every run in results/runs")
    for command in (ui, again):
        command.add_argument("--results", type=Path, default=Path("results"))
    commands.add_parser("follow", help="used by trainers: mirror one folder while it grows")
    return parser


def _sync(folders: list[Path], results: Path) -> None:
    """Sync each study's folders with its experiment."""
    studies = defaultdict(list)
    for folder in folders or sorted(results.glob("runs/*/*/seed*")):
        studies[read_config(folder)["study"]].append(folder)
    for study, of_study in studies.items():
        counts = sync(of_study, init_store(study, results=results))
        print(f"{study}: {json.dumps(counts)}")


if __name__ == "__main__":
    main()
