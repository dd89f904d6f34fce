"""Timing two things beside each other, and what the machine could do at best meanwhile."""

import gc
import re
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

Work = Callable[[], object]


@dataclass(frozen=True)
class Comparison:
    """How many times faster ours is than the other: median and quartiles of paired repetitions."""

    ratio: float
    low: float
    high: float
    ours_s: float  # medians
    other_s: float


def compare(
    ours: Work, other: Work, repetitions: int, clock: Callable[[Work], float] | None = None
) -> Comparison:
    """Time both in turn, so that whatever else the machine does slows down both.

    Args:
        repetitions: timed pairs, after one of each that is not.
        clock: times a piece of work; None: `seconds`.
    """
    clock = clock or seconds
    ours(), other()
    gc.collect()
    pairs = []
    for i in range(repetitions):
        order = (ours, other) if i % 2 else (other, ours)
        took = {work: clock(work) for work in order}
        pairs.append((took[ours], took[other]))
    low, middle, high = quartiles([b / a for a, b in pairs])
    ours_s, other_s = (statistics.median(column) for column in zip(*pairs, strict=True))
    return Comparison(middle, low, high, ours_s, other_s)


def seconds(work: Work) -> float:
    """Time a piece of work; on one thread in CPU seconds, which other processes take no part in."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    started = clock()
    work()
    return clock() - started


def quartiles(values: list[float]) -> list[float]:
    return statistics.quantiles(values, n=4, method="inclusive")


def operations(work: Work) -> int:
    """Return the floating-point operations of matrix products and convolutions."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def matmul_rate(dtype: torch.dtype, size: int = 1536) -> float:
    """Return the operations a second of a large square product."""
    a = torch.randn(size, size).to(dtype)
    a @ a
    return 2 * size**3 / min(seconds(lambda: a @ a) for _ in range(7))


def copy_bandwidth(megabytes: int = 256) -> float:
    """Return the bytes a second, read and written, of a copy that no cache holds."""
    a = torch.randn(megabytes << 18)
    b = torch.empty_like(a)
    b.copy_(a)
    return 2 * 4 * a.numel() / min(seconds(lambda: b.copy_(a)) for _ in range(5))


def processor() -> str:
    """Return the processor's name and how many cores this process computes on."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.+)", info.read_text()) if info.exists() else None
    threads = torch.get_num_threads()
    return f"{found[1].strip() if found else 'CPU'}, {threads} thread{'s' if threads > 1 else ''}"
