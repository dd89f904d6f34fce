"""Ask Slurm whether it would take a workflow's jobs, before the first is submitted."""

from collections.abc import Iterable
from typing import Any

from snakemake_executor_plugin_slurm.accounts import validate_account
from snakemake_executor_plugin_slurm.submit_string import get_submit_command
from snakemake_executor_plugin_slurm.utils import set_gres_string
from snakemake_executor_plugin_slurm.validation import validate_slurm_extra
from snakemake_interface_common.exceptions import WorkflowError

from posmlp.slurm.commands import SlurmError, ask, partitions, sinfo

NOT_NOW = "Requested node configuration is not available"  # also where nodes are down
UNUSABLE = ("down", "drain", "fail", "maint", "unk", "power", "no_respond", "reboot", "reserved")


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
