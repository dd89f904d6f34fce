"""Paired timings, and the rates that the machine reaches at best."""

import gc
import json
import re
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import torch
from torch.utils.flop_counter import FlopCounterMode

from posmlp.code_version import cpu_name
from posmlp.doctor.speed import Work
from posmlp.layers import mixing


@dataclass(frozen=True)
class Comparison:
    """Speed-up of ours over the other: median and quartiles of paired repetitions."""

    ratio: float
    low: float
    high: float
    ours_s: float  # medians
    other_s: float


def compare(
    ours: Work, other: Work, repetitions: int, clock: Callable[[Work], float]
) -> Comparison:
    """Time both in turn, so that other load on the machine slows both.

    Args:
        repetitions: timed pairs, after one warm-up of each.
        clock: times a piece of work.
    """
    clock(ours), clock(other)
    gc.collect()
    pairs = []
    for i in range(repetitions):
        order = (ours, other) if i % 2 else (other, ours)
        took = {work: clock(work) for work in order}
        pairs.append((took[ours], took[other]))
    ratios = [other_s / ours_s for ours_s, other_s in pairs]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    ours_s, other_s = (statistics.median(column) for column in zip(*pairs, strict=True))
    return Comparison(middle, low, high, ours_s, other_s)


def seconds(work: Work) -> float:
    """Time a piece of work, to its end on the GPU where there is one.

    On one CPU thread these are CPU seconds, which other processes do not count towards.
    """
    on_gpu = torch.cuda.is_available()
    clock = time.process_time if torch.get_num_threads() == 1 and not on_gpu else time.perf_counter
    started = clock()
    work()
    if on_gpu:
        torch.cuda.synchronize()
    return clock() - started


def operations(work: Work) -> int:
    """Count the floating-point operations of matrix products and convolutions.

    Mixing counts as the product with its map, also where a convolution takes fewer.
    """
    with by_map(), FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def by_map() -> AbstractContextManager:
    """Let every layer mix with its map, however large its window is."""
    return mock.patch.object(mixing, "holds_numbers", return_value=False)


def matmul_rate(dtype: torch.dtype, device: str) -> float:
    """Operations per second of a large square product."""
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
    """Name of the GPU, or of the processor, its instructions that torch uses, and threads."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    threads = torch.get_num_threads()
    instructions = torch.backends.cpu.get_cpu_capability()
    return f"{cpu_name()}, {instructions}, {threads} thread{'s' if threads > 1 else ''}"


def once(ratio: float) -> dict:
    """A ratio that was measured once."""
    return dict(ratio=ratio, low=ratio, high=ratio)


def rounded(values: dict) -> dict:
    """Round to four decimals, more than a timing is good for."""
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in values.items()}


def write(content: dict, folder: Path) -> None:
    """Write measurements to the file named for their hardware."""
    folder.mkdir(parents=True, exist_ok=True)
    path_of(content["hardware"], folder).write_text(json.dumps(content, indent=1) + "\n")


def path_of(hardware: str, folder: Path) -> Path:
    return folder / (re.sub(r"\W+", "-", hardware.lower()) + ".json")
