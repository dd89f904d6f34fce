"""Timings in CPU seconds where possible, peak rates of the machine, and files of measurements."""

import json
import re
import time
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from posmlp.code_version import cpu_name
from posmlp.doctor import timing
from posmlp.doctor.timing import Work


def seconds(work: Work) -> float:
    """Time a piece of work: in CPU seconds on one CPU thread, unaffected by other processes."""
    one_thread = torch.get_num_threads() == 1 and not torch.cuda.is_available()
    return timing.seconds(work, time.process_time if one_thread else time.perf_counter)


def operations(work: Work) -> int:
    """Count the floating-point operations of matrix products and convolutions."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def matmul_rate(dtype: torch.dtype, device: str) -> float:
    """Floating-point operations per second of a large square matrix product."""
    size = 1536 if device == "cpu" else 8192
    a = torch.randn(size, size, device=device).to(dtype)
    seconds(lambda: a @ a)
    return 2 * size**3 / min(seconds(lambda: a @ a) for _ in range(7))


def copy_bandwidth(device: str) -> float:
    """Bytes per second, read and written, of a copy too large for any cache."""
    megabytes = 256 if device == "cpu" else 2048
    a = torch.randn(megabytes << 18, device=device)
    b = torch.empty_like(a)
    seconds(lambda: b.copy_(a))
    return 2 * 4 * a.numel() / min(seconds(lambda: b.copy_(a)) for _ in range(5))


def hardware() -> str:
    """Name of the GPU, or processor, instruction set that torch uses and threads."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    threads = torch.get_num_threads()
    instructions = torch.backends.cpu.get_cpu_capability()
    return f"{cpu_name()}, {instructions}, {threads} thread{'s' if threads > 1 else ''}"


def once(ratio: float) -> dict:
    """A ratio measured once, without spread."""
    return dict(ratio=ratio, low=ratio, high=ratio)


def rounded(values: dict) -> dict:
    """Round to four decimals, more than any timing is accurate to."""
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in values.items()}


def write(content: dict, folder: Path) -> None:
    """Write measurements to the file named after their hardware."""
    folder.mkdir(parents=True, exist_ok=True)
    path_of(content["hardware"], folder).write_text(json.dumps(content, indent=1) + "\n")


def path_of(hardware: str, folder: Path) -> Path:
    return folder / (re.sub(r"\W+", "-", hardware.lower()) + ".json")
