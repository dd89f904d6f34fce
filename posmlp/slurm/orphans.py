"""Jobs that an earlier Snakemake left behind when it was killed or its machine went down."""

import time
from pathlib import Path

from posmlp.slurm.commands import SlurmError, ask, my_jobs

PATIENCE_S = 120.0  # for cancelled jobs to write a checkpoint and leave


def cancel_orphans(folder: Path, mark: str) -> list[str]:
    """Cancel the jobs submitted from `folder` whose command holds `mark`; return their numbers.

    Snakemake locks what it makes, so while it is locked by us such a job has lost its master, and
    a second job for the same run is about to be submitted. A training that is cancelled leaves a
    checkpoint, from which that second job goes on.

    Raises:
        SlurmError: Slurm cannot be asked, or a job is still there after PATIENCE_S.
    """
    here = [job for job, place in my_jobs().items() if Path(place) == folder]
    orphans = [job for job in here if mark in batch_script(job)]
    if orphans:
        ask("scancel", *orphans)
    end = time.monotonic() + PATIENCE_S
    while left := set(orphans) & my_jobs().keys():
        if time.monotonic() > end:
            jobs = " ".join(sorted(left))
            raise SlurmError(
                f"jobs of an earlier start are still in the queue: {jobs}. Look at them with "
                "squeue, cancel them with scancel, and start again when they are gone"
            )
        time.sleep(1.0)
    return orphans


def batch_script(job: str) -> str:
    """A job's script; empty where it is not to be had: the job has just ended."""
    try:
        return ask("scontrol", "write", "batch_script", job, "-")
    except SlurmError:
        return ""
