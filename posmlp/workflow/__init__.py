"""What surrounds Snakemake's jobs: what a run gets of the machine, the study's lock, what a start
prints, the logs of scripts.
"""

from posmlp.workflow.job_log import job_log, warn

__all__ = ["job_log", "warn"]
