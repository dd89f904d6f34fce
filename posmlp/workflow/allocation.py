"""Allocation: what a job that trains runs of a study gets, from this machine or from Slurm."""

import math
from dataclasses import dataclass
from typing import Any

from posmlp.config import CONFIG_FILE, Settings
from posmlp.runs.gpus import fitting_runs, launch, visible_gpus
from posmlp.slurm.commands import default_account, jobs_of_partition, partition_minutes
from posmlp.slurm.site import Site, training_resources
from posmlp.study import Study, StudyError


@dataclass(frozen=True)
class Allocation:
    """What a job gets, and how it trains its runs."""

    launch: str  # starts the processes of a run; the arguments of `posmlp` follow
    cpus: int  # threads of each process
    at_once: int  # runs of a job that train side by side
    num_jobs: int  # in all
    threads: int  # Snakemake's `threads` of a job; a cluster reads cpus_per_task instead
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
    if (settings.runs_at_once or 1) > 1 and study.gpus > 1 and (settings.slurm or on_gpus):
        raise StudyError(
            f"{CONFIG_FILE} or --config: runs_at_once: {settings.runs_at_once} runs cannot share a "
            f"GPU because each takes {study.gpus} (gpus in the study file). Write runs_at_once=1, "
            "or gpus: 1 in the study file"
        )
    if settings.slurm:
        return _of_cluster(settings, study, num_runs, on_gpus, submits)
    names = visible_gpus() if on_gpus else []
    at_once = settings.runs_at_once or fitting_runs(names, cores, study.gpus)
    return Allocation(
        launch=launch(study.gpus),
        cpus=max(1, cores // (at_once * study.gpus)),
        at_once=at_once,
        num_jobs=math.ceil(num_runs / (settings.runs_per_job or num_runs)),
        threads=cores,  # one job at a time
        resources={"mem_mb": 4000 * at_once},
        num_gpus=len(names),
    )


def _of_cluster(
    settings: Settings, study: Study, num_runs: int, on_gpus: bool, submits: bool
) -> Allocation:
    site, at_once, runs_per_job = settings.slurm, settings.runs_at_once or 1, settings.runs_per_job
    if submits and not site.account:
        site = site.model_copy(update={"account": default_account()})
    rounds = math.ceil((runs_per_job or 1) / at_once)  # of runs, one after the other
    cpus = max(1, site.cpus // at_once) if on_gpus else site.cpus
    return Allocation(
        launch=launch(study.gpus, study.nodes, cpus),
        cpus=cpus,
        at_once=at_once,
        num_jobs=math.ceil(num_runs / (runs_per_job or 1)),
        threads=1,
        resources=training_resources(site, study, on_gpus, at_once, rounds, submits),
        num_gpus=study.gpus if on_gpus else 0,
    )


def jobs_at_once(
    allocation: Allocation, site: Site | None, gpus: int, cores: int, most_jobs: int
) -> tuple[int, str]:
    """How many jobs can train side by side, and what limits their runs.

    Args:
        gpus: of one run.
        cores: of this machine.
        most_jobs: in the queue of a cluster at once.
    """
    if site:
        return jobs_of_partition(site.partition, gpus, allocation.num_gpus > 0, most_jobs)
    limit = f"{allocation.num_gpus} GPUs; " if allocation.num_gpus else ""
    return 1, f"{limit}{cores} cores of this machine"


def job_minutes(site: Site | None) -> int | None:
    """The time limit of a job on the site's partition; None where there is none."""
    return partition_minutes(site.partition) if site else None
