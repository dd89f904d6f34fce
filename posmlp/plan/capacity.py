"""How many runs of a study train at once, here or on the site's cluster."""

import os
from typing import NamedTuple

from posmlp.config import SITE_FILE, Settings, sharing
from posmlp.runs.gpus import visible_gpus
from posmlp.slurm.commands import SlurmError, installed, partition_minutes, runs_of_partition
from posmlp.study import Study
from posmlp.study.yaml_files import read_mapping

PROFILE = SITE_FILE.with_name("config.v9+.yaml")  # of Snakemake; its `jobs` limits the queue


class Capacity(NamedTuple):
    """Runs side by side, at most, and the limits of each.

    Args:
        limit: what limits `at_once`, in words.
        job_minutes: time limit of a job; None: there is none.
    """

    at_once: int
    limit: str
    runs_per_gpu: int = 1
    job_minutes: int | None = None


def capacity_of(settings: Settings, study: Study) -> Capacity:
    """Ask this machine or, where the settings have a site, Slurm.

    Raises:
        ValueError: Slurm is not installed or refuses, or settings do not fit.
    """
    shared = sharing(settings, study.gpus)
    site, on_gpus = settings.slurm, settings.device != "cpu"
    if site and not installed():
        raise SlurmError(
            "Slurm is not installed here (sinfo is not on PATH); run the command on a machine that "
            "submits jobs, or leave out --cluster"
        )
    if site:
        jobs = read_mapping(PROFILE).get("jobs", 50)
        runs = runs_of_partition(site.partition, study.gpus, on_gpus, jobs, shared)
        return Capacity(*runs, shared, partition_minutes(site.partition))
    cores = len(os.sched_getaffinity(0))
    gpus = len(visible_gpus()) if on_gpus else 0
    if not gpus:
        at_once = max(1, cores // study.gpus)
        return Capacity(at_once, f"{cores} cores of this machine")
    at_once = max(1, min(cores, gpus * shared) // study.gpus)
    each = f", at most {shared} runs on each" if shared > 1 else ""
    return Capacity(at_once, f"{gpus} GPUs{each}; {cores} cores of this machine", shared)
