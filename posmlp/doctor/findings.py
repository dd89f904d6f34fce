"""The result of a check: a verdict, what was found and what to do about it."""

import os
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """Outcome of a check; only FAILED makes the command fail."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "FAILED"
    SKIPPED = "not checked"


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Args:
        text: one or two sentences.
        advice: what to do next; printed unless the verdict is OK.
    """

    verdict: Verdict
    text: str
    advice: str = ""


def num_cores() -> int:
    """Count the cores available to this process; on a cluster, those of the job."""
    return len(os.sched_getaffinity(0))
