"""Site: what slurm/site.yaml says of a cluster, and the resources that jobs ask for there."""

import math
from collections.abc import Callable
from typing import Any

from pydantic import ConfigDict, Field

from posmlp.slurm.commands import partition_minutes
from posmlp.study.errors import StudyError
from posmlp.study.settings import Section

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


def training_resources(
    site: Site, gpus: int, nodes: int, on_gpus: bool, main_process: bool
) -> dict[str, Any]:
    """What a training asks Slurm for, by the names of Snakemake's plugin.

    Args:
        gpus: of one run, over all its nodes; each has a process, on CPUs too.
        on_gpus: whether to ask for GPUs at all.
        main_process: whether these are the resources of a submission; a job inside its own
            allocation does not ask the controller again.
    """
    per_node = gpus // nodes
    kind = f"gpu:{site.gpu_type}" if site.gpu_type else "gpu"
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
    if on_gpus:
        resources["gres"] = f"{kind}:{per_node}"  # on each node
    if gpus > 1:
        # Started by an srun of our own (launch.py), so the plugin adds none.
        resources |= {"mpi": "srun", "tasks": gpus, "nodes": nodes, "tasks_per_gpu": 0}
    return resources


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
