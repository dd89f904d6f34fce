import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from posmlp.analysis.contrasts import compare, rounding_variance
from posmlp.analysis.statistics import answer, by_seed, summarise
from posmlp.study import Question, Study

ROOT = Path(__file__).parents[2]
T_975_OF_2 = 4.302652729911275  # Student's t, 2 degrees of freedom, from a printed table
TOP1 = {
    "a": [90.0, 91.0, 92.0],
    "b": [95.0, 96.4, 97.0],
    "a_few": [70.0, 70.5, 72.0],
    "b_few": [80.0, 81.5, 81.0],
}


def asking(study: Study, *contrasts: str, claim: str = "superior", margin: float | None = None):
    question = Question(ask="Which?", claim=claim, contrasts=list(contrasts))
    return replace(study, questions=(question,), margin=margin)


def test_means_and_spreads_by_hand(runs_of):
    runs = runs_of({"ref": [90.0, 91.0, 92.0], "up": [92.0, 93.5, 93.0]})
    runs["images_per_s"] = [10.0, 1000.0, 11.0] * 2
    row = summarise(runs, "ref").iloc[0]
    assert (row["variant"], row["n"], row["num_seeds"]) == ("ref", 3, 3)
    assert (row["test_top1_mean"], row["test_top1_std"]) == (91.0, 1.0)
    assert row["test_top1_half_width"] == pytest.approx(T_975_OF_2 / np.sqrt(3))
    assert row["images_per_s"] == 11.0
    assert row["mixing_fraction"] == pytest.approx(0.02)


def test_rows_are_compared_with_what_the_sheet_says(runs_of):
    runs = runs_of({"ref": [90.0, 91.0], "b": [80.0, 81.5], "c": [82.0, 83.0], "d": [70.0, 72.0]})
    runs["against"] = runs["variant"].map({"ref": "", "b": "", "c": "b", "d": "none"})
    runs["params"] = runs["variant"].map({"ref": 1000, "b": 800, "c": 1200, "d": 5})
    summary = summarise(runs, "ref", level=0.1).set_index("variant")
    assert summary["against"].tolist() == ["", "ref", "b", ""]
    assert summary["removed_fraction"].tolist()[1:3] == pytest.approx([0.2, -0.5])
    assert summary["removed_fraction"].isna().tolist() == [True, False, False, True]
    assert summary["test_top1_difference"].isna().tolist() == [True, False, False, True]
    expected = compare(by_seed(runs, "test_top1"), ["c - b"], 0.1, rounding_variance(10_000)).iloc[
        0
    ]
    for name in ("difference", "p_value"):
        assert summary.loc["c", f"test_top1_{name}"] == expected[name]
    assert summary.loc["c", "test_top1_difference_half_width"] == expected["half_width"]


def test_claims_are_adjusted_over_all_contrasts_and_unproven_ones_get_a_verdict(runs_of, study):
    contrasts = ["b - a", "a - b", "b_few - a_few - b + a"]
    found = answer(runs_of(TOP1), asking(study, *contrasts))
    assert found["verdict"].tolist() == ["superior", "inferior", "superior"]
    assert found["p_value"][1] == 1
    assert (found["p_adjusted"] >= found["p_value"]).all()
    assert found["p_adjusted"][0] == pytest.approx(3 * found["p_value"].min())


@pytest.mark.parametrize(
    ("margin", "claim", "verdict"),
    [
        (2.0, "non-inferior", "non-inferior"),
        (2.0, "superior", "non-inferior"),  # the interval says so, whatever was claimed
        (0.2, "non-inferior", "inconclusive"),
    ],
)
def test_verdicts_use_the_margin(runs_of, study, margin, claim, verdict):
    runs = runs_of({"a": [90.0, 90.6, 90.3, 90.2], "b": [90.2, 90.1, 90.4, 90.3]})
    asked = asking(study, "b - a", claim=claim, margin=margin)
    assert answer(runs, asked)["verdict"].tolist() == [verdict]


def test_one_seed_gives_no_verdict_and_no_question_no_answer(runs_of, study):
    runs = runs_of({"a": [90.0], "b": [91.0]})
    row = answer(runs, asking(study, "b - a")).iloc[0]
    assert (row["difference"], row["verdict"]) == (1.0, "")
    assert np.isnan(row["p_adjusted"])
    assert answer(runs, study).empty


ROW = 'Score("top5", "%", top_k(5)),'
PROGRAM = """
import importlib.util, sys
spec = importlib.util.find_spec("posmlp.metrics")
source = spec.loader.get_source("posmlp.metrics")
assert {row!r} in source
module = importlib.util.module_from_spec(spec)
sys.modules["posmlp.metrics"] = module
new = {row!r}.replace("5", "3")
exec(compile(source.replace({row!r}, {row!r} + new), "metrics.py", "exec"), module.__dict__)
import posmlp
posmlp.metrics = module
from pathlib import Path
from posmlp.analysis.collect import *
from posmlp.analysis.main_table import tables
from posmlp.analysis.statistics import Evidence
from posmlp.study import load_study
study, here = load_study({study!r}), Path({results!r})
found = find_runs(study, here)
write_frame(runs_frame(study, found), here / "runs.csv")
write_curves(found, here / "curves.csv")
runs, curves = read_frame(here / "runs.csv"), read_frame(here / "curves.csv")
assert runs["test_top3"].tolist() == [98.5] * 9
assert curves["test_top3"].notna().all()
evidence = Evidence(study, runs)
assert "test_top3_mean" in tables(evidence)["variants"].to_csv()
"""


def test_a_new_score_appears_everywhere_without_another_edit(study, finish_run, tmp_path):
    for run in study.runs():
        folder = finish_run(run, test_top3=98.5)
        lines = pd.read_csv(folder / "history.csv")
        for position, name in ((8, "test"), (12, "ema_test"), (16, "val"), (20, "ema_val")):
            lines.insert(position - 1, f"{name}_top3", 98.5 if name == "test" else np.nan)
        lines.to_csv(folder / "history.csv", index=False, lineterminator="\n")
    program = PROGRAM.format(row=ROW, study=str(study.files[0]), results=str(tmp_path / "results"))
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
