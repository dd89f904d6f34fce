"""The committed tables as DataFrames."""

import shutil

import pytest
from committed import ROOT

import posmlp


def test_tables_have_their_types_and_agree_with_each_other():
    found = posmlp.load_results("digits_shift", ROOT / "results")
    mean = found.runs.groupby("variant")["test_top1"].mean()
    assert found.comparison["test_top1_mean"].to_dict() == pytest.approx(mean.to_dict())
    last = found.curves.groupby(["variant", "seed"]).last()
    assert sorted(last["test_top1"]) == sorted(found.runs["test_top1"])
    assert set(found.comparison["groups"]) >= {"", "16"}  # text, as in the sheet
    assert posmlp.load_results("digits_switches", ROOT / "results").answers.empty  # it asks nothing
    assert set(found.answers["verdict"]) <= {"superior", "non-inferior", "inferior", "inconclusive"}


def test_an_unknown_study_names_those_with_results(tmp_path):
    with pytest.raises(ValueError, match=r"digits, .*make reproduce STUDY=mnist"):
        posmlp.load_results("mnist", ROOT / "results")
    shutil.copytree(ROOT / "results/digits", tmp_path / "digits")
    (tmp_path / "digits/tables/questions.csv").unlink()
    with pytest.raises(ValueError, match=r"tables/questions.csv: no such file"):
        posmlp.load_results("digits", tmp_path)
