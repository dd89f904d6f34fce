"""Print the plan of a study."""

import math
import shutil
from pathlib import Path

from tabulate import tabulate

from posmlp.plan.estimate import Capacity, Estimate, estimate, read_calibrations, wall_seconds
from posmlp.study import Study


def plan_text(study: Study, results: Path, capacity: Capacity, like: str | None = None) -> str:
    """Remaining runs, time, GPU-hours and disk space, and the verdicts within reach.

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
            f"Not measured, so not included: {', '.join(missing)}. Measure them in some seconds "
            f"each with `posmlp calibrate {study.command_name}` (on a cluster: `snakemake "
            f"calibrate --profile slurm --config study={study.command_name}`)"
        )
    if not study.questions:
        return "\n".join([*lines, "", "Verdicts:    none, the study has no questions"])
    from posmlp.analysis.power import power_text  # statistics take a second to import

    return "\n".join([*lines, "", power_text(study, results, like)])


def _table(estimates: list[Estimate]) -> str:
    rows = []
    for e in estimates:
        times = duration(e.seconds), duration(e.seconds_left)
        rows.append((e.variant, e.num_runs, e.num_runs - e.num_left, *times, e.source))
    headers = "variant", "runs", "done", "per run", "left", "source"
    aligns = "left", *["right"] * 4, "left"
    return tabulate(rows, headers, "plain", colalign=aligns, disable_numparse=True)


def _time_lines(study: Study, known: list[Estimate], capacity: Capacity) -> list[str]:
    if not known:
        return []
    shared = capacity.runs_per_gpu
    hours = sum(e.seconds_left for e in known) * study.gpus / shared / 3600
    longest = max(known, key=lambda e: e.seconds)
    lines = [
        f"Cost:        {hours:.2f} GPU-hours (process-hours on CPUs)",
        f"Wall time:   {duration(wall_seconds(study, known, capacity))} with "
        f"{capacity.jobs * capacity.at_once} runs at once ({capacity.limit})",
        f"Longest run: {duration(longest.seconds)} ({longest.variant})",
    ]
    if capacity.job_minutes is not None:
        jobs = math.ceil(longest.seconds / (60 * capacity.job_minutes))
        fits = "one job" if jobs == 1 else f"{jobs} jobs in sequence"
        lines[-1] += f"; job time limit {capacity.job_minutes / 60:g} h: {fits}"
    if shared > 1:
        lines.append(
            f"Shared GPUs: {shared:g} runs each. Times measured with one run per GPU, as by "
            "`posmlp calibrate`, are lower bounds"
        )
    return lines


def duration(seconds: float | None) -> str:
    """Format a time in a suitable unit, or a question mark if it is unknown."""
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
    needed = f"{sum(sizes) / 1000:.3f} GB for checkpoints and weights" if sizes else "not measured"
    return f"Disk:        {needed}, {free:,.0f} GB free in {results}"
