"""Run the checks of `posmlp doctor`, the slowest last."""

import os
import signal
import textwrap
from collections.abc import Callable
from functools import partial

import torch

from posmlp import __version__
from posmlp.code_version import cpu_name
from posmlp.doctor import machine, precision, speed, training
from posmlp.doctor.findings import Finding, Verdict, num_cores

Check = Callable[[torch.device], Finding]
CHECKS: dict[str, Check] = {
    "versions": machine.versions,
    "GPUs": machine.gpus,
    **{name: partial(precision.compare, name) for name in precision.TOLERANCES},
    "training and resume": training.exact_resume,
    "long windows": speed.long_windows,
    "speed": speed.training_and_decoding,
    "several GPUs": training.several_devices,
    "runs at once": speed.runs_at_once,
    "torch.compile": training.compiled,
}
LIMIT_S = 120  # per check


def diagnose(device_type: str) -> bool:
    """Check this machine and print the findings; return whether none has failed.

    Args:
        device_type: "cpu", "cuda", or "auto" for a GPU if there is one.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
    if device_type == "auto":
        device_type = "cuda" if torch.cuda.is_available() else "cpu"
    if device_type == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: torch finds no GPU here; omit it to check the CPU")
    if device_type == "cpu":
        torch.set_num_threads(1)  # like runs, which get one core each
    hardware = torch.cuda.get_device_name() if device_type == "cuda" else cpu_name()
    print(f"posmlp {__version__} on {hardware}, {num_cores()} CPU cores", flush=True)
    verdicts = []
    for name, check in CHECKS.items():
        finding = checked(check, torch.device(device_type))
        verdicts.append(finding.verdict)
        print(lines(name, finding), flush=True)
    print(", ".join(f"{verdicts.count(v)} {v}" for v in Verdict if v in verdicts))
    return Verdict.FAILED not in verdicts


def checked(check: Check, device: torch.device) -> Finding:
    """Run a check for at most LIMIT_S seconds; an exception is a finding too."""

    def stop(*_) -> None:
        raise TimeoutError(f"not finished after {LIMIT_S} s")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT_S)
    try:
        return check(device)
    except TimeoutError as error:
        advice = "See what else is running on this machine (nvidia-smi, top) and run doctor again."
        return Finding(Verdict.FAILED, str(error), advice)
    except Exception as error:  # the next check may still be informative
        first_line = str(error).strip().partition("\n")[0]
        advice = (
            "Search the release notes of the versions above for this error. torch.compile also "
        )
        advice += "fails with a damaged cache: set TORCHINDUCTOR_CACHE_DIR to a new folder."
        return Finding(Verdict.FAILED, f"{type(error).__name__}: {first_line}", advice)
    finally:
        signal.alarm(0)


def lines(name: str, finding: Finding) -> str:
    """Lay a finding out for a terminal of 100 columns."""
    head = f"{finding.verdict:<12}{name:<22}"
    paragraphs = [finding.text]
    if finding.advice and finding.verdict != Verdict.OK:
        paragraphs.append(f"-> {finding.advice}")
    wrapped = "\n".join(textwrap.fill(text, 100 - len(head)) for text in paragraphs)
    return head + textwrap.indent(wrapped, " " * len(head)).lstrip()
