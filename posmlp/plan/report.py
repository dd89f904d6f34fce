"""The plan of a study in words, and afterwards estimated and measured times side by side."""

import math
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from tabulate import tabulate

from posmlp.plan.calibration import Calibration, fitting, read_calibrations
from posmlp.plan.estimate import Capacity, Estimate, estimate, wall_seconds
from posmlp.study import Study

if TYPE_CHECKING:
    import pandas as pd


def plan_text(study: Study, results: Path, capacity: Capacity, like: str | None = None) -> str:
    """Print runs, times, GPU-hours and disk of what is left to do, and verdicts in reach.

    Args:
        like: see posmlp.analysis.power.power_text.
    """
    calibrations = read_calibrations(results / study.name / "calibration.csv")
    estimates = estimate(study, results, calibrations)
    num_runs, num_left = sum(e.num_runs for e in estimates), sum(e.num_left for e in estimates)
    rows = []
    for e in estimates:
        times = duration(e.seconds), duration(e.seconds_left)
        rows.append((e.variant, e.num_runs, e.num_runs - e.num_left, *times, e.source))
    lines = [
        f"Plan of {study.name}: {num_runs} runs in {capacity.num_jobs} "
        f"job{'s' * (capacity.num_jobs > 1)}, {num_runs - num_left} done, {num_left} to do; "
        f"{study.gpus} GPU{'s' * (study.gpus > 1)} each",
        "",
        tabulate(
            rows,
            ("variant", "runs", "done", "a run", "left", "from"),
            tablefmt="plain",
            colalign=("left", "right", "right", "right", "right", "left"),
            disable_numparse=True,
        ),
        "",
        *_time_lines(study, [e for e in estimates if e.seconds is not None], capacity),
        _disk_line(results, estimates),
    ]
    missing = [e.variant for e in estimates if e.seconds is None and e.num_left]
    if missing:
        lines.append(
            f"Not measured and not counted: {', '.join(missing)}. "
            f"`posmlp calibrate {study.command_name}` measures each for some seconds (on a "
            f"cluster: snakemake calibrate --profile slurm --config study={study.command_name})"
        )
    if not study.questions:
        return "\n".join([*lines, "", "Verdicts:    none, the study asks no question"])
    from posmlp.analysis.power import power_text  # statistics take a second to import

    return "\n".join([*lines, "", power_text(study, results, like)])


def _time_lines(study: Study, known: list[Estimate], capacity: Capacity) -> list[str]:
    if not known:
        return []
    shared = capacity.runs_per_gpu
    hours = sum(e.seconds_left for e in known) * study.gpus / shared / 3600
    longest = max(known, key=lambda e: e.seconds)
    lines = [
        f"To pay for:  {hours:.2f} GPU-hours (hours of processes on CPUs)",
        f"To wait for: {duration(wall_seconds(study, known, capacity))} with "
        f"{capacity.jobs * capacity.at_once} runs at once ({capacity.limit})",
        f"Longest run: {duration(longest.seconds)} ({longest.variant})",
    ]
    if capacity.job_minutes is not None:
        jobs = math.ceil(longest.seconds / (60 * capacity.job_minutes))
        fits = "one job" if jobs == 1 else f"{jobs} jobs, one after the other"
        lines[-1] += f"; the limit of a job is {capacity.job_minutes / 60:g} h: {fits}"
    if shared > 1:
        lines.append(
            f"Shared GPUs: {shared:g} runs on each. Times measured on a GPU that one run had to "
            "itself, as in a calibration, are lower bounds"
        )
    return lines


def duration(seconds: float | None) -> str:
    """Format a time in a unit that suits it; a question mark where it is not known."""
    if seconds is None:
        return "?"
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def _disk_line(results: Path, estimates: list[Estimate]) -> str:
    existing = next(p for p in (results, *results.absolute().parents) if p.exists())
    free = shutil.disk_usage(existing).free / 1e9
    sizes = [e.disk_mb * e.num_left for e in estimates if e.disk_mb is not None]
    needed = f"{sum(sizes) / 1000:.3f} GB" if sizes else "not measured"
    return f"Disk:        {needed} for checkpoints and weights, {free:,.0f} GB free in {results}"


def cost_text(study: Study, runs: "pd.DataFrame", calibrations: Iterable[Calibration]) -> str:
    """Compare estimated with measured times of every variant, in Markdown for the report.

    Args:
        runs: the study's runs.csv.
    """
    rows = []
    for name, row in fitting(calibrations, study).items():
        times = runs.loc[runs["variant"] == name, "wall_s"].dropna()
        if len(times):
            estimated_s, measured_s = row.run_seconds(study.configs[name]), times.mean()
            ratio = f"{measured_s / estimated_s:.2f}"
            seconds = f"{estimated_s:,.0f}", f"{measured_s:,.0f}"
            rows.append((name, len(times), *seconds, ratio, row.device))
    if not rows:
        return (
            "No estimate was made before the runs: "
            f"`posmlp calibrate {study.command_name}` makes one."
        )
    headers = ("variant", "runs", "estimated, a run (s)", "measured, a run (s)")
    headers += ("measured / estimated", "estimated on")
    return tabulate(rows, headers, tablefmt="pipe", disable_numparse=True)
