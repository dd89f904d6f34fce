"""Calibration: what was measured of a variant's speed, and the file that keeps it."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from posmlp.study import RunConfig, Study


@dataclass(frozen=True)
class Calibration:
    """A variant's speed on a kind of machine; the columns of calibration.csv."""

    variant: str
    settings: str  # RunConfig.speed_key of what was measured
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

    def run_seconds(self, config: RunConfig) -> float:
        """The same for a run with these settings."""
        return self.seconds(config.recipe.num_epochs, config.recipe.ema_decay is not None)

    @property
    def disk_mb(self) -> float:
        """What a finished run leaves: two checkpoints, and its weights."""
        return 2 * self.checkpoint_mb + self.weights_mb


def fitting(calibrations: Iterable[Calibration], study: Study) -> dict[str, Calibration]:
    """The latest calibration of each variant, by its name; those of other settings left out."""
    latest = {row.variant: row for row in calibrations}
    return {
        name: latest[name]
        for name, config in study.configs.items()
        if name in latest and latest[name].settings == config.speed_key
    }


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
