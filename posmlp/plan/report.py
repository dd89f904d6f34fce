"""The plan in words, and estimate and truth side by side."""

import math
import shutil
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from posmlp.plan.calibration import Calibration, fitting
from posmlp.plan.estimate import Estimate, wall_seconds
from posmlp.study import Study


def plan_text(
    study: Study,
    results: Path,
    estimates: list[Estimate],
    at_once: int,
    where: str,
    limit_minutes: int | None,
    runs_per_gpu: int = 1,
) -> str:
    """Return the plan as it is printed.

    Args:
        at_once: runs that train side by side, at most.
        where: what limits that number.
        limit_minutes: of a job; None: there is none.
        runs_per_gpu: runs that share a GPU.
    """
    num_runs, num_left = sum(e.num_runs for e in estimates), sum(e.num_left for e in estimates)
    rows = [
        {
            "variant": e.variant,
            "runs": e.num_runs,
            "done": e.num_done,
            "a run": duration(e.seconds),
            "left": duration(e.seconds and e.seconds * e.num_left),
            "from": e.source,
        }
        for e in estimates
    ]
    known = [e for e in estimates if e.seconds is not None]
    device_hours = sum(e.seconds * e.num_left for e in known) * study.gpus / runs_per_gpu / 3600
    lines = [
        f"Plan of {study.name}: {num_runs} runs, {num_runs - num_left} done, {num_left} to do; "
        f"{study.gpus} GPU{'s' * (study.gpus > 1)} each",
        "",
        pd.DataFrame(rows).to_string(index=False),
        "",
    ]
    if known:
        wall = wall_seconds(known, at_once)
        lines += [
            f"To pay for:  {device_hours:.2f} GPU-hours (hours of processes on CPUs)",
            f"To wait for: {duration(wall)} with {at_once} runs at once ({where})",
            longest_text(known, limit_minutes),
        ]
    if known and runs_per_gpu > 1:
        lines += [
            f"Shared GPUs: {runs_per_gpu} runs on each. Where the times above are of runs that had "
            "a GPU to themselves, as in a calibration, this is the least to pay and to wait for"
        ]
    lines += [disk_text(results, estimates)]
    missing = [e.variant for e in estimates if e.seconds is None and e.num_left]
    if missing:
        lines += [
            f"Not measured and not counted: {', '.join(missing)}. "
            f"`make calibrate STUDY={study.name}` measures each for some seconds "
            "(on a cluster: snakemake calibrate --profile slurm)"
        ]
    return "\n".join(lines)


def duration(seconds: float | None) -> str:
    """A time in the unit that people would choose; a question mark where it is not known."""
    if seconds is None:
        return "?"
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def longest_text(known: list[Estimate], limit_minutes: int | None) -> str:
    """The longest run against what a job may take."""
    longest = max(known, key=lambda e: e.seconds)
    text = f"Longest run: {duration(longest.seconds)} ({longest.variant})"
    if limit_minutes is None:
        return text
    jobs = math.ceil(longest.seconds / (60 * limit_minutes))
    fits = "one job" if jobs == 1 else f"{jobs} jobs, one after the other"
    return f"{text}; a job may take {limit_minutes / 60:g} h: {fits}"


def disk_text(results: Path, estimates: list[Estimate]) -> str:
    """What the runs that are left fill, against what is free."""
    place = next(p for p in (results, *results.absolute().parents) if p.exists())
    free = shutil.disk_usage(place).free / 1e9
    sizes = [e.disk_mb * e.num_left for e in estimates if e.disk_mb is not None]
    needed = f"{sum(sizes) / 1000:.3f} GB" if sizes else "not measured"
    return f"Disk:        {needed} for checkpoints and weights, {free:,.0f} GB free in {results}"


def cost_text(study: Study, runs: pd.DataFrame, calibrations: Iterable[Calibration]) -> str:
    """Return estimate and truth of every variant in Markdown, for the report.

    Args:
        runs: the study's runs.csv.
    """
    rows, totals = [], [0.0, 0.0]
    for name, row in fitting(calibrations, study).items():
        truth = runs.loc[runs["variant"] == name, "wall_s"].dropna()
        if not len(truth):
            continue
        guess = row.run_seconds(study.configs[name])
        totals = [totals[0] + guess * len(truth), totals[1] + truth.sum()]
        rows.append(
            {
                "variant": name,
                "runs": len(truth),
                "estimated, a run (s)": f"{guess:,.0f}",
                "measured, a run (s)": f"{truth.mean():,.0f}",
                "measured / estimated": f"{truth.mean() / guess:.2f}",
                "estimated on": row.device,
            }
        )
    if not rows:
        return (
            f"No estimate was made before the runs: `make calibrate STUDY={study.name}` makes one."
        )
    return "\n\n".join(
        [
            f"{totals[0] / 3600:.2f} device-hours were estimated and {totals[1] / 3600:.2f} were "
            "measured for these variants, before the number of devices of a run is counted.",
            pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True),
        ]
    )
