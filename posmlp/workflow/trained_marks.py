"""Marks: files that tell Snakemake which jobs have trained all their runs.

A mark only caches what the run folders say. A start repeats the jobs of outdated marks, and these
train the missing runs. Snakemake deletes the outputs of a failed job; the files of runs are
therefore not outputs.

Deleting an outdated mark would not repeat its job: Snakemake does not recreate a missing file while
everything made from it is up to date. So the job has an input, `<mark>.again`. It is newer than an
outdated mark, and otherwise older than any file.
"""

import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from posmlp.runs.reading import finished_metrics, modified_ns
from posmlp.study import RunConfig


def update_inputs(
    marks: Iterable[Path], packs: Iterable[Sequence[RunConfig]], results: Path
) -> None:
    """Date the input `<mark>.again` of each job: new if not all its runs were finished at the mark.

    Raises:
        ValueError: the folder cannot be written.
    """
    for mark, runs in zip(marks, packs, strict=True):
        again = Path(f"{mark}.again")
        marked = modified_ns(mark)
        is_valid = not marked or all(_finished_before(marked, run, results) for run in runs)
        if is_valid and again.exists() and not modified_ns(again):
            continue  # saves a start from writing thousands of files
        try:
            again.parent.mkdir(parents=True, exist_ok=True)
            # New content too, because Snakemake compares the content of small files.
            again.write_text("" if is_valid else f"{time.time_ns()}\n")
            if is_valid:
                os.utime(again, (0, 0))
        except OSError as error:
            raise ValueError(f"{again.parent}: cannot be written: {error.strerror}") from None


def _finished_before(moment_ns: int, run: RunConfig, results: Path) -> bool:
    folder = run.folder(results)
    finished = modified_ns(folder / "metrics.json")
    return 0 < finished <= moment_ns and bool(finished_metrics(folder, run.key))
