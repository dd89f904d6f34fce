"""Allocation: what every run of a study gets, from this machine or from Slurm."""

import os
import shlex
import sys
from dataclasses import dataclass, field
from typing import Any

from posmlp.config import Settings, sharing
from posmlp.runs.gpus import on_gpus, visible_gpus
from posmlp.slurm.commands import default_account, partition_minutes, runs_of_partition
from posmlp.slurm.site import Site, cpus_of_process, training_resources


@dataclass(frozen=True)
class Allocation:
    """What a run gets, and how many runs fit side by side."""

    command: str  # starts the processes of a run; the arguments of `posmlp` follow
    cpus: int  # threads of each process
    threads: int  # Snakemake's `threads` of a run; a cluster reads cpus_per_task instead
    resources: dict[str, Any]  # Snakemake's `resources` of a run
    runs_per_gpu: int = 1
    gpus: list[str] = field(default_factory=list)  # of this machine
    slots: int | None = None  # runs that these GPUs hold at once


def allocate(settings: Settings, gpus: int, nodes: int, cores: int, submits: bool) -> Allocation:
    """Divide this machine, or what the site file says of a cluster, among the runs of a study.

    Args:
        gpus: processes of a run, a GPU each where GPUs are used.
        nodes: that a run is spread over, on a cluster.
        cores: of this machine, for all runs together.
        submits: whether this process may submit jobs; one inside a job asks Slurm nothing.

    Raises:
        StudyError: the settings do not fit each other or the cluster.
    """
    runs_per_gpu = sharing(settings, gpus)
    use_gpus = settings.device != "cpu"
    if settings.slurm:
        site = settings.slurm
        if submits and not site.account:
            site = site.model_copy(update={"account": default_account()})
        cpus = cpus_of_process(site, runs_per_gpu)
        resources = training_resources(site, gpus, nodes, use_gpus, runs_per_gpu, submits)
        return Allocation(launch(gpus, nodes, cpus), cpus, 1, resources, runs_per_gpu)
    command = launch(gpus)
    names = visible_gpus() if use_gpus else []
    if not names:
        return Allocation(command, 1, gpus, {"mem_mb": 4000})
    slots = max(1, len(names) * runs_per_gpu // gpus)
    cpus = max(1, cores // (slots * gpus))
    return Allocation(
        on_gpus(sys.executable, gpus, runs_per_gpu) + command,
        cpus,
        cpus * gpus,
        {"mem_mb": 4000, "gpu_slots": 1},
        runs_per_gpu,
        names,
        slots,
    )


def launch(gpus: int, nodes: int = 1, cpus_in_job: int | None = None) -> str:
    """The command that starts the processes of a run; the arguments of `posmlp` follow.

    One process runs by itself. Several are the tasks of an srun inside a Slurm job, spread evenly
    over its nodes, and of torchrun on a single machine.

    Args:
        cpus_in_job: CPU cores of each process in a Slurm job; None: not on a cluster.
    """
    python = shlex.quote(sys.executable)  # the interpreter that has posmlp, whatever PATH says
    if gpus == 1:
        return f"{python} -m posmlp"
    if cpus_in_job and "SLURM_JOB_ID" in os.environ:
        # In full: the job's own settings are hidden from commands inside it.
        return (
            f"srun --nodes={nodes} --ntasks={gpus} --ntasks-per-node={gpus // nodes} "
            f"--cpus-per-task={cpus_in_job} --kill-on-bad-exit=0 {python} -m posmlp"
        )
    return f"{python} -m torch.distributed.run --nproc-per-node={gpus} -m posmlp"


def runs_at_once(
    allocation: Allocation, site: Site | None, gpus: int, cores: int, most_jobs: int
) -> tuple[int, str]:
    """How many runs can train side by side, and what limits them.

    Args:
        gpus: of one run.
        cores: of this machine.
        most_jobs: in the queue of a cluster at once.
    """
    if site:
        asks = "gres" in allocation.resources
        return runs_of_partition(site.partition, gpus, asks, most_jobs, allocation.runs_per_gpu)
    number, limit = max(1, cores // allocation.threads), f"{cores} cores"
    if allocation.slots:
        number = min(number, allocation.slots)
        shared = allocation.runs_per_gpu
        each = f", at most {shared} runs on each" if shared > 1 else ""
        limit = f"{len(allocation.gpus)} GPUs{each}; {limit}"
    return number, f"{limit} of this machine"


def job_minutes(site: Site | None) -> int | None:
    """The time limit of a job on the site's partition; None where there is none."""
    return partition_minutes(site.partition) if site else None
