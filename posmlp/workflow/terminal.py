"""What a start of Snakemake prints: a line for each job and every error, nothing of its machinery.

All that Snakemake says is in the log file that it names at the end, and on the terminal with
`--verbose` or `--printshellcmds`.
"""

import logging
import time
from typing import Any

from snakemake.logging import DefaultFormatter
from snakemake_interface_logger_plugins.common import LogEvent

from posmlp.workflow.session import failures

KEPT = ("Complete log(s)", "Nothing to be done")
# Said better by the run itself and by the summary at the end.
DROPPED = ("RuleException", "Exiting because", "WorkflowError:\nAt least one job did not complete")


class ShortFilter(logging.Filter):
    """Drop messages about Snakemake's machinery."""

    def __init__(self, workflow: Any) -> None:
        super().__init__()
        self.workflow = workflow

    def filter(self, record: logging.LogRecord) -> bool:
        text, event = str(record.msg or ""), getattr(record, "event", None)
        if event is LogEvent.JOB_ERROR:
            return not self.workflow.local_exec  # here the job itself has said it
        if event is LogEvent.JOB_INFO:
            return True
        if record.levelno >= logging.WARNING:
            return not text.startswith(DROPPED)
        return text.startswith(KEPT)


class ShortFormatter(DefaultFormatter):
    """One line for a job that starts or fails."""

    def format_job_info(self, msg: dict[str, Any]) -> str:
        return f"{time.strftime('%H:%M:%S')} {msg['rule_msg'] or msg['rule_name']}"

    def format_job_error(self, msg: dict[str, Any]) -> str:
        return "\n".join(failures(msg["rule_name"], list(msg["log"] or [])))


def shorten(workflow: Any) -> None:
    """Make the terminal of a workflow brief, unless more was asked for."""
    settings = workflow.output_settings
    if settings.dryrun or settings.verbose or settings.printshellcmds:
        return
    for handler in workflow.logger_manager.logger.handlers:
        if handler.name == "DefaultStreamHandler":
            handler.addFilter(ShortFilter(workflow))
            handler.setFormatter(ShortFormatter())
