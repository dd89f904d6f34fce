"""Marks: files that tell Snakemake which jobs have trained all their runs.

A mark is only a cache of what the run folders say. A start repeats the jobs of those that no longer
hold, and these train what is missing. Snakemake deletes the outputs of a failed job, so these are
never files of a run.

Removing a mark would not repeat its job: Snakemake makes no missing file again while all that
follows from it is up to date. So the job has an input, `<mark>.again`, which is newer than a mark
that does not hold, and otherwise older than anything.
"""

import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from posmlp.runs.reading import is_finished, modified_ns
from posmlp.study import RunConfig


def ask_again(marks: Iterable[Path], packs: Iterable[Sequence[RunConfig]], results: Path) -> None:
    """Date the input of each pack's job by whether all its runs were finished before the mark.

    Raises:
        ValueError: the folder cannot be written.
    """
    for mark, runs in zip(marks, packs, strict=True):
        again = Path(f"{mark}.again")
        marked = modified_ns(mark)
        holds = not marked or all(_finished_before(marked, run, results) for run in runs)
        if holds and again.exists() and not modified_ns(again):
            continue  # thousands of jobs, and a start would write a file for each
        try:
            again.parent.mkdir(parents=True, exist_ok=True)
            # by its content too: Snakemake compares that of small files
            again.write_text("" if holds else f"{time.time_ns()}\n")
            if holds:
                os.utime(again, (0, 0))
        except OSError as error:
            raise ValueError(f"{again.parent}: cannot be written: {error.strerror}") from None


def _finished_before(moment_ns: int, run: RunConfig, results: Path) -> bool:
    folder = run.folder(results)
    finished = modified_ns(folder / "metrics.json")
    return 0 < finished <= moment_ns and is_finished(folder, run.key)
