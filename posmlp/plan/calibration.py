"""Calibration: what was measured of a variant's speed, and the file that keeps it."""

import csv
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Calibration:
    """A variant's speed on a kind of machine; the columns of calibration.csv."""

    variant: str
    settings: str  # digest of what was measured, see speed_settings
    device: str  # name of the GPU or CPU
    processes: int
    threads: int
    start_s: float  # process, imports, data and network: before the first step
    step_s: float  # of training, all processes together
    test_image_s: float
    num_steps: int  # an epoch
    num_test: int  # test and validation images, after every epoch
    checkpoint_mb: float
    weights_mb: float
    device_mb: float | None  # most memory in use on a GPU

    def seconds(self, epochs: int, averaged: bool) -> float:
        """Training for `epochs` and testing after each, `averaged` weights too; without the start.

        It is what `wall_s` is of a finished run.
        """
        tests = self.num_test * self.test_image_s * (2 if averaged else 1)
        return epochs * (self.num_steps * self.step_s + tests)

    @property
    def disk_mb(self) -> float:
        """What a finished run leaves: two checkpoints, and its weights."""
        return 2 * self.checkpoint_mb + self.weights_mb


def read_calibrations(path: Path) -> list[Calibration]:
    """The measurements in a file, the latest last; none where there is no file."""
    if not path.exists():
        return []
    kinds = {field.name: field.type for field in fields(Calibration)}
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Calibration(**{name: typed(text, kinds[name]) for name, text in row.items()})
            for row in csv.DictReader(file)
        ]


def typed(text: str, kind: Any) -> Any:
    if kind in (str, int, float):
        return kind(text)
    return float(text) if text else None
