"""A check, and what it looks at."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from posmlp import metrics
from posmlp.study import Study

TRAIN_AGAIN = "train these runs again: delete their metrics.json and start the study again"
RUN = ["variant", "seed"]
CHECKED_CURVES = (  # the columns of curves.csv that checks look at
    *("variant", "seed", "epoch", "lr", "train_loss"),
    *(metric.name for metric in metrics.EVALUATED),
)


@dataclass(frozen=True)
class Results:
    """What is checked: a study, its runs (RUN_COLUMNS) and their curves (CHECKED_CURVES)."""

    study: Study
    runs: pd.DataFrame
    curves: pd.DataFrame

    @cached_property
    def finished(self) -> pd.DataFrame:
        """The runs of known variants that have an accuracy."""
        known = self.runs["variant"].isin(self.study.configs)
        return self.runs[known & self.runs["test_top1"].notna()]

    @cached_property
    def epochs(self) -> pd.DataFrame:
        """The curves, with names as categories: grouping millions of texts is slow and large."""
        return self.curves.astype({"variant": "category"})

    @cached_property
    def histories(self) -> pd.DataFrame:
        """By (variant, seed): the row of the last epoch, num_epochs, first_train_loss."""
        by_run = self.epochs.groupby(RUN, sort=False, observed=True)
        run_R, row_R = by_run.ngroup().to_numpy(), np.arange(len(self.curves))
        first, last = np.empty((2, by_run.ngroups), dtype=int)
        last[run_R] = row_R
        first[run_R[::-1]] = row_R[::-1]
        histories = self.curves.iloc[last].set_index(RUN)
        histories["num_epochs"] = np.bincount(run_R, minlength=len(last))
        histories["first_train_loss"] = self.curves["train_loss"].to_numpy()[first]
        return histories

    def epochs_of_variants(self) -> Iterator[tuple[str, pd.DataFrame]]:
        """Every variant of the study with its rows of the curves."""
        for variant, rows in self.epochs.groupby("variant", sort=False, observed=True):
            if variant in self.study.configs:
                yield variant, rows


@dataclass(frozen=True)
class Check:
    """What must hold, what to do otherwise, and the function that finds faults."""

    claim: str
    remedy: str
    find: Callable[[Results], Iterable[str]]


def check(claim: str, remedy: str) -> Callable[[Callable[[Results], Iterable[str]]], Check]:
    """Make a check of a function that yields a line for each fault it finds."""
    return lambda find: Check(claim, remedy, find)


def name(variant: str, seed: int) -> str:
    """The name of a run in messages."""
    return f"{variant} seed {seed}"


def names(rows: pd.DataFrame, most: int = 5) -> str:
    """The names of the runs in `rows`, the first of many."""
    runs = [name(*run) for run in zip(rows["variant"], rows["seed"], strict=True)]
    more = f" and {len(runs) - most} more" if len(runs) > most else ""
    return f"{', '.join(runs[:most])}{more}"
