"""What happens on the head node before the first job of a workflow is submitted."""

import sys
from pathlib import Path
from typing import Any

import snakemake_executor_plugin_slurm as plugin
from snakemake_executor_plugin_slurm.job_status_query import get_min_job_age

from posmlp.slurm.orphans import cancel_orphans
from posmlp.slurm.trial import try_submissions

LONGEST_PAUSE_S = 180  # between two looks of the plugin at its jobs


def before_submitting(workflow: Any, mark: str) -> None:
    """Try the requests out, cancel what an earlier start left behind, and mend the plugin.

    Args:
        workflow: Snakemake's, its output locked.
        mark: what the commands of this study's jobs hold.

    Raises:
        SlurmError: Slurm would refuse a job; or jobs of an earlier start do not end.
    """
    # The plugin would turn to sacct when the controller is away for a moment, and forget all its
    # jobs where there is no accounting.
    plugin.is_query_tool_available = lambda tool: False
    age = get_min_job_age()
    if age is not None and age <= LONGEST_PAUSE_S:
        print(
            f"warning: this cluster forgets finished jobs after {age} s (MinJobAge), and Snakemake "
            f"looks at them every {LONGEST_PAUSE_S} s at times: a finished job may be waited for "
            "for ever. Ask for a MinJobAge of 300; until then, interrupt and start again",
            file=sys.stderr,
        )
    submitted = [job for job in workflow.dag.needrun_jobs() if not job.is_local]
    try_submissions(submitted, workflow.executor_settings)
    orphans = cancel_orphans(Path.cwd(), mark)
    if orphans:
        jobs = f"{len(orphans)} job{'s' * (len(orphans) > 1)}"
        print(f"Cancelled {jobs} of an earlier start; they go on from their checkpoints")
