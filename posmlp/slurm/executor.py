"""Snakemake's Slurm executor with readable job names and workarounds for its faults.

Written for version 2.8 of snakemake-executor-plugin-slurm. Jobs are named study/variant/seed<k>,
with +9 for nine more runs. Their comment is the results folder, by which a later start finds jobs
that an earlier one left behind.
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

MAX_INTERVAL_S = 180  # between two status queries of the plugin
CANCEL_TIMEOUT_S = 120.0  # for cancelled jobs to write a checkpoint and exit
NOT_AVAILABLE = "Requested node configuration is not available"  # also if nodes are down
UNUSABLE = ("down", "drain", "fail", "maint", "unk", "power", "no_respond", "reboot", "reserved")


class StudyExecutor(plugin.Executor):
    """The plugin's executor; `adapt` fills it in."""

    study: str
    results: str  # absolute path
    packs: Sequence[Sequence[RunConfig]]  # the runs of each job that trains
    submitted: list[str]  # numbers of jobs

    def report_job_submission(self, job_info: Any, register_job: bool = True) -> None:
        self.submitted.append(job_info.external_jobid)
        name = self.name_of(job_info.job)
        # One write, because threads submit at the same time.
        sys.stderr.write(f"Slurm job {job_info.external_jobid}: {name}\n")
        super().report_job_submission(job_info, register_job)

    def report_job_error(self, job_info: Any, msg: str | None = None, **details: Any) -> None:
        """Allow no further attempt if a run itself failed: it would only fail again."""
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
        """Cancel queued jobs of this study and results folder, and wait until they are gone.

        A cancelled training writes a checkpoint, from which its next job resumes.

        Returns:
            The number of cancelled jobs.

        Raises:
            SlurmError: Slurm does not answer, or jobs are still there after CANCEL_TIMEOUT_S.
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
        end = time.monotonic() + CANCEL_TIMEOUT_S
        while still := numbers & {job.number for job in my_jobs()}:
            if time.monotonic() > end:
                raise SlurmError(
                    f"these jobs of the study are still in the queue: {' '.join(sorted(still))}. "
                    "Check them with squeue and cancel them with scancel"
                )
            time.sleep(1.0)
        return len(numbers)


def adapt(
    workflow: Any, study: str, results: Path, packs: Sequence[Sequence[RunConfig]]
) -> StudyExecutor:
    """Turn a workflow's executor into a StudyExecutor."""
    executor = workflow.scheduler._executor
    executor.__class__ = StudyExecutor
    executor.study, executor.packs = study, packs
    executor.results, executor.submitted = str(results.absolute()), []
    executor.slurm_logdir = results.absolute() / "logs/slurm"
    # The plugin gives all jobs the same random name and queries by it.
    plugin.query_job_status_squeue = lambda name: (
        "squeue --me --states=all --noheader --format=%i|%T"
    )
    command = plugin.get_submit_command

    def named(job: Any, params: dict[str, Any], *arguments: Any, **options: Any) -> str:
        names = {"run_uuid": executor.name_of(job), "comment_str": executor.results}
        return command(job, params | names, *arguments, **options)

    plugin.get_submit_command = named
    # Without an answer from the controller the plugin would switch to sacct, which finds no jobs by
    # that name, or has no accounting to read.
    plugin.is_query_tool_available = lambda tool: False
    return executor


def before_submitting(executor: StudyExecutor, jobs: list[Any]) -> None:
    """Have Slurm check the requests, and cancel jobs that an earlier start left behind.

    Args:
        jobs: Snakemake's jobs that will be submitted.

    Raises:
        SlurmError: Slurm would refuse a job, or jobs of an earlier start cannot be cancelled.
    """
    age = get_min_job_age()
    if age is not None and age <= MAX_INTERVAL_S:
        print(
            f"warning: this cluster forgets finished jobs after {age} s (MinJobAge), but Snakemake "
            f"may query it only every {MAX_INTERVAL_S} s: it may wait forever for a finished job. "
            "Ask your administrators for MinJobAge=300; until then, if a start hangs, press Ctrl-C "
            "and start again",
            file=sys.stderr,
        )
    try_submissions(jobs, executor)
    if num := executor.cancel_left():
        jobs_text = f"{num} job{'s' * (num > 1)} of an earlier start"
        print(f"Cancelled {jobs_text}; runs resume from their checkpoints", file=sys.stderr)


def try_submissions(jobs: Iterable[Any], executor: Any) -> None:
    """Have Slurm test one job per rule, with the request that the plugin will send.

    Args:
        jobs: Snakemake's jobs that will be submitted.
        executor: the plugin's executor.

    Raises:
        SlurmError: Slurm refuses; the message has the rule, the request and what is available.
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
            reason = str(error).removeprefix("sh: ")
            if NOT_AVAILABLE in reason and has_unusable_nodes(partition):
                continue  # it may fit a node that comes back; until then Slurm keeps it queued
            raise SlurmError(refusal(rule, command, reason, partition)) from None


def refusal(rule: str, command: str, reason: str, partition: str | None) -> str:
    """The error message for a request that Slurm refuses."""
    requested = command.split("--comment", 1)[1].split(" ", 2)[2].strip()
    if partition and not partitions(partition):
        there = [f"partitions of this cluster: {', '.join(sinfo('%R'))}"]
    else:
        found = sinfo("%R: %D nodes, %c CPUs, %m MB, %G, limit %l", partition)
        there = [f"available: {line}" for line in found]
    change = "change slurm/site.yaml, or the command line: --config slurm=..., --set-resources "
    lines = [f"requested: {requested}", *there, f"{change}{rule}:<name>=<value>"]
    return "\n  ".join([f"Slurm would refuse the jobs of rule {rule}: {reason}", *lines])


def has_unusable_nodes(partition: str | None) -> bool:
    """Whether a node of the partition is down, drained or reserved."""
    return any(word in state for state in sinfo("%T", partition) for word in UNUSABLE)


def failed_by_itself(job: Any) -> bool:
    """Whether a job's log ends with an error of its runs; lost runs end it differently."""
    try:
        lines = Path(job.log[0]).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return bool(lines) and lines[-1].startswith(("failed: ", "error: "))
