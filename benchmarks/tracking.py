"""Time `posmlp sync` with many runs: all new, none changed, and one changed.

    python benchmarks/tracking.py                            # 2,000 runs of 20 epochs
    python benchmarks/tracking.py --seeds 2 --epochs 300     # few, long runs

The runs are synthetic, with six images each, and are sent to a SQLite store.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from scale import END, make_runs, make_study

from posmlp.tracking.sync import sync_once

PICTURES, PICTURE = 6, bytes(60_000)


def timed_sync(what: str, results: Path) -> None:
    began, used = time.perf_counter(), time.process_time()
    (report,) = sync_once(results)
    wall, cpu = time.perf_counter() - began, time.process_time() - used
    print(f"{what:16} {report.num_sent:5} sent  {wall:7.2f} s  {cpu:7.2f} s of CPU", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=20, help="seeds of each of 100 variants")
    parser.add_argument("--epochs", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        results = Path(name)
        study = make_study(results, 100, arguments.seeds, arguments.epochs)
        make_runs(study, results)
        for run in study.runs():
            folder = run.folder(results)
            (folder / "provenance.json").write_text(json.dumps({"started_at": END}))
            (folder / "figures").mkdir()
            for number in range(PICTURES):
                (folder / f"figures/{number}.png").write_bytes(PICTURE)
        timed_sync("new runs", results)
        timed_sync("nothing changed", results)
        history = study.runs()[0].folder(results) / "history.csv"
        history.write_text(history.read_text() + history.read_text().splitlines()[-1] + "\n")
        timed_sync("one run changed", results)


if __name__ == "__main__":
    main()
