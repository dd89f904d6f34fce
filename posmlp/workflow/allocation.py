"""Allocation: what a job that trains runs of a study gets, from this machine or from Slurm."""

import math
from dataclasses import dataclass
from typing import Any

from posmlp.config import CONFIG_FILE, Settings
from posmlp.runs.gpus import fitting_runs, launch, visible_gpus
from posmlp.slurm.commands import default_account
from posmlp.slurm.site import training_resources
from posmlp.study import Study, StudyError


@dataclass(frozen=True)
class Allocation:
    """What a job gets, and how it trains its runs."""

    launch: str  # starts the processes of a run; the arguments of `posmlp` follow
    cpus: int  # threads of each process
    at_once: int  # runs of a job that train side by side
    num_jobs: int  # in all
    threads: int  # Snakemake's `threads`: all cores; a cluster reads cpus_per_task instead
    resources: dict[str, Any]  # Snakemake's `resources` of a job
    num_gpus: int = 0  # of this machine, or of a job on a cluster


def allocate(settings: Settings, study: Study, cores: int, submits: bool) -> Allocation:
    """Divide this machine, or a job's share of a cluster, among the runs of a job.

    Args:
        cores: of this machine, for all runs together.
        submits: whether this process may submit jobs; one inside a job asks Slurm nothing.

    Raises:
        StudyError: the settings do not fit each other or the cluster.
    """
    num_runs, on_gpus = len(study.variants) * len(study.seeds), settings.device != "cpu"
    site, at_once = settings.slurm, settings.runs_at_once
    if (at_once or 1) > 1 and study.gpus > 1 and (site or on_gpus):
        raise StudyError(
            f"{CONFIG_FILE} or --config: runs_at_once: {at_once} runs cannot share a GPU because "
            f"each takes {study.gpus} (gpus in the study file). Write runs_at_once=1, or gpus: 1 "
            "in the study file"
        )
    per_job = settings.runs_per_job or (1 if site else num_runs)
    num_jobs = math.ceil(num_runs / per_job)
    if not site:
        names = visible_gpus() if on_gpus else []
        at_once = at_once or fitting_runs(names, cores, study.gpus)
        cpus = max(1, cores // (at_once * study.gpus))
        resources = {"mem_mb": 4000 * at_once}
        start = launch(study.gpus)
        return Allocation(start, cpus, at_once, num_jobs, cores, resources, len(names))
    at_once = at_once or 1
    if submits and not site.account:
        site = site.model_copy(update={"account": default_account()})
    rounds = math.ceil(per_job / at_once)  # of runs, one after the other
    cpus = max(1, site.cpus // at_once) if on_gpus else site.cpus
    resources = training_resources(site, study, on_gpus, at_once, rounds, submits)
    start = launch(study.gpus, study.nodes, cpus)
    return Allocation(start, cpus, at_once, num_jobs, 1, resources, study.gpus * on_gpus)
