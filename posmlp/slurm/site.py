"""Site: what slurm/site.yaml says of a cluster, and the resources that jobs request there."""

import math
import shlex
from collections.abc import Callable
from typing import Any, Self

from pydantic import ConfigDict, Field, model_validator

from posmlp.slurm.commands import gpus_and_shards, installed, partition_minutes, shards_of_gpu
from posmlp.study.section import Section
from posmlp.study.study_error import StudyError, setting_error

HOURS_WITHOUT_LIMIT = 24.0  # of a training job where neither site nor partition sets a limit
WARNING = "USR1"  # the signal that requests a checkpoint; posmlp.runs.interrupts handles it
EARLY_S = 60  # Slurm may send the signal up to a minute early


class Site(Section):
    """The keys under `slurm` in slurm/site.yaml, and of `snakemake --config`."""

    model_config = ConfigDict(strict=False)  # numbers on the command line are strings

    partition: str | None = Field(
        None, description="partition of the trainings, or several: gpu,gpu2; null: the default"
    )
    account: str | None = Field(None, description="account to charge; null: your default account")
    qos: str | None = Field(None, description="quality of service; null: the default")
    constraint: str | None = Field(
        None, description="features that nodes must have, such as a100&nvlink; null: any node"
    )
    reservation: str | None = Field(None, description="name of a reservation; null: none")
    exclude: str | None = Field(None, description="nodes to avoid, such as n[7-9]; null: none")
    gpu_type: str | None = Field(
        None, description="type of GPU as `sinfo -o %G` names it, such as h200; null: any"
    )
    cpus: int = Field(8, ge=1, description="CPU cores per GPU: they read and augment images")
    mem_gb: float = Field(32.0, gt=0, description="main memory per GPU, in GB")
    hours: float | None = Field(
        None,
        gt=0,
        description="time limit of a training job; a longer training continues in the next job; "
        "null: the partition's limit, or 24 where it has none",
    )
    warning_s: int = Field(
        120,
        ge=1,
        description="seconds before the time limit at which Slurm requests a checkpoint; it may do "
        "so up to a minute earlier",
    )
    mail: str | None = Field(
        None, description="address for Slurm's mail when a training ends or fails; null: no mail"
    )
    extra: str | None = Field(
        None, description="further options of sbatch, such as --nice=100; null: none"
    )

    @model_validator(mode="after")
    def signal_is_ours(self) -> Self:
        if "--signal" in (self.extra or ""):
            raise setting_error("extra", "must not set --signal, which warning_s sets")
        return self

    def sbatch_options(self) -> str:
        """Options that Snakemake's plugin has no resource for, quoted for a shell."""
        named = {
            "signal": f"{WARNING}@{self.warning_s}",
            "reservation": self.reservation,
            "exclude": self.exclude,
            "mail-user": self.mail,
            "mail-type": self.mail and "END,FAIL",
        }
        options = [f"--{name}={shlex.quote(value)}" for name, value in named.items() if value]
        return " ".join([*options, *filter(None, [self.extra])])


def training_resources(
    site: Site, gpus: int, nodes: int, on_gpus: bool, runs_per_gpu: int, submits: bool
) -> dict[str, Any]:
    """What a training requests from Slurm, under the names that Snakemake's plugin uses.

    Args:
        gpus: of one run, over all its nodes; each has a process, also where runs use CPUs.
        on_gpus: whether to request GPUs at all.
        runs_per_gpu: runs that share a GPU; each of them requests shards of it.
        submits: whether this process submits jobs; one inside a job does not ask the controller.

    Raises:
        StudyError: the partition has no such time limit or no such shards.
    """
    per_node = gpus // nodes
    named = {
        "slurm_partition": site.partition,
        "slurm_account": site.account,
        "qos": site.qos,
        "constraint": site.constraint,
    }
    resources = {
        **{name: value for name, value in named.items() if value is not None},
        "mem_mb": math.ceil(1000 * site.mem_gb * per_node / runs_per_gpu),
        "cpus_per_task": cpus_of_process(site, runs_per_gpu),
        "runtime": growing_minutes(site, partition_minutes(site.partition) if submits else None),
        "slurm_extra": site.sbatch_options(),
    }
    if on_gpus and runs_per_gpu > 1:
        resources["gres"] = f"shard:{shards_of_run(site, runs_per_gpu) if submits else 1}"
    elif on_gpus:
        kind = f"gpu:{site.gpu_type}" if site.gpu_type else "gpu"
        resources["gres"] = f"{kind}:{per_node}"  # on each node
    if gpus > 1:
        # Started by an srun of our own (workflow/allocation.py), so the plugin adds none.
        resources |= {"mpi": "srun", "tasks": gpus, "nodes": nodes, "tasks_per_gpu": 0}
    return resources


def cpus_of_process(site: Site, runs_per_gpu: int) -> int:
    """CPU cores of each process of a run."""
    return max(1, site.cpus // runs_per_gpu)


def shards_of_run(site: Site, runs_per_gpu: int) -> int:
    """The number of shards that keeps more than `runs_per_gpu` runs off a GPU.

    Raises:
        StudyError: the partition's GPUs have too few shards, or a type of GPU is requested.
    """
    if site.gpu_type:
        raise StudyError(
            f"slurm/site.yaml: slurm.gpu_type: {site.gpu_type} cannot be requested where runs "
            "share a GPU (runs_per_gpu), because shards have no type. Write null, and choose the "
            "GPU by partition or constraint"
        )
    if not installed():
        return 1
    found = shards_of_gpu(gpus_and_shards(site.partition))
    if found < runs_per_gpu:
        has = f"has {found} shards per GPU" if found else "has no GPUs with shards"
        raise StudyError(
            f"config/config.yaml or --config: runs_per_gpu: {runs_per_gpu} runs cannot share a GPU "
            f"here: partition {site.partition or '(the default)'} {has}. Ask the cluster's "
            "administrators for more (docs/cluster.md), name another partition in "
            f"slurm/site.yaml, or write runs_per_gpu={max(1, found)}"
        )
    return math.ceil(found / runs_per_gpu)


def growing_minutes(site: Site, limit: int | None) -> Callable[..., int]:
    """The time limit as a function of the attempt: it grows, up to the partition's limit.

    Raises:
        StudyError: the job would wait in the queue for ever, or would be warned before it trains.
    """
    minutes = 60 * site.hours if site.hours else limit or 60 * HOURS_WITHOUT_LIMIT
    partition = site.partition or "(the default)"
    if limit and minutes > limit:
        raise StudyError(
            f"slurm/site.yaml: slurm.hours: {site.hours:g} h exceed the {limit / 60:g} h that "
            f"partition {partition} allows, so the job would wait for ever. Lower it, or write "
            "null for the partition's limit: a longer training continues in the next job"
        )
    if 60 * minutes <= site.warning_s + EARLY_S:
        source = "slurm.hours" if site.hours else f"partition {partition}"
        raise StudyError(
            f"slurm/site.yaml: slurm.warning_s: a job of {60 * minutes:.0f} s ({source}) would be "
            f"told to stop {site.warning_s} s before its end, up to {EARLY_S} s earlier, and would "
            f"have no time to train. warning_s must be below {60 * minutes - EARLY_S:.0f}: lower "
            "it, or raise slurm.hours"
        )

    def runtime(wildcards: Any, attempt: int) -> int:
        grown = math.ceil(minutes * attempt)
        return min(grown, limit) if limit else grown

    return runtime
