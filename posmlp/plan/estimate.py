"""What is left to do of a study, how many runs train at once, and how long all will take.

calibration.csv keeps what `posmlp calibrate` has measured.
"""

import csv
import heapq
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from posmlp.config import SITE_FILE, Settings
from posmlp.runs.pack import parts
from posmlp.runs.reading import read_json
from posmlp.runs.run_folder import write_atomically
from posmlp.slurm.commands import SlurmError, installed, jobs_of_partition, partition_minutes
from posmlp.study import Study
from posmlp.study.yaml_files import read_mapping
from posmlp.workflow.allocation import allocate

PROFILE = SITE_FILE.with_name("config.v9+.yaml")  # of Snakemake; its `jobs` limits the queue


class Capacity(NamedTuple):
    """How many jobs and runs train side by side, and what limits them, in words."""

    jobs: int  # side by side
    at_once: int  # runs of a job, side by side
    limit: str
    num_jobs: int = 1  # that the study is divided into
    runs_per_gpu: float = 1
    job_minutes: int | None = None  # time limit of a job; None: there is none


def capacity_of(settings: Settings, study: Study) -> Capacity:
    """Ask this machine or, where the settings have a site, Slurm.

    Raises:
        ValueError: Slurm is not installed or refuses, or settings do not fit.
    """
    site, cores = settings.slurm, len(os.sched_getaffinity(0))
    if site and not installed():
        raise SlurmError(
            "Slurm is not installed here (sinfo is not on PATH); run the command on a machine "
            "that submits jobs, or leave out --cluster"
        )
    job = allocate(settings, study, cores, submits=False)
    shared = max(1, job.at_once * study.gpus / job.num_gpus) if job.num_gpus else 1
    if not site:
        limit = f"{job.num_gpus} GPUs; " if job.num_gpus else ""
        limit += f"{cores} cores of this machine"
        return Capacity(1, job.at_once, limit, job.num_jobs, shared)
    most_jobs = read_mapping(PROFILE).get("jobs", 50)
    jobs, limit = jobs_of_partition(site.partition, study.gpus, job.num_gpus > 0, most_jobs)
    minutes = partition_minutes(site.partition)
    return Capacity(jobs, job.at_once, limit, job.num_jobs, shared, minutes)


class Calibration(BaseModel):
    """What a run of a variant takes on one kind of machine; a row of calibration.csv."""

    model_config = ConfigDict(extra="forbid")

    variant: str
    settings: str  # RunConfig.speed_key of what was measured
    device: str  # name of the GPU or CPU
    processes: int
    threads: int
    start_s: float  # from the start of the process to the first step
    run_s: float  # training and testing of all epochs, as `wall_s` of a run
    disk_mb: float  # two checkpoints and the weights


def fitting(calibrations: Iterable[Calibration], study: Study) -> dict[str, Calibration]:
    """The latest calibration of each variant, by name; those of other settings are left out."""
    latest = {row.variant: row for row in calibrations}
    return {
        name: latest[name]
        for name, config in study.configs.items()
        if name in latest and latest[name].settings == config.speed_key
    }


def read_calibrations(path: Path) -> list[Calibration]:
    """Read calibration.csv, the latest row last; empty where there is no file.

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
    """Add measurements to calibration.csv, in place of earlier ones on the same kind of machine."""
    import pandas as pd  # half a second

    table = pd.DataFrame(row.model_dump() for row in [*read_calibrations(path), *new])
    table = table.drop_duplicates(["variant", "device", "processes", "threads"], keep="last")
    write_atomically(path, lambda file: table.to_csv(file, index=False))


@dataclass(frozen=True)
class Estimate:
    """A variant's runs, which are left, and what one of them takes."""

    variant: str
    num_runs: int
    seeds_left: tuple[int, ...]
    seconds: float | None  # of one run; None: never measured
    source: str
    disk_mb: float | None  # of one run

    @property
    def num_left(self) -> int:
        return len(self.seeds_left)

    @property
    def seconds_left(self) -> float | None:
        return None if self.seconds is None else self.seconds * self.num_left


def estimate(study: Study, results: Path, calibrations: Iterable[Calibration]) -> list[Estimate]:
    """Estimate every variant, in the order of the sheet.

    From the variant's finished runs, or from its latest calibration where none has finished.
    """
    measured, estimates = fitting(calibrations, study), []
    for variant in study.configs:
        calibration = measured.get(variant)
        runs = {seed: study.run(variant, seed) for seed in study.seeds}
        found = {seed: _measured_s(run.folder(results), run.key) for seed, run in runs.items()}
        times = [wall_s for wall_s in found.values() if wall_s]
        left = tuple(seed for seed, wall_s in found.items() if not wall_s)
        seconds, source = None, "not measured"
        if times:
            seconds = fmean(times)
            source = f"{len(times)} finished run{'s' * (len(times) > 1)}"
        elif calibration:
            seconds = calibration.run_s
            source = f"calibration on {calibration.device}"
            if calibration.processes > 1:
                source += f", {calibration.processes} processes"
        if calibration:
            seconds += calibration.start_s
        disk = calibration.disk_mb if calibration else None
        estimates.append(Estimate(variant, len(runs), left, seconds, source, disk))
    return estimates


def _measured_s(folder: Path, key: str) -> float | None:
    """Time of the finished run with this key; None where there is none, or it is damaged."""
    with suppress(ValueError):
        metrics = read_json(folder / "metrics.json")
        return metrics.get("wall_s") if metrics.get("key") == key else None


def wall_seconds(study: Study, estimates: Iterable[Estimate], capacity: Capacity) -> float:
    """Time for the runs that are left: the longest jobs first, a job's runs in its order."""
    left = {(e.variant, seed): e.seconds for e in estimates for seed in e.seeds_left if e.seconds}
    jobs = []
    for runs in parts(study.runs(), capacity.num_jobs):
        times = [left[name] for run in runs if (name := (run.variant, run.seed)) in left]
        jobs.append(_side_by_side(times, capacity.at_once))
    return _side_by_side(sorted(jobs, reverse=True), capacity.jobs)


def _side_by_side(times: list[float], at_once: int) -> float:
    """When the last ends, if each starts as soon as there is room."""
    ends = [0.0] * max(1, min(at_once, len(times)))
    for seconds in times:
        heapq.heapreplace(ends, ends[0] + seconds)
    return max(ends)
