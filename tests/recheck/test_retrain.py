"""The runs that are drawn, and what of a table of runs is not the present study's."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from posmlp.recheck.derive import Collected
from posmlp.recheck.retrain import draw_runs, stale
from posmlp.study import load_study

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def digits() -> Collected:
    return Collected.read(load_study(ROOT / "config/studies/digits.yaml"), ROOT / "results")


def test_a_seed_draws_the_same_runs_and_another_others(digits):
    names = [[run.name for run in draw_runs(digits, 4, seed)] for seed in (0, 0, 1)]
    assert names[0] == names[1] != names[2]
    assert len(set(names[0])) == 4


def test_every_run_can_be_drawn_and_one_is_of_a_first_seed(digits):
    drawn = [draw_runs(digits, 2, seed) for seed in range(400)]
    first = digits.study.seeds[0]
    assert all(any(run.seed == first for run in runs) for runs in drawn)
    counts = Counter(run.name for runs in drawn for run in runs)
    assert counts.keys() == {run.name for run in digits.study.runs()}


def test_only_finished_runs_are_drawn_and_no_more_than_there_are(read):
    collected = read()
    runs = collected.runs.assign(top1=[float("nan"), 50.0])
    collected = replace(collected, runs=runs)
    assert [run.variant for run in draw_runs(collected, 9, 0)] == ["gqpe"]


def test_the_committed_runs_are_of_the_present_study_and_code(digits):
    assert stale(digits) == []


def test_a_claim_that_has_changed_since_is_named(read):
    collected = read()
    runs = collected.runs.assign(claim=["The reference", "Another form"])
    (fault,) = stale(replace(collected, runs=runs))
    assert fault.startswith("runs.csv: claim of gqpe seed 0: committed 'Another form', the study")
    assert fault.endswith("now says 'A form'; collect again: snakemake")
