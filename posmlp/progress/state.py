"""Watch: the state of every run of a study, read again and again at little cost."""

import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from posmlp.runs.folder_lock import PATIENCE_S, is_dead, read_holder
from posmlp.runs.reading import read_history, read_json
from posmlp.study import RunConfig, Study

# States of a run, in the words that people read.
DONE, RUNNING, FAILED, STOPPED, WAITING = "finished", "in training", "failed", "stopped", "waiting"
PRIOR_S = 20.0  # for which every run in training is taken to have kept pace before it is measured


@dataclass
class Run:
    """A run and what its folder says of it."""

    name: str
    variant: str
    num_epochs: int
    state: str = WAITING
    epochs: int = 0  # that have ended
    epoch_s: float = 0.0  # mean of these
    top1: float | None = None  # test_top1 of the last epoch that was tested
    images_per_s: float | None = None
    error: str = ""
    changed: float = 0.0  # when its last epoch was first seen, on this process's clock

    def trained_s(self, now: float) -> float:
        """Seconds of training behind it, with the part of the epoch that it is in."""
        whole = self.epochs * self.epoch_s
        if self.state != RUNNING:
            return whole
        return whole + min(now - self.changed, self.epoch_s)


@dataclass
class Progress:
    """A study at one moment."""

    study: str
    runs: list[Run]
    elapsed_s: float  # since the watch began
    left_s: float | None  # None: not known yet

    def of(self, state: str) -> list[Run]:
        return [run for run in self.runs if run.state == state]

    @property
    def counts(self) -> Counter[str]:
        """Numbers of runs by state."""
        return Counter(run.state for run in self.runs)

    @property
    def is_over(self) -> bool:
        """Whether every run has finished or failed."""
        return all(run.state in (DONE, FAILED) for run in self.runs)

    @property
    def fraction(self) -> float:
        """Of all epochs, those that have ended."""
        return sum(run.epochs for run in self.runs) / sum(run.num_epochs for run in self.runs)

    def top1_of_variants(self) -> dict[str, tuple[int, list[float]]]:
        """By variant: its number of runs, and the top-1 of those that have finished."""
        found: dict[str, tuple[int, list[float]]] = {}
        for run in self.runs:
            number, values = found.get(run.variant, (0, []))
            if run.state == DONE:
                values.append(run.top1)
            found[run.variant] = number + 1, values
        return found


@dataclass
class _Seen:
    """What was last seen of a run folder."""

    config: RunConfig
    run: Run
    stamp: tuple[int, ...] = ()  # times of the folder and its lock
    old_error: int = 0  # time of an error.json that this start of the study does away with
    holder: dict[str, Any] = field(default_factory=dict)
    alive: float = 0.0  # when the holder gave its last sign of life, on our clock


class Watch:
    """Follows the runs of a study.

    A look lists the variants' folders and asks the file system for the times of unfinished runs.
    Files are read where these have changed; those of a finished run once.

    Args:
        starting: a start of the study, which trains again what has failed before.
        clock: seconds, from any moment on.
    """

    def __init__(
        self,
        study: Study,
        results: Path,
        *,
        starting: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.study, self.clock, self.starting = study, clock, starting
        self.seen = {
            run.folder(results): _Seen(run, Run(run.name, run.variant, run.recipe.num_epochs))
            for run in study.runs()
        }
        self.unfinished = dict(self.seen)
        self.began: float | None = None
        self.trained_before = 0.0

    def look(self) -> Progress:
        """Read what has changed since the last look."""
        now = self.clock()
        listed = {parent: _names(parent) for parent in {path.parent for path in self.unfinished}}
        for path, seen in list(self.unfinished.items()):
            if path.name in listed[path.parent]:
                self.read(path, seen, now)
            if seen.run.state == DONE:
                del self.unfinished[path]
        runs = [seen.run for seen in self.seen.values()]
        if self.began is None:
            self.began, self.trained_before = now, sum(run.trained_s(now) for run in runs)
        return Progress(self.study.name, runs, now - self.began, self.left_s(runs, now))

    def read(self, path: Path, seen: _Seen, now: float) -> None:
        """Bring one run up to date."""
        stamp = tuple(_time(file) for file in (path, path / ".lock"))
        run, running = seen.run, seen.run.state == RUNNING
        if stamp == seen.stamp:
            if running and not self.is_alive(path, seen, now):
                run.state = STOPPED
            return
        seen.stamp = stamp
        try:
            metrics = read_json(path / "metrics.json")
            if metrics.get("key") == seen.config.key:
                run.state, run.epochs = DONE, run.num_epochs
                run.epoch_s = metrics["wall_s"] / run.num_epochs
                run.top1, run.images_per_s = metrics["test_top1"], metrics["images_per_s"]
                return
            alive = self.is_alive(path, seen, now)
            if seen.config.key not in (path / "config.yaml").read_text("utf-8"):
                run.state = RUNNING if alive else WAITING  # what is there is of other settings
                return
            error = path / "error.json"
            if self.starting and self.began is None:
                seen.old_error = _time(error)
            is_new = _time(error) != seen.old_error
            run.error = read_json(error).get("error", "") if is_new else ""
            run.state = FAILED if run.error else RUNNING if alive else STOPPED
            self.read_epochs(path, run, now)
        except (OSError, ValueError, KeyError):  # half written or damaged: whoever uses it says so
            return

    def read_epochs(self, path: Path, run: Run, now: float) -> None:
        """Read the epochs that have ended."""
        if not (path / "history.csv").exists():
            return
        rows = read_history(path / "history.csv")
        if len(rows) != run.epochs:
            run.epochs, run.changed = len(rows), now
            run.epoch_s = fmean(row["epoch_s"] for row in rows)
            run.images_per_s = rows[-1]["images_per_s"]
            run.top1 = next((r["test_top1"] for r in reversed(rows) if r["test_top1"]), None)

    def is_alive(self, path: Path, seen: _Seen, now: float) -> bool:
        """Whether a process trains there, by its lock; on another machine, by its heartbeat."""
        holder = read_holder(path / ".lock")
        if holder != seen.holder:
            seen.holder, seen.alive = holder, now
        return bool(holder) and not is_dead(holder) and now - seen.alive < PATIENCE_S

    def left_s(self, runs: list[Run], now: float) -> float | None:
        """Seconds until the last run ends, at the pace so far.

        A run that has not begun takes as long as others of its variant, or else as all others. The
        pace is seconds of training per second: runs side by side make it larger, waiting in a queue
        and starting up make it smaller.
        """
        known: dict[str, list[float]] = {}
        for run in runs:
            if run.epochs:
                known.setdefault(run.variant, []).append(run.epoch_s * run.num_epochs)
        if not known:
            return None
        means = {variant: fmean(times) for variant, times in known.items()}
        typical = fmean(means.values())
        trained = sum(run.trained_s(now) for run in runs)
        total = sum(
            run.trained_s(now) if run.state in (DONE, FAILED) else means.get(run.variant, typical)
            for run in runs
        )
        running = sum(run.state == RUNNING for run in runs)
        gained, elapsed = trained - self.trained_before, now - self.began
        pace = (gained + PRIOR_S * running) / (elapsed + PRIOR_S)
        return (total - trained) / pace if pace > 0 else None


def _names(folder: Path) -> set[str]:
    """What a folder holds; nothing where there is none."""
    try:
        return set(os.listdir(folder))
    except OSError:
        return set()


def _time(path: Path) -> int:
    """When a file was last written, in nanoseconds of its machine's clock; 0: it is missing."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0
