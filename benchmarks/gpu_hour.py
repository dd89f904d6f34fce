"""Make the most of a GPU that is yours for a quarter of an hour: doctor, benchmark, study.

    python benchmarks/gpu_hour.py --rehearse                      # the same on CPUs, cut to minutes
    python benchmarks/gpu_hour.py --data-root data --minutes 14

1. `posmlp doctor`.
2. benchmarks/speed.py for at most three minutes, into OUT/bench/<gpu>.json.
3. The study, with as many epochs as fit. The first runs train for two epochs, at the same time, to
   measure an epoch; the study with the number of epochs that fits is written to OUT/study/. All
   runs are trained with it, seed by seed, so that an incomplete study is usable, and stopped when
   time is up. Run folders without checkpoints are packed into OUT/runs-<k>.tar.gz.

Needs neither Snakemake, MLflow nor a network. Missing packages can be taken along as wheels for the
Python of that machine:

    pip download -d wheels --only-binary=:all: --python-version 3.12 pydantic ruamel.yaml psutil \\
      safetensors nvidia-ml-py
    pip download -d wheels --no-deps timm
    pip install --no-index --find-links wheels --no-deps wheels/*.whl      # there

Afterwards, at the same commit: copy OUT/bench/*.json to results/bench/ and OUT/study/* to
config/studies/, unpack the archives in results/runs/, and run `make reproduce STUDY=tiny_imagenet`
and `make docs`. If some runs are missing, first reduce `seeds` in the study file to those that all
variants have finished; otherwise the missing runs are trained locally.
"""

import argparse
import csv
import math
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from posmlp.study import Study, load_study

ROOT = Path(__file__).parents[1]
DOCTOR_S, BENCH_S, CALIBRATION_S, PACKING_S = 150, 240, 120, 20  # at most
GRACE_S = 30  # for checkpoints, after the signal to stop
TIMED_OUT = 124  # exit status of `timeout`
CALIBRATION_EPOCHS = 2  # the first includes warm-up
SAFETY = 0.9  # fraction of the time to plan for
PART_MB = 14


def run(command: Sequence[str], seconds: float) -> None:
    """Run a Python command; ask it to stop when time is up."""
    print(f"\n$ python {' '.join(command)}", flush=True)
    limit = ["timeout", "--foreground", f"--kill-after={GRACE_S}", str(max(1, round(seconds)))]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([*limit, sys.executable, *command], cwd=ROOT, env=environment)
    if done.returncode == TIMED_OUT:
        print(f"stopped after {seconds:.0f} s", flush=True)


