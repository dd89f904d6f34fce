"""Remaining runs of a study, how many train at once, and how long they will take."""

import csv
import heapq
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from posmlp.config import SITE_FILE, Settings
from posmlp.runs.pack import parts
from posmlp.runs.reading import finished_metrics
from posmlp.runs.run_folder import write_atomically
from posmlp.slurm.commands import SlurmError, installed, jobs_of_partition, partition_minutes
from posmlp.study import RunConfig, Study
from posmlp.study.yaml_files import read_mapping
from posmlp.workflow.allocation import allocate

PROFILE = SITE_FILE.with_name("config.v9+.yaml")  # of Snakemake; `jobs` limits the queue


class Capacity(NamedTuple):
    """How many jobs and runs train at once, and what limits them."""

    jobs: int  # at once
    at_once: int  # runs of a job at once
    limit: str  # for the plan
    num_jobs: int = 1  # in total
    runs_per_gpu: float = 1
    job_minutes: int | None = None  # time limit of a job; None: unlimited


def capacity_of(settings: Settings, study: Study) -> Capacity:
    """Capacity of this machine or, if the settings describe a cluster, of Slurm.

    Raises:
        ValueError: Slurm is missing or reports an error, or the settings conflict.
    """
    site, cores = settings.slurm, len(os.sched_getaffinity(0))
    if site and not installed():
        raise SlurmError(
            "Slurm is not installed here (sinfo is not on PATH); run the command on a login node, "
            "or omit --cluster"
        )
    job = allocate(settings, study, cores, submits=False)
    shared = max(1, job.at_once * study.gpus / job.num_gpus) if job.num_gpus else 1
    if not site:
        limit = f"{job.num_gpus} GPUs; " if job.num_gpus else ""
        limit += f"{cores} cores of this machine"
        return Capacity(1, job.at_once, limit, job.num_jobs, shared)
    max_jobs = read_mapping(PROFILE).get("jobs", 50)
    jobs, limit = jobs_of_partition(site.partition, study.gpus, job.num_gpus > 0, max_jobs)
    minutes = partition_minutes(site.partition)
    return Capacity(jobs, job.at_once, limit, job.num_jobs, shared, minutes)


class Calibration(BaseModel):
    """Cost of a run of a variant on one kind of machine; a row of calibration.csv."""

    model_config = ConfigDict(extra="forbid")

    variant: str
    settings: str  # RunConfig.speed_key
    device: str  # name of the GPU or CPU
    processes: int
    threads: int
    start_s: float  # from the start of the process to the first step
    run_s: float  # training and testing in all epochs, like `wall_s` of a run
    disk_mb: float  # two checkpoints and the weights


def read_calibrations(path: Path) -> list[Calibration]:
    """Read calibration.csv, the latest row last; empty without a file.

    Raises:
        ValueError: the file is damaged.
    """
    if not path.exists():
        return []
    try:
        lines = path.read_text("utf-8").splitlines()
        return [Calibration(**row) for row in csv.DictReader(lines)]
    except (TypeError, ValueError):
        raise ValueError(f"{path}: damaged; delete it and calibrate again") from None


def write_calibrations(path: Path, new: list[Calibration]) -> None:
    """Add rows to calibration.csv, replacing earlier ones from the same kind of machine."""
    import pandas as pd  # half a second

    table = pd.DataFrame(row.model_dump() for row in [*read_calibrations(path), *new])
    table = table.drop_duplicates(["variant", "device", "processes", "threads"], keep="last")
    write_atomically(path, lambda file: table.to_csv(file, index=False))


@dataclass(frozen=True)
class Estimate:
    """Runs of a variant, the seeds left to train, and the cost of one run."""

    variant: str
    num_runs: int
    seeds_left: tuple[int, ...]
    seconds: float | None  # per run; None: not measured
    source: str  # of `seconds`
    disk_mb: float | None  # per run

    @property
    def num_left(self) -> int:
        return len(self.seeds_left)

    @property
    def seconds_left(self) -> float | None:
        return None if self.seconds is None else self.seconds * self.num_left


def estimate(study: Study, results: Path, calibrations: Iterable[Calibration]) -> list[Estimate]:
    """Estimate every variant, in the order of the sheet.

    Uses the variant's finished runs or, without any, its latest calibration.
    """
    measured, estimates = {row.settings: row for row in calibrations}, []
    for variant, config in study.configs.items():
        calibration = measured.get(config.speed_key)
        found = {seed: _wall_s(study.run(variant, seed), results) for seed in study.seeds}
        left = tuple(seed for seed, wall_s in found.items() if not wall_s)
        seconds, source = _seconds([wall_s for wall_s in found.values() if wall_s], calibration)
        disk = calibration.disk_mb if calibration else None
        estimates.append(Estimate(variant, len(found), left, seconds, source, disk))
    return estimates


def _seconds(wall_s: list[float], calibration: Calibration | None) -> tuple[float | None, str]:
    """Time of a run from finished runs or a calibration, and its source."""
    start_s = calibration.start_s if calibration else 0
    if wall_s:
        return start_s + fmean(wall_s), f"{len(wall_s)} finished run{'s' * (len(wall_s) > 1)}"
    if calibration:
        several = f", {calibration.processes} processes" if calibration.processes > 1 else ""
        return start_s + calibration.run_s, f"calibration on {calibration.device}{several}"
    return None, "not measured"


def _wall_s(run: RunConfig, results: Path) -> float | None:
    """Wall time of a finished run; None if it is not finished."""
    return finished_metrics(run.folder(results), run.key).get("wall_s")


def wall_seconds(study: Study, estimates: Iterable[Estimate], capacity: Capacity) -> float:
    """Time for the remaining runs: longest jobs first, runs of a job in order."""
    left = {(e.variant, seed): e.seconds for e in estimates for seed in e.seeds_left if e.seconds}
    jobs = []
    for runs in parts(study.runs(), capacity.num_jobs):
        times = [left[name] for run in runs if (name := (run.variant, run.seed)) in left]
        jobs.append(_side_by_side(times, capacity.at_once))
    return _side_by_side(sorted(jobs, reverse=True), capacity.jobs)


def _side_by_side(times: list[float], at_once: int) -> float:
    """When the last one ends, if each starts as soon as there is room."""
    ends = [0.0] * max(1, min(at_once, len(times)))
    for seconds in times:
        heapq.heapreplace(ends, ends[0] + seconds)
    return max(ends)
