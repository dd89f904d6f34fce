"""What a start of Snakemake prints: a line for each job but trainings, and every error.

How far the trainings are is posmlp/progress's to show. All that Snakemake says is in the log file
that it names at the end, and on the terminal with `--verbose` or `--printshellcmds`.
"""

import contextlib
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from snakemake.settings.enums import Quietness
from snakemake_interface_logger_plugins.common import LogEvent

from posmlp.runs.pack import reason

KEPT = ("Complete log(s)", "Nothing to be done")
# Said better by the run itself and by the summary at the end.
DROPPED = ("RuleException", "Exiting because", "WorkflowError:\nAt least one job did not complete")


class ShortHandler(logging.StreamHandler):
    """Takes the place of the handler with which Snakemake writes on the terminal."""

    def __init__(self, workflow: Any) -> None:
        super().__init__(sys.stderr)
        self.workflow = workflow
        self.addFilter(self.keeps)

    def keeps(self, record: logging.LogRecord) -> bool:
        """Leave out Snakemake's machinery and what the display of runs shows."""
        text, event = str(record.msg or ""), getattr(record, "event", None)
        if event is LogEvent.JOB_ERROR:
            return not self.workflow.local_exec  # here the job itself has said it
        if event is LogEvent.JOB_INFO:
            return bool(record.rule_msg) and record.rule_name != "train"  # not `all`, a mere target
        if record.levelno >= logging.WARNING:
            return not text.startswith(DROPPED)
        return text.startswith(KEPT)

    def format(self, record: logging.LogRecord) -> str:
        event = getattr(record, "event", None)
        if event is LogEvent.JOB_INFO:
            return f"{time.strftime('%H:%M:%S')} {record.rule_msg}"
        if event is LogEvent.JOB_ERROR:
            return "\n".join(failures(record.rule_name, list(record.log or [])))
        return str(record.msg)


def wants_more(workflow: Any) -> bool:
    """Whether the user asked for what Snakemake says of itself."""
    settings = workflow.output_settings
    return settings.dryrun or settings.verbose or settings.printshellcmds


def wants_nothing(workflow: Any) -> bool:
    return Quietness.ALL in (workflow.output_settings.quiet or ())


def shorten(workflow: Any) -> None:
    """Make the terminal of a start brief, unless more was asked for."""
    if not workflow.is_main_process or not workflow.modifier.is_main_snakefile():
        return  # a job, or a module of another workflow
    logger = workflow.logger_manager.logger
    for handler in [*logger.handlers]:
        if handler.name == "DefaultStreamHandler" and not wants_more(workflow):
            short = ShortHandler(workflow)
            for own in handler.filters:  # what --quiet leaves out
                short.addFilter(own)
            logger.removeHandler(handler)
            logger.addHandler(short)


def failures(rule: str, logs: Sequence[str]) -> list[str]:
    """A line for each run that a job could not train, or else one on the job: why, and its log."""
    if not logs:
        return [f"failed: {rule}"]
    log = Path(logs[0])
    with contextlib.suppress(OSError):
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        if found := [line for line in lines if line.startswith(("failed: ", "lost: "))]:
            return found
    return [
        f"failed: {rule if rule == log.stem else f'{rule} {log.stem}'}: {reason(log)} (log: {log})"
    ]
