"""What a check gives: a verdict in words, and what to do about it."""

import os
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What a check found; FAILED alone makes the command fail."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "FAILED"
    SKIPPED = "not checked"


@dataclass(frozen=True)
class Finding:
    """A verdict in words.

    Args:
        text: what was found, one or two sentences.
        advice: what to do next; not told where all is well.
    """

    verdict: Verdict
    text: str
    advice: str = ""


def num_cores() -> int:
    """Count the cores that this process may use, which on a cluster are the job's."""
    return len(os.sched_getaffinity(0))
