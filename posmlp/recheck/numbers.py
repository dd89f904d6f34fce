"""Numbers of a run that was trained again beside its committed ones, and how far apart they may be.

On the committed run's machine they are the same to the last digit. Elsewhere sums are rounded
differently, and a training goes astray from there as another seed does: accuracies and losses may
be apart as two seeds are.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from posmlp.analysis.collect import CURVE_COLUMNS, METRIC_COLUMNS, RUN_COLUMNS
from posmlp.analysis.inference import rounding_deviation
from posmlp.metrics import TIMES
from posmlp.recheck.derive import Collected
from posmlp.runs.execute import SAME_MACHINE
from posmlp.study import RunConfig

DEVIATIONS = 3  # of the difference of two seeds, that another machine may lead a training astray
ACCURACIES, LOSSES = (
    ("test_top1", "test_top5"),
    ("test_loss",),
)  # ends of names; all other numbers are exact
RUN_NUMBERS = [c for c in METRIC_COLUMNS if c not in ("images_per_s", "wall_s")]
CURVE_NUMBERS = [c for c in CURVE_COLUMNS if c not in ("variant", "seed", "epoch", *TIMES)]
RECORDED_MACHINE = [name for name in SAME_MACHINE if name in RUN_COLUMNS]


@dataclass(frozen=True)
class Number:
    """One number (or text) of a run, as it is committed and as it is now.

    Attributes:
        place: column, and epoch where it has one.
        tolerance: how far apart the two may be; NaN where that is not known.
    """

    run: str
    place: str
    committed: Any
    now: Any
    tolerance: float = 0.0

    @property
    def verdict(self) -> str:
        """equal, within (the tolerance), different, or unknown, for want of a tolerance."""
        if self.committed == self.now or (pd.isna(self.committed) and pd.isna(self.now)):
            return "equal"
        if isinstance(self.now, str) or pd.isna(self.committed) or pd.isna(self.now):
            return "different"
        if np.isnan(self.tolerance):
            return "unknown"
        return "within" if abs(self.committed - self.now) <= self.tolerance else "different"


def other_machine(config: RunConfig, committed: pd.Series, now: pd.Series) -> list[str]:
    """Say what may make a run's numbers differ in their last digits; [] where nothing may."""
    reasons = [
        f"{name} was {committed[name]} and is {now[name]}"
        for name in RECORDED_MACHINE
        if committed[name] != now[name]
    ]
    if now["device"] != now["cpu"] and not config.recipe.deterministic:
        reasons.append("a GPU without recipe.deterministic")
    return reasons


def compare_run(config: RunConfig, committed: Collected, again: Collected) -> list[Number]:
    """Compare all numbers of a run but times: its row of runs.csv and those of its epochs."""
    old, new = (row_of(collected.runs, config) for collected in (committed, again))
    runs, curves = committed.runs.assign(epoch=committed.runs["epochs"]), committed.curves
    if other_machine(config, old, new):
        limits = [tolerances(runs, RUN_NUMBERS, old), tolerances(curves, CURVE_NUMBERS, old)]
    else:
        limits = [pd.DataFrame(), pd.DataFrame()]
    numbers = list(compare_rows(config.name, old, new, RUN_NUMBERS, limits[0], old["epochs"]))
    before, after = (epochs_of(collected.curves, config) for collected in (committed, again))
    numbers.append(Number(config.name, "epochs of its curve", len(before), len(after)))
    for epoch in before.index.intersection(after.index):
        rows = before.loc[epoch], after.loc[epoch]
        numbers += compare_rows(config.name, *rows, CURVE_NUMBERS, limits[1], epoch)
    return numbers


def compare_rows(
    run: str,
    committed: pd.Series,
    now: pd.Series,
    columns: Iterable[str],
    limits: pd.DataFrame,
    epoch: int,
) -> Iterator[Number]:
    """Compare columns of two rows, to the last digit where `limits` (by epoch) has no column."""
    for column in columns:
        tolerance = limits.loc[epoch, column] if column in limits else 0.0
        yield Number(run, f"{column}, epoch {epoch:g}", committed[column], now[column], tolerance)


def row_of(runs: pd.DataFrame, config: RunConfig) -> pd.Series:
    """Return a run's row of runs.csv."""
    return runs[(runs["variant"] == config.variant) & (runs["seed"] == config.seed)].iloc[0]


def epochs_of(curves: pd.DataFrame, config: RunConfig) -> pd.DataFrame:
    """Return a run's rows of curves.csv by epoch."""
    rows = curves[(curves["variant"] == config.variant) & (curves["seed"] == config.seed)]
    return rows.set_index("epoch")


def tolerances(frame: pd.DataFrame, columns: Iterable[str], run: pd.Series) -> pd.DataFrame:
    """Return how far accuracies and losses may be apart on another machine, by epoch.

    That is DEVIATIONS standard deviations of the difference of two seeds of a variant, which for
    accuracies counts as no smaller than rounding to whole images makes it.

    Args:
        frame: one row a variant, seed and epoch.
        columns: those that are no accuracies or losses are left out.
        run: its row of runs.csv.
    """
    columns = [column for column in columns if column.endswith(ACCURACIES + LOSSES)]
    deviation = np.sqrt(2) * seed_spread(frame, columns)
    for column in columns:
        if column.endswith(ACCURACIES):
            num_images = run["num_val" if "val_" in column else "num_test"]
            least = rounding_deviation(num_images) if num_images else np.nan
            deviation[column] = np.maximum(deviation[column], least)
    return DEVIATIONS * deviation


def seed_spread(frame: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Return, by epoch, the standard deviation over seeds within variants, of all variants pooled.

    NaN where no variant has two seeds.
    """
    by_variant = frame.groupby(["variant", "epoch"])[columns]
    squares = (frame[columns] - by_variant.transform("mean")) ** 2
    free = (by_variant.count() - 1).clip(lower=0).groupby("epoch").sum()
    return np.sqrt(squares.groupby(frame["epoch"]).sum() / free.where(free > 0))
