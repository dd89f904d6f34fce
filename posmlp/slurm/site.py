"""Site: what slurm/site.yaml says of a cluster, and the resources that jobs ask for there."""

import math
from collections.abc import Callable
from typing import Any, Self

from pydantic import ConfigDict, Field

from posmlp.slurm.commands import (
    gpus_and_shards,
    installed,
    partition_minutes,
    shards_of_gpu,
)
from posmlp.study.section import Section
from posmlp.study.study_error import StudyError

HOURS_WITHOUT_LIMIT = 24.0  # of a training's job where neither site nor partition has a limit
WARNING = "USR1"  # the signal that asks a training for a checkpoint; the trainer's watch knows it


class Site(Section):
    """The keys under `slurm` in slurm/site.yaml, and of `snakemake --config`."""

    model_config = ConfigDict(strict=False)  # numbers on the command line are texts

    partition: str | None = Field(
        None, description="partition of the trainings, or several: gpu,gpu2; null: the default one"
    )
    account: str | None = Field(None, description="account that pays; null: your default account")
    qos: str | None = Field(None, description="quality of service; null: the default one")
    constraint: str | None = Field(
        None, description="features that nodes must have, such as a100&nvlink; null: any node"
    )
    gpu_type: str | None = Field(
        None, description="type of GPU as `sinfo -o %G` names it, such as h200; null: any"
    )
    cpus: int = Field(8, ge=1, description="CPU cores for each GPU: they read and augment images")
    mem_gb: float = Field(32.0, gt=0, description="main memory for each GPU, in GB")
    hours: float | None = Field(
        None,
        gt=0,
        description="time limit of a training's job; a longer training goes on in the next job; "
        "null: what the partition allows, or 24 where it allows anything",
    )
    warning_s: int = Field(
        120,
        ge=1,
        description="seconds before the time limit at which Slurm asks for a checkpoint; Slurm may "
        "ask up to a minute earlier",
    )

    def shared_by(self, runs_per_gpu: int) -> Self:
        """The site as one of so many runs that share a GPU is to ask for it."""
        parts = {
            "cpus": max(1, self.cpus // runs_per_gpu),
            "mem_gb": self.mem_gb / runs_per_gpu,
        }
        return self.model_copy(update=parts)


def training_resources(
    site: Site, gpus: int, nodes: int, on_gpus: bool, main_process: bool, runs_per_gpu: int = 1
) -> dict[str, Any]:
    """What a training asks Slurm for, by the names of Snakemake's plugin.

    Args:
        gpus: of one run, over all its nodes; each has a process, on CPUs too.
        on_gpus: whether to ask for GPUs at all.
        main_process: whether these are the resources of a submission; a job inside its own
            allocation does not ask the controller again.
        runs_per_gpu: runs that share a GPU; one of several asks for shards of it.

    Raises:
        StudyError: the partition has no such time or no such shares of GPUs.
    """
    per_node = gpus // nodes
    limit = partition_minutes(site.partition) if main_process else None
    named = {
        "slurm_partition": site.partition,
        "slurm_account": site.account,
        "qos": site.qos,
        "constraint": site.constraint,
    }
    resources = {
        **{name: value for name, value in named.items() if value is not None},
        "mem_mb": math.ceil(1000 * site.mem_gb * per_node),
        "cpus_per_task": site.cpus,
        "runtime": growing_minutes(site, limit),
        "slurm_extra": f"--signal={WARNING}@{site.warning_s}",
    }
    if on_gpus and runs_per_gpu > 1:
        resources["gres"] = f"shard:{shards_of_run(site, runs_per_gpu) if main_process else 1}"
    elif on_gpus:
        kind = f"gpu:{site.gpu_type}" if site.gpu_type else "gpu"
        resources["gres"] = f"{kind}:{per_node}"  # on each node
    if gpus > 1:
        # Started by an srun of our own (launch.py), so the plugin adds none.
        resources |= {"mpi": "srun", "tasks": gpus, "nodes": nodes, "tasks_per_gpu": 0}
    return resources


def shards_of_run(site: Site, runs_per_gpu: int) -> int:
    """How many shards keep more than so many runs off a GPU.

    Raises:
        StudyError: GPUs of the partition are not cut into as many, or a type is asked for.
    """
    if site.gpu_type:
        raise StudyError(
            f"slurm/site.yaml: slurm.gpu_type: {site.gpu_type} cannot be asked for where runs "
            "share a GPU (runs_per_gpu), because shards have no type. Write null, and choose the "
            "GPU by partition or constraint"
        )
    if not installed():
        return 1
    found = shards_of_gpu(gpus_and_shards(site.partition))
    if found < runs_per_gpu:
        has = f"cuts a GPU into {found} shards" if found else "has no GPUs that are cut into shards"
        raise StudyError(
            f"config/config.yaml or --config: runs_per_gpu: {runs_per_gpu} runs cannot share a GPU "
            f"here: partition {site.partition or '(the default)'} {has}. Ask those who run the "
            "cluster for more (docs/cluster.md), name another partition in slurm/site.yaml, or "
            f"write runs_per_gpu={max(1, found)}"
        )
    return math.ceil(found / runs_per_gpu)


def growing_minutes(site: Site, limit: int | None) -> Callable[..., int]:
    """The time limit by attempt: as long again for every one, up to the partition's limit.

    Raises:
        StudyError: the partition would leave such a job in the queue for ever.
    """
    asked = 60 * site.hours if site.hours else limit or 60 * HOURS_WITHOUT_LIMIT
    if limit and asked > limit:
        raise StudyError(
            f"slurm/site.yaml: slurm.hours: {site.hours:g} h are more than the {limit / 60:g} h "
            f"that partition {site.partition or '(the default)'} allows, and such a job would "
            "wait for ever. Lower it, or write null for the partition's limit: a longer training "
            "goes on in the next job"
        )

    def runtime(wildcards: Any, attempt: int) -> int:
        minutes = math.ceil(asked * attempt)
        return min(minutes, limit) if limit else minutes

    return runtime
