"""Snakemake's Slurm executor with readable job names, and without the faults that were met.

Written for version 2.8 of snakemake-executor-plugin-slurm. The jobs of a study are named
study/variant/seed<k>, with +9 for nine more runs, and carry the results folder as their comment, so
that a later start finds those that an earlier one left behind.
"""

import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import snakemake_executor_plugin_slurm as plugin
from snakemake_executor_plugin_slurm.accounts import validate_account
from snakemake_executor_plugin_slurm.job_status_query import get_min_job_age
from snakemake_executor_plugin_slurm.submit_string import get_submit_command
from snakemake_executor_plugin_slurm.utils import set_gres_string
from snakemake_executor_plugin_slurm.validation import validate_slurm_extra
from snakemake_interface_common.exceptions import WorkflowError

from posmlp.slurm.commands import SlurmError, ask, my_jobs, partitions, sinfo
from posmlp.study import RunConfig

LONGEST_PAUSE_S = 180  # between two status queries of the plugin
PATIENCE_S = 120.0  # for cancelled jobs to write a checkpoint and leave
NOT_NOW = "Requested node configuration is not available"  # also where nodes are down
UNUSABLE = ("down", "drain", "fail", "maint", "unk", "power", "no_respond", "reboot", "reserved")


class StudyExecutor(plugin.Executor):
    """The plugin's executor, adapted by `adapt`."""

    study: str
    results: str  # absolute
    packs: Sequence[Sequence[RunConfig]]  # the runs of each job that trains
    submitted: list[str]  # numbers of jobs

    def report_job_submission(self, job_info: Any, register_job: bool = True) -> None:
        self.submitted.append(job_info.external_jobid)
        text = f"Slurm job {job_info.external_jobid}: {self.name_of(job_info.job)}\n"
        print(text, end="")  # at once: threads submit side by side
        super().report_job_submission(job_info, register_job)

    def report_job_error(self, job_info: Any, msg: str | None = None, **details: Any) -> None:
        """Use up the attempts of a run that failed by itself: it would only fail again."""
        job = job_info.job
        if failed_by_itself(job):
            job.attempt = job.restart_times + 1
        super().report_job_error(job_info, msg, **details)

    def name_of(self, job: Any) -> str:
        """The name of a job in squeue, sacct and Slurm's mail."""
        name = job.rule.name
        if name == "train":
            first, *others = self.packs[int(job.wildcards.part) - 1]
            more = f"+{len(others)}" if others else ""
            name = f"{first.variant}/seed{first.seed}{more}"
        return f"{self.study}/{name}"

    def cancel_left(self) -> int:
        """Cancel this study's jobs of this results folder in the queue, and wait for their end.

        A training that is cancelled writes a checkpoint, from which its next job continues.

        Returns:
            How many were cancelled.

        Raises:
            SlurmError: Slurm does not answer, or jobs are still there after PATIENCE_S.
        """
        numbers = {
            job.number
            for job in my_jobs()
            if job.name.split("/")[0] == self.study
            and job.comment == self.results
            and job.state != "COMPLETING"
        }
        if numbers:
            ask("scancel", *numbers)
        end = time.monotonic() + PATIENCE_S
        while still := numbers & {job.number for job in my_jobs()}:
            if time.monotonic() > end:
                raise SlurmError(
                    f"these jobs of the study are still in the queue: {' '.join(sorted(still))}. "
                    "Look at them with squeue and cancel them with scancel"
                )
            time.sleep(1.0)
        return len(numbers)


def adapt(
    workflow: Any, study: str, results: Path, packs: Sequence[Sequence[RunConfig]]
) -> StudyExecutor:
    """Turn the plugin's executor of a workflow into a StudyExecutor."""
    executor = workflow.scheduler._executor
    executor.__class__ = StudyExecutor
    executor.study, executor.packs = study, packs
    executor.results, executor.submitted = str(results.absolute()), []
    executor.slurm_logdir = results.absolute() / "logs/slurm"
    # The plugin gives all jobs one name, a random one, and queries by it.
    plugin.query_job_status_squeue = lambda name: (
        "squeue --me --states=all --noheader --format=%i|%T"
    )
    command = plugin.get_submit_command

    def named(job: Any, params: dict[str, Any], *arguments: Any, **options: Any) -> str:
        names = {"run_uuid": executor.name_of(job), "comment_str": executor.results}
        return command(job, params | names, *arguments, **options)

    plugin.get_submit_command = named
    # The plugin would turn to sacct when the controller is away for a moment, and forget all its
    # jobs where there is no accounting.
    plugin.is_query_tool_available = lambda tool: False
    return executor


