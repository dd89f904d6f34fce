"""Collect, tabulate, check and draw a study of many runs, and measure seconds and memory.

    python benchmarks/scale.py                          # 10,000 runs: 100 variants, 100 seeds
    python benchmarks/scale.py --variants 200 --seeds 50

Synthetic run folders are first written to a temporary folder, which is not timed. Each step is a
process that does the work of a rule's script; after collect, two run at a time. The goal for 10,000
runs of 300 epochs on 2 cores is 30 s in total and 1 GB per process; on a busy machine, look at the
CPU seconds. Linux only.
"""

import argparse
import json
import re
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import Queue, get_context
from pathlib import Path

import numpy as np
import pandas as pd

from posmlp.metrics import EPOCH_COLUMNS, RUN_COLUMNS
from posmlp.study import Study, load_study

STUDY = """\
title: Many runs
question: How long do their tables and figures take?
data: {{name: digits}}
model: {{name: gmlp_posgu_xs1_8, gate: gqpe, groups: 4}}
recipe: {{epochs: {epochs}, warmup_epochs: 10, batch_size: 64, lr: 1e-3, weight_decay: 0.05}}
seeds: {seeds}
reference: v0
"""
END = "2026-01-01T00:05:00+00:00"
FIXED = {"macs": 990_000, "wall_s": 300.0, "num_train": 1_297, "num_test": 500, "torch": "2.15.0"}
FIXED |= {"data_digest": "0123456789abcdef", "code_version": "0123456789abcdef"}
FIXED |= {"started_at": END, "finished_at": END}
LIMIT_S, LIMIT_MB, NUM_CORES = 30, 1_000, 2
CONTEXT = get_context("spawn")


def make_study(folder: Path, num_variants: int, num_seeds: int, epochs: int) -> Study:
    """Write a study of variants that differ in gate, groups and learning rate."""
    text = STUDY.format(epochs=epochs, seeds=list(range(num_seeds)))
    (folder / "many.yaml").write_text(text)
    units = [("sgu", 1), *((gate, s) for gate in ("lrpe", "qpe", "gqpe") for s in (1, 4, 16))]
    rows = ["variant\tclaim\tmodel.gate\tmodel.groups\trecipe.lr"]
    for i in range(num_variants):
        gate, groups = units[i % len(units)]
        rows.append(f"v{i}\tA made-up variant\t{gate}\t{groups}\t{1e-3 * (1 + i / num_variants)}")
    (folder / "many.tsv").write_text("\n".join(rows) + "\n")
    return load_study(folder / "many.yaml")


def make_runs(study: Study, results: Path) -> None:
    """Write the folders of all runs, like those of finished trainings."""
    random = np.random.default_rng(0)
    for variant, config in study.configs.items():
        epochs_E = np.arange(config.recipe.epochs)
        layers, better = [100, 200, 300], random.normal(0, 0.5)
        for seed in study.seeds:
            run = study.run(variant, seed)
            folder = run.folder(results)
            folder.mkdir(parents=True)
            (folder / "config.yaml").write_text(run.to_yaml())
            noise_E = random.normal(0, 0.3, epochs_E.size)
            loss_E = 2.3 * np.exp(-epochs_E / 60) + 0.4 + noise_E / 100
            top1_E = np.minimum(95 + better - 60 * np.exp(-epochs_E / 30) + noise_E, 100)
            history = {"epoch": epochs_E, "time": 1.7638e9 + epochs_E, "lr": config.recipe.lr}
            history |= {"train_loss": loss_E, "test_loss": loss_E, "test_top1": top1_E}
            history |= {"test_top5": 100.0, "images_per_s": 5000 + noise_E, "epoch_s": 1 + noise_E}
            frame = pd.DataFrame(history).reindex(columns=EPOCH_COLUMNS)
            frame.to_csv(folder / "history.csv", index=False)
            last = frame.iloc[-1].dropna().to_dict()
            values = dict.fromkeys(RUN_COLUMNS) | last | FIXED
            values |= {"study": run.study, "variant": run.variant, "seed": run.seed, "key": run.key}
            values |= {"epochs": run.recipe.epochs, "params": 10_000 + sum(layers)}
            values |= {"token_mixing_params": sum(layers), "token_mixing_params_per_layer": layers}
            (folder / "metrics.json").write_text(json.dumps(values))


def collect(study: Study, results: Path, here: Path) -> None:
    from posmlp.analysis import granularity
    from posmlp.analysis.collect import find_runs, runs_frame, write_curves, write_frame

    finished = find_runs(study, results)
    write_frame(runs_frame(study, finished), here / "runs.csv")
    write_curves(finished, here / "curves.csv")
    write_frame(pd.DataFrame(columns=granularity.COLUMNS), here / "granularity.csv")  # no networks


def tables(study: Study, results: Path, here: Path) -> None:
    from posmlp.analysis.main_table import write_tables
    from posmlp.analysis.statistics import Evidence

    write_tables(Evidence.read(study, here), here / "tables")


def checks(study: Study, results: Path, here: Path) -> None:
    from posmlp.analysis.checks import CHECKED_CURVES, run_checks
    from posmlp.analysis.collect import read_curves
    from posmlp.analysis.statistics import Evidence

    curves = read_curves(here / "curves.csv", CHECKED_CURVES)
    (here / "checks.md").write_text(run_checks(Evidence.read(study, here), curves))


def figures(study: Study, results: Path, here: Path) -> None:
    from posmlp.analysis.figures.catalogue import draw_figures, figures_from, study_inputs
    from posmlp.analysis.statistics import Evidence

    inputs = study_inputs(Evidence.read(study, here), here)
    draw_figures(figures_from("study", study), inputs, here / "figures")


def work(step: Callable, folder: Path, queue: Queue) -> None:
    """Do one step like its script, from loading the study; report CPU seconds and peak MB."""
    study = load_study(folder / "many.yaml")
    here = folder / "results" / study.name
    here.mkdir(exist_ok=True)
    step(study, folder / "results", here)
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    queue.put((time.process_time(), int(peak[1]) / 1024))


def measure(step: Callable, folder: Path) -> tuple[float, float]:
    """Do one step in its own process and print its time and memory."""
    queue, started = CONTEXT.Queue(), time.perf_counter()
    process = CONTEXT.Process(target=work, args=(step, folder, queue))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"{step.__name__} failed")
    cpu_s, megabytes = queue.get()
    print(line(step.__name__, time.perf_counter() - started, cpu_s, megabytes), flush=True)
    return cpu_s, megabytes


def line(name: str, seconds: float, cpu_s: float, megabytes: float) -> str:
    return f"{name:<20}{seconds:>8.1f} s{cpu_s:>8.1f} s of CPU{megabytes:>8,.0f} MB"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variants", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=300)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(NUM_CORES) as pool:
        folder = Path(name)
        study = make_study(folder, arguments.variants, arguments.seeds, arguments.epochs)
        make_runs(study, folder / "results")
        print(f"{len(study.runs()):,} runs of {arguments.epochs} epochs")
        started = time.perf_counter()
        taken = [measure(collect, folder)]
        taken += pool.map(lambda step: measure(step, folder), (figures, checks, tables))
        seconds = time.perf_counter() - started
    cpu_s, peak_mb = sum(cpu for cpu, _ in taken), max(megabytes for _, megabytes in taken)
    print(line("together", seconds, cpu_s, peak_mb))
    return int(seconds > LIMIT_S or peak_mb > LIMIT_MB)


if __name__ == "__main__":
    sys.exit(main())
