"""Time a whole study from nothing to its last file, beside what its training steps alone take.

    python benchmarks/study.py                  # digits, in a temporary folder; some minutes
    python benchmarks/study.py --study fashion --repetitions 3

The time on the clock is divided by the seconds of all training steps (images over images per
second, of every epoch in history.csv) over the cores; the goal for the default study is at most
1.25. The dry run of 2,000 runs is compared as in dry_run.py. Writes
results/bench/study/<hardware>.json, from which `posmlp docs` makes a table of
docs/performance.md. Other work on the machine counts: run it on a quiet one.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from dry_run import GOAL as DRY_RUN_GOAL
from dry_run import SNAKEMAKE, compare_dry_runs, make_checkout
from measure import quartiles, rounded, write

from posmlp.code_version import cpu_name

GOAL = 1.25
VARIANTS, SEEDS = 100, 20  # of the dry run


def training_seconds(run: Path) -> float:
    """Return what the training steps of a finished run took, testing and the rest apart."""
    num_train = json.loads((run / "metrics.json").read_text())["num_train"]
    with (run / "history.csv").open(newline="") as file:
        return sum(num_train / float(row["images_per_s"]) for row in csv.DictReader(file))


def time_study(study: str, cores: int, data_root: Path) -> tuple[float, float, float]:
    """Run a study; return its time, that until its last run ended, and of training over cores."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "study"
        make_checkout(folder)
        command = [*SNAKEMAKE, "--cores", str(cores), "--config", f"study={study}"]
        started, on_the_clock = time.perf_counter(), time.time()
        subprocess.run(
            [*command, f"data_root={data_root.absolute()}"],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(folder), "MPLBACKEND": "agg"},
            stdout=sys.stderr,
            check=True,
        )
        seconds = time.perf_counter() - started
        runs = [path.parent for path in folder.glob(f"results/runs/{study}/*/seed*/metrics.json")]
        trained = max((run / "metrics.json").stat().st_mtime for run in runs) - on_the_clock
        return seconds, trained, sum(map(training_seconds, runs)) / cores


def rows(arguments: argparse.Namespace, cores: int) -> Iterator[dict]:
    """Measure row by row."""
    times = [
        time_study(arguments.study, cores, arguments.data_root)
        for _ in range(arguments.repetitions)
    ]
    training_s = statistics.median(training for _, _, training in times)
    for place, (end, goal) in enumerate(
        (("to its last file", GOAL), ("to the end of its last run", None))
    ):
        yield row(
            f"study {arguments.study}, from nothing {end}, against its training steps",
            [taken[place] / taken[2] for taken in times],
            goal,
            ours_s=statistics.median(taken[place] for taken in times),
            other_s=training_s,
        )
    found = compare_dry_runs(VARIANTS, SEEDS, 5 * arguments.repetitions)
    yield row(
        f"dry run of {VARIANTS * SEEDS:,} runs, against as many trivial jobs",
        [found.low, found.ratio, found.high],
        DRY_RUN_GOAL,
        ours_s=found.other_s,
        other_s=found.ours_s,
    )


def row(name: str, ratios: list[float], target: float | None, **seconds: float) -> dict:
    """Return a row as it is stored; here a ratio says how many times longer ours takes."""
    low, ratio, high = quartiles(ratios) if len(ratios) > 1 else ratios * 3
    met = None if target is None else ratio <= target
    values = dict(name=name, device="CPU", dtype="float32", ratio=ratio, target=target, met=met)
    values |= dict(low=low, high=high, **seconds)
    return rounded(values)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--study", default="digits")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--repetitions", type=int, default=1)
    parser.add_argument("--results", type=Path, default=Path("results"))
    arguments = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    hardware = f"{cpu_name()}, {cores} cores"
    measured = []
    for values in rows(arguments, cores):
        print(f"{values['name']}: {values['ratio']:.2f}, goal {values['target']}", flush=True)
        measured.append(values)
    write({"hardware": hardware, "rows": measured}, arguments.results / "bench/study")
    return 0


if __name__ == "__main__":
    sys.exit(main())
