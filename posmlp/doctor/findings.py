"""Checks in order: each returns a Finding, which is printed at once and written as JSON."""

import json
import os
import textwrap
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch

from posmlp import __version__
from posmlp.code_version import cpu_name


class Verdict(StrEnum):
    """What a check found; FAILED alone makes the command fail."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "FAILED"
    SKIPPED = "not checked"


@dataclass(frozen=True)
class Finding:
    """A verdict in words, and what to do about it.

    Args:
        text: what was found, one or two sentences.
        advice: what to do next; empty where there is nothing to do.
        values: the measurements behind it, for JSON.
    """

    verdict: Verdict
    text: str
    advice: str = ""
    values: dict[str, Any] = field(default_factory=dict)


Check = Callable[[torch.device], Finding]


def examine(checks: dict[str, Check], device: torch.device, file: Path | None = None) -> bool:
    """Run the checks on a device; return whether none has failed.

    Args:
        file: takes all findings as JSON; written after every check, so that a job that is cut off
            leaves what it found.
    """
    on_gpu = device.type == "cuda"
    hardware = torch.cuda.get_device_name(device) if on_gpu else cpu_name()
    print(f"posmlp {__version__} on {hardware}", flush=True)
    report = {"posmlp": __version__, "hardware": hardware, "device": device.type, "findings": []}
    for name, check in checks.items():
        began = time.perf_counter()
        finding = checked(check, device)
        took = {"check": name, "seconds": round(time.perf_counter() - began, 1)}
        report["findings"].append(took | asdict(finding))
        print(lines(name, finding), flush=True)
        if file:
            file.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    verdicts = [found["verdict"] for found in report["findings"]]
    print(", ".join(f"{verdicts.count(v)} {v}" for v in Verdict if v in verdicts))
    return Verdict.FAILED not in verdicts


def checked(check: Check, device: torch.device) -> Finding:
    """Run a check; an error of any library is a finding too."""
    try:
        return check(device)
    except Exception as error:  # the next check may still tell something
        first_line = str(error).strip().partition("\n")[0]
        advice = "Look for this error in the notes of the versions named above."
        return Finding(Verdict.FAILED, f"{type(error).__name__}: {first_line}", advice)


def lines(name: str, finding: Finding) -> str:
    """Lay a finding out for a terminal of 100 columns."""
    head = f"{finding.verdict:<12}{name:<22}"
    advice = f"\n-> {finding.advice}" if finding.advice else ""
    paragraphs = f"{finding.text}{advice}".split("\n")
    indent = " " * len(head)
    wrapped = [textwrap.wrap(text, 100 - len(head)) for text in paragraphs]
    return head + f"\n{indent}".join(line for paragraph in wrapped for line in paragraph)


def num_cores() -> int:
    """Count the cores that this process may use, which on a cluster are the job's."""
    return len(os.sched_getaffinity(0))
