"""How many runs of a study train at once, here or on the site's cluster."""

import os
from typing import NamedTuple

from posmlp.config import SITE_FILE, Settings
from posmlp.slurm.commands import SlurmError, installed
from posmlp.study import Study
from posmlp.study.yaml_files import read_mapping
from posmlp.workflow.allocation import allocate, job_minutes, runs_at_once

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
    site, jobs = settings.slurm, 1
    if site and not installed():
        raise SlurmError(
            "Slurm is not installed here (sinfo is not on PATH); run the command on a machine that "
            "submits jobs, or leave out --cluster"
        )
    if site:
        jobs = read_mapping(PROFILE).get("jobs", 50)
    cores = len(os.sched_getaffinity(0))
    run = allocate(settings, study.gpus, study.nodes, cores, submits=False)
    at_once, limit = runs_at_once(run, site, study.gpus, cores, jobs)
    return Capacity(at_once, limit, run.runs_per_gpu, job_minutes(site))
