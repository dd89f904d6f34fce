"""What a start of Snakemake prints: a line for each job except trainings, and every error.

posmlp/progress shows the progress of trainings. All messages of Snakemake are in the log file that
it names at the end, and on the terminal with `--verbose` or `--printshellcmds`.
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
# The run itself and the final summary say these better.
DROPPED = ("RuleException", "Exiting because", "WorkflowError:\nAt least one job did not complete")


class ShortHandler(logging.Handler):
    """Replaces the handler with which Snakemake writes on the terminal.

    `--quiet` alone does not do: it leaves a banner of fifteen lines for every failed job, or hides
    the jobs altogether.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Leave out what Snakemake says of itself, and what the display of runs shows."""
        text, event = str(record.msg or ""), getattr(record, "event", None)
        if event is LogEvent.JOB_ERROR:
            return False  # the job has printed it, or the display of runs; the summary repeats it
        if event is LogEvent.JOB_INFO:  # without a message: `all`, which only names files
            wanted = bool(record.rule_msg) and record.rule_name != "train"
        elif record.levelno >= logging.WARNING:
            wanted = not text.startswith(DROPPED)
        else:
            wanted = text.startswith(KEPT)
        return wanted and super().filter(record)

    def emit(self, record: logging.LogRecord) -> None:
        text = str(record.msg)
        if getattr(record, "event", None) is LogEvent.JOB_INFO:
            text = f"{time.strftime('%H:%M:%S')} {record.rule_msg}"
        with contextlib.suppress(OSError):
            print(text, file=sys.stderr, flush=True)  # where the live table may have redirected it


def is_verbose(workflow: Any) -> bool:
    """Whether the user asked for Snakemake's own messages."""
    settings = workflow.output_settings
    return settings.dryrun or settings.verbose or settings.printshellcmds


def is_quiet(workflow: Any) -> bool:
    return Quietness.ALL in (workflow.output_settings.quiet or ())


def shorten(workflow: Any) -> None:
    """Make the output of a start brief, unless the user asked for more."""
    if not workflow.is_main_process or not workflow.modifier.is_main_snakefile():
        return  # a job, or a module of another workflow
    logger = workflow.logger_manager.logger
    for handler in [*logger.handlers]:
        if handler.name == "DefaultStreamHandler" and not is_verbose(workflow):
            short = ShortHandler()
            for own in handler.filters:  # those of --quiet
                short.addFilter(own)
            logger.removeHandler(handler)
            logger.addHandler(short)


def failures(rule: str, logs: Sequence[str]) -> list[str]:
    """A line for each run that a job could not train, or else one for the job: reason and log."""
    if not logs:
        return [f"failed: {rule}"]
    log = Path(logs[0])
    with contextlib.suppress(OSError):
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        if found := [line for line in lines if line.startswith(("failed: ", "lost: "))]:
            return found
    return [f"failed: {log.stem}: {reason(log)} (log: {log})"]
