"""What is left to do of a study, and how long it will take."""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from posmlp.plan.calibration import Calibration, fitting
from posmlp.runs.reading import read_json
from posmlp.study import Study


@dataclass(frozen=True)
class Estimate:
    """A variant's runs: how many there are, how many are done, and what one of them takes."""

    variant: str
    num_runs: int
    num_done: int
    seconds: float | None  # of one run; None: never measured
    source: str
    disk_mb: float | None  # of one run

    @property
    def num_left(self) -> int:
        return self.num_runs - self.num_done


def estimate(study: Study, results: Path, calibrations: Iterable[Calibration]) -> list[Estimate]:
    """Estimate every variant, in the order of the sheet.

    A variant's finished runs say best how long the others take; before there is one, its latest
    calibration does.
    """
    measured = fitting(calibrations, study)
    return [variant_estimate(study, name, results, measured.get(name)) for name in study.configs]


def variant_estimate(
    study: Study, variant: str, results: Path, calibration: Calibration | None
) -> Estimate:
    runs = [study.run(variant, seed) for seed in study.seeds]
    found = {run.key: read_json(run.folder(results) / "metrics.json") for run in runs}
    times = [metrics["wall_s"] for key, metrics in found.items() if metrics.get("key") == key]
    start_s = calibration.start_s if calibration else 0.0
    seconds, source = None, "not measured"
    if times:
        seconds = start_s + sum(times) / len(times)
        source = f"{len(times)} finished run{'s' * (len(times) > 1)}"
    elif calibration:
        seconds = start_s + calibration.run_seconds(study.configs[variant])
        source = f"calibration on {calibration.device}"
        if calibration.processes > 1:
            source += f", {calibration.processes} processes"
    disk = calibration.disk_mb if calibration else None
    return Estimate(variant, len(runs), len(times), seconds, source, disk)


def wall_seconds(estimates: Iterable[Estimate], at_once: int) -> float:
    """How long the runs that are left take with so many at a time, longest first."""
    times = [e.seconds for e in estimates if e.seconds for _ in range(e.num_left)]
    ends = [0.0] * max(1, min(at_once, len(times)))
    for seconds in sorted(times, reverse=True):
        heapq.heapreplace(ends, ends[0] + seconds)
    return max(ends)
