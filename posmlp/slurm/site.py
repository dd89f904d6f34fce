"""Site: the settings of slurm/site.yaml, and the resources that jobs request."""

import math
import shlex
from collections.abc import Callable
from typing import Any, Self

from pydantic import ConfigDict, Field, model_validator

from posmlp.slurm.commands import partition_minutes
from posmlp.study import Study
from posmlp.study.section import Section
from posmlp.study.study_error import StudyError, setting_error

DEFAULT_HOURS = 24.0  # time limit of a training job if neither site nor partition sets one
WARNING = "USR1"  # the signal that requests a checkpoint; posmlp.runs.interrupts handles it
EARLY_S = 60  # Slurm may send the signal up to a minute early


class Site(Section):
    """The keys under `slurm` in slurm/site.yaml, and of `snakemake --config`."""

    model_config = ConfigDict(strict=False)  # on the command line, numbers are strings

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
    cpus: int = Field(
        8,
        ge=1,
        description="CPU cores per GPU, or per run without GPUs: they read and augment images",
    )
    mem_gb: float = Field(
        32.0, gt=0, description="main memory per GPU, or per run without GPUs, in GB"
    )
    hours: float | None = Field(
        None,
        gt=0,
        description="time limit of a job for one run; one for several, of which some train after "
        "others, has as many times that, up to the partition's limit. A longer training continues "
        "in the next job; null: the partition's limit, or 24 where it has none",
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
        """Options of sbatch for which Snakemake's plugin has no resource, quoted for a shell."""
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
    site: Site, study: Study, on_gpus: bool, at_once: int, rounds: int, submits: bool
) -> dict[str, Any]:
    """The resources of a training job, as Snakemake's plugin names them.

    Args:
        on_gpus: whether to request GPUs, one for each process of a run.
        at_once: runs side by side. They share the job's GPU, cores and memory; without GPUs, each
            gets its own cores and memory.
        rounds: batches of runs that the job trains one after the other.
        submits: whether this process submits jobs; a process inside a job does not query Slurm.

    Raises:
        StudyError: the time limit does not fit the partition or the warning.
    """
    per_node, shares = study.gpus // study.nodes, 1 if on_gpus else at_once
    limit = partition_minutes(site.partition) if submits else None
    kind = f"gpu:{site.gpu_type}" if site.gpu_type else "gpu"
    resources = {
        "slurm_partition": site.partition,
        "slurm_account": site.account,
        "qos": site.qos,
        "constraint": site.constraint,
        "gres": f"{kind}:{per_node}" if on_gpus else None,  # on each node
        "mem_mb": math.ceil(1000 * site.mem_gb * per_node * shares),
        "cpus_per_task": site.cpus * shares,
        "runtime": growing_minutes(site, limit, rounds),
        "slurm_extra": site.sbatch_options(),
    }
    if study.gpus > 1:
        # Our own srun starts the processes (runs/gpus.py); with `mpi` the plugin adds none.
        tasks = {"tasks": study.gpus, "nodes": study.nodes, "tasks_per_gpu": 0}
        resources |= {"mpi": "srun"} | tasks
    return {name: value for name, value in resources.items() if value is not None}


def growing_minutes(site: Site, limit: int | None, rounds: int) -> Callable[..., int]:
    """The time limit as a function of the attempt: it grows up to the partition's limit.

    Args:
        limit: time limit of the partition in minutes.
        rounds: batches of runs that a job trains one after the other.

    Raises:
        StudyError: the job would wait forever, or would be told to stop before it trains.
    """
    minutes = 60 * site.hours if site.hours else limit or 60 * DEFAULT_HOURS
    partition = site.partition or "(the default)"
    if limit and minutes > limit:
        raise StudyError(
            f"slurm/site.yaml: slurm.hours: {site.hours:g} h exceed the {limit / 60:g} h that "
            f"partition {partition} allows, so the job would wait forever. Lower it, or set null "
            "for the partition's limit: a longer training continues in the next job"
        )
    if 60 * minutes <= site.warning_s + EARLY_S:
        source = "slurm.hours" if site.hours else f"partition {partition}"
        raise StudyError(
            f"slurm/site.yaml: slurm.warning_s: a job of {60 * minutes:.0f} s ({source}) would be "
            f"told to stop {site.warning_s} s before its end, or up to {EARLY_S} s earlier, which "
            f"leaves no time to train. warning_s must be below {60 * minutes - EARLY_S:.0f}: lower "
            "it, or raise slurm.hours"
        )

    def runtime(wildcards: Any, attempt: int) -> int:
        grown = math.ceil(minutes * attempt * (rounds if site.hours else 1))
        return min(grown, limit) if limit else grown

    return runtime