def before_submitting(executor: StudyExecutor, jobs: list[Any]) -> None:
    """Have Slurm check the requests, and cancel what an earlier start left behind.

    Args:
        jobs: Snakemake's jobs that will be submitted.

    Raises:
        SlurmError: Slurm would refuse a job, or jobs of an earlier start do not end.
    """
    age = get_min_job_age()
    if age is not None and age <= LONGEST_PAUSE_S:
        print(
            f"warning: this cluster forgets finished jobs after {age} s (MinJobAge), and Snakemake "
            f"asks only every {LONGEST_PAUSE_S} s at times: it may wait for ever for a finished "
            "job. Ask for a MinJobAge of 300; until then, interrupt and start again",
            file=sys.stderr,
        )
    try_submissions(jobs, executor)
    if num := executor.cancel_left():
        text = f"Cancelled {num} job{'s' * (num > 1)} of an earlier start"
        print(f"{text}; they continue from their checkpoints")


def try_submissions(jobs: Iterable[Any], executor: Any) -> None:
    """Try one job of every rule, with the request that the plugin will send.

    Args:
        jobs: Snakemake's jobs that would be submitted.
        executor: the plugin's.

    Raises:
        SlurmError: Slurm refuses; the message names rule, request and what the cluster has.
    """
    for rule, job in {job.rule.name: job for job in jobs}.items():
        partition = job.resources.get("slurm_partition")
        account = job.resources.get("slurm_account")
        try:
            validate_slurm_extra(job)
            if account:
                validate_account(account, executor.logger)
        except WorkflowError as error:
            raise SlurmError(f"slurm/site.yaml: {error}") from None
        request = {
            "run_uuid": "trial",
            "slurm_logfile": "/dev/null",
            "comment_str": rule,
            "account": f"-A {account}" if account else "",
            "partition": f"-p {partition}" if partition else "",
            "workdir": None,
        }
        settings = executor.workflow.executor_settings
        command = get_submit_command(job, request, settings) + set_gres_string(job)
        try:
            ask("sh", "-c", f"{command} --test-only --wrap true")
        except SlurmError as error:
            said = str(error).removeprefix("sh: ")
            if NOT_NOW in said and has_unusable_nodes(partition):
                continue  # it may fit a node that comes back; Slurm lets it wait
            raise SlurmError(refusal(rule, command, said, partition)) from None


def refusal(rule: str, command: str, said: str, partition: str | None) -> str:
    """The message for a request that Slurm would not take."""
    requested = command.split("--comment", 1)[1].split(" ", 2)[2].strip()
    if partition and not partitions(partition):
        there = [f"partitions of this cluster: {', '.join(sinfo('%R'))}"]
    else:
        found = sinfo("%R: %D nodes, %c CPUs, %m MB, %G, limit %l", partition)
        there = [f"available: {line}" for line in found]
    change = "change slurm/site.yaml, or the command line: --config slurm=..., --set-resources "
    lines = [f"requested: {requested}", *there, f"{change}{rule}:<name>=<value>"]
    return "\n  ".join([f"Slurm would refuse the jobs of rule {rule}: {said}", *lines])


def has_unusable_nodes(partition: str | None) -> bool:
    """Whether some node of the partition takes no jobs at present."""
    return any(word in state for state in sinfo("%T", partition) for word in UNUSABLE)


def failed_by_itself(job: Any) -> bool:
    """Whether a job's log ends with the error of a run, or of all, and not with a loss."""
    try:
        lines = Path(job.log[0]).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return bool(lines) and lines[-1].startswith(("failed: ", "error: "))
