"""What a check is, and what it looks at."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from posmlp.study import Study

TRAIN_AGAIN = "train these runs again: delete their metrics.json, then `snakemake`"
RUN = ["variant", "seed"]
CHECKED_CURVES = (  # the columns of curves.csv that checks look at
    *("variant", "seed", "epoch", "lr", "train_loss", "test_loss", "test_top1", "test_top5"),
    *("ema_test_loss", "ema_test_top1", "ema_test_top5"),
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
        """By (variant, seed): the row of the last epoch, num_epochs, in_order, first_train_loss.

        in_order says whether the epochs are 0, 1, 2, ... in this order.
        """
        by_run = self.epochs.groupby(RUN, sort=False, observed=True)
        run_R, place_R = by_run.ngroup().to_numpy(), np.arange(len(self.curves))
        first, last = np.empty((2, by_run.ngroups), dtype=int)
        last[run_R] = place_R
        first[run_R[::-1]] = place_R[::-1]
        histories = self.curves.iloc[last].set_index(RUN)
        histories["num_epochs"] = np.bincount(run_R, minlength=len(last))
        wrong_R = (self.curves["epoch"] != by_run.cumcount()).to_numpy()
        histories["in_order"] = ~np.isin(np.arange(len(last)), run_R[wrong_R])
        histories["first_train_loss"] = self.curves["train_loss"].to_numpy()[first]
        return histories

    def epochs_of_variants(self) -> Iterator[tuple[str, pd.DataFrame]]:
        """Give every variant of the study with its rows of the curves."""
        for variant, rows in self.epochs.groupby("variant", sort=False, observed=True):
            if variant in self.study.configs:
                yield variant, rows


@dataclass(frozen=True)
class Check:
    """What must hold, what to do where it does not, and the function that finds out."""

    claim: str
    remedy: str
    find: Callable[[Results], Iterable[str]]


def check(claim: str, remedy: str) -> Callable[[Callable[[Results], Iterable[str]]], Check]:
    """Make a check of a function that yields a line for each run, or runs, at fault."""
    return lambda find: Check(claim, remedy, find)


def name(variant: str, seed: int) -> str:
    """Return what a run is called."""
    return f"{variant} seed {seed}"


def names(rows: pd.DataFrame, most: int = 5) -> str:
    """Return what the runs in `rows` are called, the first ones of many."""
    runs = [name(*run) for run in zip(rows["variant"], rows["seed"], strict=True)]
    more = f" and {len(runs) - most} more" if len(runs) > most else ""
    return f"{', '.join(runs[:most])}{more}"
