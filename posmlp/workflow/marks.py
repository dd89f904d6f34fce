"""Marks: files that tell Snakemake which jobs have trained all their runs.

A mark is only a cache of what the run folders say. A start repeats the jobs of those that no longer
hold, and these train what is missing. Snakemake deletes the outputs of a failed job, so these are
never files of a run.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from posmlp.runs.reading import is_finished
from posmlp.study import RunConfig


def old_marks(
    marks: Iterable[Path], packs: Iterable[Sequence[RunConfig]], results: Path
) -> Iterator[Path]:
    """Find the mark of each pack with a run that is not finished, or was after the mark."""
    for mark, runs in zip(marks, packs, strict=True):
        try:
            marked = mark.stat().st_mtime_ns
        except OSError:
            continue
        if not all(_finished_before(marked, run, results) for run in runs):
            yield mark


def _finished_before(moment_ns: int, run: RunConfig, results: Path) -> bool:
    folder = run.folder(results)
    try:
        finished = (folder / "metrics.json").stat().st_mtime_ns
    except OSError:
        return False
    return finished <= moment_ns and is_finished(folder, run.key)
