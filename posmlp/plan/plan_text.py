"""The plan of a study in words."""

import math
import shutil
from pathlib import Path

from tabulate import tabulate

from posmlp.plan.estimate import (
    Capacity,
    Estimate,
    estimate,
    read_calibrations,
    wall_seconds,
)
from posmlp.study import Study


def plan_text(study: Study, results: Path, capacity: Capacity, like: str | None = None) -> str:
    """Print runs, times, GPU-hours and disk of what is left to do, and verdicts in reach.

    Args:
        like: see posmlp.analysis.power.power_text.
    """
    calibrations = read_calibrations(results / study.name / "calibration.csv")
    estimates = estimate(study, results, calibrations)
    num_runs, num_left = sum(e.num_runs for e in estimates), sum(e.num_left for e in estimates)
    lines = [
        f"Plan of {study.name}: {num_runs} runs in {capacity.num_jobs} "
        f"job{'s' * (capacity.num_jobs > 1)}, {num_runs - num_left} done, {num_left} to do; "
        f"{study.gpus} GPU{'s' * (study.gpus > 1)} each",
        "",
        _table(estimates),
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


def _table(estimates: list[Estimate]) -> str:
    rows = []
    for e in estimates:
        times = duration(e.seconds), duration(e.seconds_left)
        rows.append((e.variant, e.num_runs, e.num_runs - e.num_left, *times, e.source))
    headers = "variant", "runs", "done", "a run", "left", "from"
    aligns = "left", *["right"] * 4, "left"
    return tabulate(rows, headers, "plain", colalign=aligns, disable_numparse=True)


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
