"""Seconds that `posmlp sync` takes for many runs: new ones, the same again, and one that has grown.

    python benchmarks/tracking.py                            # 2,000 runs of 20 epochs
    python benchmarks/tracking.py --runs 200 --epochs 300    # few, long runs

The runs are copies of one invented folder, each with its own seed, in a SQLite store.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from posmlp.metrics import EPOCH_COLUMNS, RUN_COLUMNS
from posmlp.tracking.sync import sync_once

CONFIG = """\
study: invented
variant: sgu
seed: {seed}
data: {{name: digits, validation: 0.1}}
model: {{name: gmlp_posgu_xs1_8, gate: sgu}}
recipe: {{batch_size: 32, lr: 1e-2, weight_decay: 0.05}}
key: '{seed:016x}'
"""
END = "2026-11-22T10:01:00+00:00"
PICTURES = 6
PICTURE = bytes(60_000)


def write_run(results: Path, seed: int, epochs: int) -> None:
    """Write the files that MLflow shows of a run."""
    folder = results / f"runs/invented/sgu/seed{seed}"
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(CONFIG.format(seed=seed))
    rows = ([epoch, 1.8e9 + epoch, *[0.5] * (len(EPOCH_COLUMNS) - 2)] for epoch in range(epochs))
    text = "".join(",".join(map(str, row)) + "\n" for row in (EPOCH_COLUMNS, *rows))
    (folder / "history.csv").write_text(text)
    metrics = dict.fromkeys(RUN_COLUMNS, 1.0) | {"epochs": epochs, "key": f"{seed:016x}"}
    (folder / "metrics.json").write_text(json.dumps(metrics | {"finished_at": END}))
    (folder / "provenance.json").write_text(json.dumps({"started_at": END}))
    for number in range(PICTURES):
        (folder / f"figures/{number}.png").write_bytes(PICTURE)


def timed_sync(what: str, results: Path) -> None:
    began, used = time.perf_counter(), time.process_time()
    (report,) = sync_once(results)
    wall, cpu = time.perf_counter() - began, time.process_time() - used
    print(f"{what:16} {report.num_sent:5} sent  {wall:7.2f} s  {cpu:7.2f} s of CPU", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder)
        for seed in range(options.runs):
            write_run(results, seed, options.epochs)
        timed_sync("new runs", results)
        timed_sync("nothing changed", results)
        write_run(results, 0, options.epochs + 1)
        timed_sync("one run changed", results)


if __name__ == "__main__":
    main()
