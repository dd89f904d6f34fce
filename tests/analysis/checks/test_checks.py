from dataclasses import replace
from pathlib import Path

import pytest

from posmlp.analysis.checks import CHECKED_CURVES, CHECKS, Results, run_checks, table
from posmlp.analysis.collect import ResultsError, read_frame
from posmlp.study import load_study

ROOT = Path(__file__).parents[3]
COMMITTED = ("digits", "digits_switches", "fashion", "fashion_tuning")


def test_sound_results_pass_every_check(results):
    report = run_checks(results)
    assert report.startswith("## Checks of three\n\nAll 9 passed, for 9 of 9 runs (3 variants)")
    assert "code version 12e4" in report
    for check in CHECKS:
        assert f"- {check.claim}.\n" in report


def test_a_failure_says_which_check_which_runs_why_and_what_to_do(results):
    runs = results.runs.copy()
    runs.loc[2, "code_version"] = "ffff"
    runs.loc[1, "test_top1"] = 5.0
    with pytest.raises(ResultsError) as error:
        run_checks(Results(results.study, runs, results.curves))
    text = str(error.value)
    assert text.startswith("study three is not finished: 3 of 9 checks of its results failed.\n")
    assert f"  Not true: {table.better_than_guessing.claim}.\n    sgu seed 1: top-1 5.00 %" in text
    assert "    ffff: sgu seed 2\n    To do: train these runs again" in text


def test_of_many_runs_at_fault_the_first_are_named(results):
    runs = results.runs.assign(test_top1=5.0)
    copies = runs.loc[runs.index.repeat(3)]
    with pytest.raises(ResultsError, match="and 17 more\n    To do"):
        run_checks(Results(results.study, copies, results.curves))


def test_the_report_names_exceptions(results, study):
    lax = replace(study, may_not_learn=("sgu",))
    report = run_checks(Results(lax, results.runs, results.curves))
    assert "Exceptions:\n\n- May learn nothing: sgu.\n" in report


@pytest.mark.parametrize("name", COMMITTED)
def test_committed_results_pass(name):
    here = ROOT / "results" / name
    runs = read_frame(here / "runs.csv")
    curves = read_frame(here / "curves.csv", CHECKED_CURVES)
    study = load_study(name, ROOT / "config/studies")
    assert run_checks(Results(study, runs, curves)) == (here / "checks.md").read_text()
