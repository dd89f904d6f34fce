"""Allocation: how this machine, or a Slurm job, is divided among runs that train at once."""

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
    """The resources of a job, and how its runs share them."""

    launch: (
        str  # command that starts the processes of a run, to be followed by arguments of `posmlp`
    )
    cpus: int  # threads per process
    at_once: int  # runs of a job that train side by side
    num_jobs: int  # total
    threads: int  # Snakemake's `threads`: all cores; a cluster reads cpus_per_task instead
    resources: dict[str, Any]  # Snakemake's `resources` of a job
    num_gpus: int = 0  # GPUs of this machine, or of a job on a cluster


def allocate(settings: Settings, study: Study, cores: int, submits: bool) -> Allocation:
    """Divide this machine, or a job on a cluster, among the runs of a job.

    Args:
        cores: cores of this machine, for all runs together.
        submits: whether this process submits jobs; a process inside a job does not query Slurm.

    Raises:
        StudyError: the settings contradict each other or exceed the cluster's limits.
    """
    num_runs, on_gpus = len(study.variants) * len(study.seeds), settings.device != "cpu"
    site, at_once = settings.slurm, settings.runs_at_once
    if (at_once or 1) > 1 and study.gpus > 1 and (site or on_gpus):
        raise StudyError(
            f"{CONFIG_FILE} or --config: runs_at_once: {at_once} runs cannot share a GPU because "
            f"each takes {study.gpus} (gpus in the study file). Set runs_at_once=1, or gpus: 1 "
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
    rounds = math.ceil(per_job / at_once)  # batches of runs, one after the other
    cpus = max(1, site.cpus // at_once) if on_gpus else site.cpus
    resources = training_resources(site, study, on_gpus, at_once, rounds, submits)
    start = launch(study.gpus, study.nodes, cpus)
    return Allocation(start, cpus, at_once, num_jobs, 1, resources, study.gpus * on_gpus)
