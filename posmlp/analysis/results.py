"""The tables of a study as DataFrames."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from posmlp.analysis.collect import ResultsError, read_frame


@dataclass(frozen=True, eq=False)
class Results:
    """The tables of a finished study.

    Attributes:
        runs: runs.csv, a row per run: settings, final metrics, provenance.
        curves: curves.csv, a row per run and epoch.
        comparison: tables/variants.csv, indexed by variant: mean, standard deviation and half width
            of the 95% interval of every metric, and the difference from the variant it is compared
            with.
        answers: tables/questions.csv, a row per contrast of the study's questions.
    """

    runs: pd.DataFrame
    curves: pd.DataFrame
    comparison: pd.DataFrame
    answers: pd.DataFrame


def load_results(study: str, results: str | Path = "results") -> Results:
    """Read the tables of a study.

    Args:
        study: its name.
        results: the folder with a folder per study.

    Raises:
        ResultsError: the study has no results there, or they are damaged.
    """
    folder = Path(results) / study
    if not folder.is_dir():
        found = ", ".join(sorted(path.parent.name for path in Path(results).glob("*/runs.csv")))
        raise ResultsError(
            f"{folder}: no such folder; {results} has results of: {found or 'no study'}. "
            f"`make reproduce STUDY={study}` makes them"
        )
    return Results(
        runs=read_frame(folder / "runs.csv"),
        curves=read_frame(folder / "curves.csv"),
        comparison=read_frame(folder / "tables/variants.csv").set_index("variant"),
        answers=read_frame(folder / "tables/questions.csv"),
    )