def with_epochs(files: Iterable[Path], epochs: int, folder: Path) -> Path:
    """Copy a study file, its bases and its sheet, with other epochs; return the new study file."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        text = file.read_text("utf-8")
        if file.suffix == ".yaml":
            text = re.sub(r"(?m)^(\s+epochs:) \d+", rf"\1 {epochs}", text)
            text = re.sub(
                r"(?m)^(\s+warmup_epochs:) (\d+)",
                lambda found: f"{found[1]} {min(int(found[2]), epochs - 1)}",
                text,
            )
        (folder / file.name).write_text(text, "utf-8")
    return folder / next(iter(files)).name


def train(study: Path, runs: Sequence[str], results: Path, arguments, seconds: float) -> None:
    """Train runs for at most `seconds`."""
    command = ["-m", "posmlp", "train", str(study), *runs, "--checkpoint-minutes=60"]
    command += [f"--runs-at-once={arguments.runs_at_once}", f"--data-root={arguments.data_root}"]
    run([*command, f"--results={results}"], seconds)


def epochs_that_fit(
    seconds: float, num_runs: int, at_once: int, start_s: float, epoch_s: float
) -> int:
    """Epochs per run, if `at_once` runs train at a time."""
    round_s = SAFETY * seconds / math.ceil(num_runs / at_once)
    return max(CALIBRATION_EPOCHS, int((round_s - start_s) / epoch_s))


def calibrated(study: Study, runs: Sequence[str], arguments, ends: float) -> Path:
    """Train the first runs for two epochs; return the study with the number of epochs that fits."""
    results = arguments.out / "calibration"
    first = runs[: arguments.runs_at_once]
    short = with_epochs(study.files, CALIBRATION_EPOCHS, results / "study")
    began = time.monotonic()
    train(short, first, results, arguments, CALIBRATION_S)
    took = time.monotonic() - began
    histories = list(results.glob("runs/*/*/*/history.csv"))
    if len(histories) < len(first):
        sys.exit(
            f"error: {len(histories)} of {len(first)} runs finished in {CALIBRATION_S} s; see above"
        )
    times = [[float(r["epoch_s"]) for r in csv.DictReader(h.open(newline=""))] for h in histories]
    epoch_s, start_s = max(column[-1] for column in times), took - max(map(sum, times))
    left = ends - time.monotonic()
    epochs = epochs_that_fit(left, len(runs), arguments.runs_at_once, start_s, epoch_s)
    print(f"start {start_s:.1f} s, epoch {epoch_s:.2f} s with {len(first)} runs: {epochs} epochs")
    shutil.rmtree(results)
    return with_epochs(study.files, epochs, arguments.out / "study")


def train_study(arguments: argparse.Namespace, ends: float) -> None:
    """Calibrate, train what fits, and pack the run folders."""
    study = load_study(arguments.study)
    few = slice(2 if arguments.rehearse else None)
    runs = [f"{v}/seed{seed}" for seed in study.seeds[few] for v in list(study.configs)[few]]
    results = arguments.out / "work"
    try:
        chosen = calibrated(study, runs, arguments, ends - PACKING_S - GRACE_S)
        left = ends - PACKING_S - GRACE_S - time.monotonic()
        train(chosen, runs, results, arguments, left)
    finally:
        folders = [results / "runs" / study.name / name for name in runs]
        done = [folder for folder in folders if (folder / "metrics.json").exists()]
        parts = pack(done, results / "runs", arguments.out, PART_MB * 1_000_000)
        print(f"{len(done)} of {len(runs)} runs finished: {', '.join(map(str, parts))}", flush=True)
        shutil.rmtree(results, ignore_errors=True)


def pack(folders: Iterable[Path], root: Path, out: Path, most_bytes: int) -> list[Path]:
    """Archive run folders without checkpoints, in parts of whole folders below `most_bytes`."""
    groups, size = [], math.inf
    for folder in folders:
        files = [f for f in sorted(folder.glob("[!.]*")) if not f.match("checkpoint-*")]
        num_bytes = sum(file.stat().st_size for file in files)
        if size + num_bytes > most_bytes:
            groups.append([])
            size = 0
        groups[-1] += files
        size += num_bytes
    parts = []
    for number, files in enumerate(groups, 1):
        parts.append(out / f"runs-{number}.tar.gz")
        with tarfile.open(parts[-1], "w:gz") as archive:
            for file in files:
                archive.add(file, file.relative_to(root))
    return parts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--study", default="tiny_imagenet", help="name or path (tiny_imagenet)")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path, default=Path("results/gpu_hour"), help="new files")
    parser.add_argument("--minutes", type=float, default=14, help="time for everything (14)")
    parser.add_argument("--runs-at-once", type=int, default=6, help="runs that share the GPU (6)")
    parser.add_argument("--rehearse", action="store_true", help="on CPUs: digits, small sizes")
    arguments = parser.parse_args()
    if arguments.rehearse:
        arguments.study, arguments.runs_at_once = "digits", 2
    arguments.out, ends = arguments.out.absolute(), time.monotonic() + 60 * arguments.minutes
    arguments.out.mkdir(parents=True, exist_ok=True)
    run(["-m", "posmlp", "doctor"], DOCTOR_S)
    how = ["--rehearse"] if arguments.rehearse else ["--minutes=3"]
    run(["benchmarks/speed.py", *how, f"--results={arguments.out}"], BENCH_S)
    train_study(arguments, ends)


if __name__ == "__main__":
    main()
