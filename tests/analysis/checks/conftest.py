"""The results of a sound study, to be spoilt in one way at a time."""

from collections.abc import Callable

import pytest

from posmlp.analysis.checks import CHECKED_CURVES, Check, Results
from posmlp.analysis.collect import find_runs, read_frame, runs_frame, write_curves

MIXING = {"sgu": [4160] * 3, "gqpe": [88] * 3}  # N^2 + N and 6 s + N of 64 tokens, 4 groups


@pytest.fixture
def results(study, finish_run, tmp_path) -> Results:
    for run in study.runs():
        layers = MIXING[run.model["gate"]]
        sizes = {"token_mixing_params_per_layer": layers, "token_mixing_params": sum(layers)}
        finish_run(run, **sizes)
    finished = find_runs(study, tmp_path / "results")
    write_curves(finished, tmp_path / "curves.csv")
    curves = read_frame(tmp_path / "curves.csv", CHECKED_CURVES)
    return Results(study, runs_frame(study, finished), curves)


@pytest.fixture
def problems(results: Results) -> Callable[[Check], list[str]]:
    """Return what a check finds; before anything is spoilt that is nothing."""

    def find(check: Check, spoilt: Results = results) -> list[str]:
        return list(check.find(spoilt))

    return find
