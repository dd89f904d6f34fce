"""Calibration: the measured speed of a variant, and the file that keeps it."""

import csv
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from posmlp.runs.run_folder import write_atomically
from posmlp.study import Study


class Calibration(BaseModel):
    """What a run of a variant takes on one kind of machine; a row of calibration.csv."""

    model_config = ConfigDict(extra="forbid")

    variant: str
    settings: str  # RunConfig.speed_key of what was measured
    device: str  # name of the GPU or CPU
    processes: int
    threads: int
    start_s: float  # from the start of the process to the first step
    run_s: float  # training and testing of all epochs, as `wall_s` of a run
    disk_mb: float  # two checkpoints and the weights


def fitting(calibrations: Iterable[Calibration], study: Study) -> dict[str, Calibration]:
    """The latest calibration of each variant, by name; those of other settings are left out."""
    latest = {row.variant: row for row in calibrations}
    return {
        name: latest[name]
        for name, config in study.configs.items()
        if name in latest and latest[name].settings == config.speed_key
    }


def read_calibrations(path: Path) -> list[Calibration]:
    """Read calibration.csv, the latest row last; empty where there is no file.

    Raises:
        ValueError: the file is damaged.
    """
    if not path.exists():
        return []
    try:
        lines = path.read_text("utf-8").splitlines()
        return [Calibration(**row) for row in csv.DictReader(lines)]
    except (TypeError, ValueError):
        raise ValueError(f"{path}: damaged; delete it and calibrate again") from None


def write_calibrations(path: Path, new: list[Calibration]) -> None:
    """Add measurements to calibration.csv, in place of earlier ones on the same kind of machine."""
    import pandas as pd  # half a second

    table = pd.DataFrame(row.model_dump() for row in [*read_calibrations(path), *new])
    table = table.drop_duplicates(["variant", "device", "processes", "threads"], keep="last")
    write_atomically(path, lambda file: table.to_csv(file, index=False))
