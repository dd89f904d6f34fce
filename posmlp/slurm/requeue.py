"""A training that Slurm warns of its time limit goes back into the queue as the same job."""

import os
import sys

from posmlp.slurm.commands import SlurmError, ask


def requeue() -> None:
    """Put this process's Slurm job back into the queue; nothing to do outside of one.

    Slurm keeps the job's number, so whoever waits for the job goes on waiting. Where a cluster
    refuses, the job ends with the status "run me again" and Snakemake's `retries` submit it anew.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if not job:
        return
    try:
        ask("scontrol", "requeue", job)
    except SlurmError as error:
        print(f"warning: job {job} cannot go back into the queue: {error}", file=sys.stderr)
    else:
        print(f"Slurm job {job} goes back into the queue and on from its checkpoint", flush=True)
