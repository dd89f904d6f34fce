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
    """A variant's runs, how many are done, and what one of them takes."""

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

    From the variant's finished runs, or from its latest calibration where none has finished.
    """
    measured = fitting(calibrations, study)
    return [_estimate(study, name, results, measured.get(name)) for name in study.configs]


def _estimate(
    study: Study, variant: str, results: Path, calibration: Calibration | None
) -> Estimate:
    runs = [study.run(variant, seed) for seed in study.seeds]
    times = [wall_s for run in runs if (wall_s := _wall_seconds(run.folder(results), run.key))]
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


def _wall_seconds(folder: Path, key: str) -> float | None:
    """Time of the finished run with this key; None where there is none."""
    try:
        metrics = read_json(folder / "metrics.json")
    except ValueError as error:
        raise ValueError(f"{folder}: {error}; delete the file to train this run again") from None
    return metrics.get("wall_s") if metrics.get("key") == key else None


def wall_seconds(estimates: Iterable[Estimate], at_once: int) -> float:
    """Time for the runs that are left, `at_once` side by side, longest first."""
    times = [e.seconds for e in estimates if e.seconds for _ in range(e.num_left)]
    ends = [0.0] * max(1, min(at_once, len(times)))
    for seconds in sorted(times, reverse=True):
        heapq.heapreplace(ends, ends[0] + seconds)
    return max(ends)
