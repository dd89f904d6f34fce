"""Watch: the state of every run of a study, cheap to read repeatedly."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, Self

from posmlp.runs.folder_lock import PATIENCE_S, is_dead, read_holder
from posmlp.runs.reading import finished_metrics, modified_ns, read_history, read_json
from posmlp.study import Study

# States of a run, as they are printed.
DONE, RUNNING, FAILED, STOPPED, WAITING = "finished", "in training", "failed", "stopped", "waiting"


@dataclass
class Run:
    """A run, and what has been read from its folder."""

    name: str
    variant: str
    num_epochs: int
    state: str = WAITING
    epochs: int = 0  # finished epochs
    epoch_s: float = 0.0  # their mean duration
    top1: float | None = None  # test_top1 of the last evaluated epoch
    images_per_s: float | None = None
    error: str = ""
    folder: Path = Path()
    key: str = ""
    stamp: tuple[int, int] = (0, 0)  # modification times of the folder and its lock
    old_error: int = 0  # modification time of an error.json from before this start
    holder: dict[str, Any] = field(default_factory=dict)
    alive: float = 0.0  # when the last heartbeat was seen, on our clock


class Watch:
    """The runs of a study as of the last look.

    A look reads the modification times of unfinished runs, and their files only after a change.

    Args:
        starting: whether this is a start of the study, which retrains failed runs.
        clock: a monotonic clock in seconds.
    """

    def __init__(
        self,
        study: Study,
        results: Path,
        *,
        starting: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.clock, self.starting = study.name, clock, starting
        self.runs: list[Run] = []
        for config in study.runs():
            run = Run(config.name, config.variant, config.recipe.num_epochs)
            run.folder, run.key = config.folder(results), config.key
            run.old_error = modified_ns(run.folder / "error.json") if starting else 0
            self.runs.append(run)
        self.began, self.elapsed_s = clock(), 0.0

    def of(self, state: str) -> list[Run]:
        return [run for run in self.runs if run.state == state]

    @property
    def is_over(self) -> bool:
        """Whether every run has finished or failed."""
        return all(run.state in (DONE, FAILED) for run in self.runs)

    @property
    def fraction(self) -> float:
        """Finished epochs over all epochs."""
        return sum(run.epochs for run in self.runs) / sum(run.num_epochs for run in self.runs)

    def look(self) -> Self:
        """Read what has changed since the last look."""
        now = self.clock()
        for run in self.runs:
            if run.state != DONE:
                self.read(run, now)
        self.elapsed_s = now - self.began
        return self

    def read(self, run: Run, now: float) -> None:
        """Update one run."""
        stamp = modified_ns(run.folder), modified_ns(run.folder / ".lock")
        if stamp == run.stamp:
            if run.state == RUNNING and not self.is_alive(run, now):
                run.state = STOPPED
            return
        run.stamp = stamp
        with suppress(OSError, ValueError, KeyError):  # half written or damaged; reported elsewhere
            if metrics := finished_metrics(run.folder, run.key):
                run.state, run.epochs = DONE, run.num_epochs
                run.epoch_s = metrics["wall_s"] / run.num_epochs
                run.top1, run.images_per_s = metrics["test_top1"], metrics["images_per_s"]
                return
            alive = self.is_alive(run, now)
            if run.key not in (run.folder / "config.yaml").read_text("utf-8"):
                run.state = RUNNING if alive else WAITING  # the files are of other settings
                return
            error = run.folder / "error.json"
            is_new = modified_ns(error) != run.old_error
            run.error = read_json(error).get("error", "") if is_new else ""
            run.state = FAILED if run.error else RUNNING if alive else STOPPED
            rows = read_history(run.folder / "history.csv")
            run.epochs, run.epoch_s = len(rows), fmean(row["epoch_s"] for row in rows)
            run.images_per_s = rows[-1]["images_per_s"]
            run.top1 = next((r["test_top1"] for r in reversed(rows) if r["test_top1"]), None)

    def is_alive(self, run: Run, now: float) -> bool:
        """Whether a process holds the lock; on another machine, whether its heartbeat changes."""
        holder = read_holder(run.folder / ".lock")
        if holder != run.holder:
            run.holder, run.alive = holder, now
        return bool(holder) and not is_dead(holder) and now - run.alive < PATIENCE_S

    @property
    def left_s(self) -> float | None:
        """Estimated seconds until the last run ends; None if unknown.

        Assumes that as many runs train side by side as now. A run without a finished epoch gets the
        mean duration of its variant's epochs, or else of all epochs.
        """
        known: dict[str, list[float]] = {}
        for run in self.runs:
            if run.epochs:
                known.setdefault(run.variant, []).append(run.epoch_s)
        at_once = len(self.of(RUNNING))
        if not known or not at_once:
            return None
        means = {variant: fmean(times) for variant, times in known.items()}
        typical = fmean(means.values())
        left = sum(
            (run.num_epochs - run.epochs) * (run.epoch_s or means.get(run.variant, typical))
            for run in self.runs
            if run.state not in (DONE, FAILED)
        )
        return left / at_once
