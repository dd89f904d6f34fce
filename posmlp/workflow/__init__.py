"""Around Snakemake's jobs: division of the machine, the lock of a study, terminal output, logs."""

from posmlp.workflow.job_log import job_log, warn

__all__ = ["job_log", "warn"]
