"""Time pieces of work: alone, in pairs, and their memory on a GPU."""

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

Work = Callable[[], Any]
SECONDS = 2.0  # of repetitions to measure a rate


@dataclass(frozen=True)
class Comparison:
    """Speed-up of one piece of work over another: median and quartiles of paired repetitions."""

    ratio: float
    low: float
    high: float
    ours_s: float  # medians
    other_s: float


def seconds(work: Work, clock: Callable[[], float] = time.perf_counter) -> float:
    """Time a piece of work, including what it started on the GPU."""
    began = clock()
    work()
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return clock() - began


def rate(work: Work, num_images: int, least_s: float = SECONDS) -> float:
    """Images per second: one warm-up, then repetitions for at least `least_s` seconds."""
    seconds(work)
    times = []
    while sum(times) < least_s:
        times.append(seconds(work))
    return num_images * len(times) / sum(times)


def compare(
    ours: Work, other: Work, repetitions: int, timer: Callable[[Work], float] = seconds
) -> Comparison:
    """Time both alternately, so that other load on the machine slows both.

    Args:
        repetitions: timed pairs, after one warm-up of each.
        timer: times a piece of work.
    """
    timer(ours), timer(other)
    gc.collect()
    pairs = []
    for i in range(repetitions):
        order = (ours, other) if i % 2 else (other, ours)
        took = {work: timer(work) for work in order}
        pairs.append((took[ours], took[other]))
    ratios = [other_s / ours_s for ours_s, other_s in pairs]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    ours_s, other_s = (statistics.median(column) for column in zip(*pairs, strict=True))
    return Comparison(middle, low, high, ours_s, other_s)


def peak_memory(work: Work) -> int:
    """Peak GPU memory in bytes that a piece of work adds to what is in use."""
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    work()
    return torch.cuda.max_memory_allocated() - before
