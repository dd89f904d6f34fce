"""`posmlp check-results` on sound and on spoilt results."""

import re
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from checkout import SHEET, STUDY

from posmlp import metrics, recheck
from posmlp.analysis.collect import (
    RUN_COLUMNS,
    ResultsError,
    collect_predictions,
    find_runs,
    read_frame,
    write_frame,
)
from posmlp.analysis.predictions import write_predictions
from posmlp.cli import DIFFERENT, main
from posmlp.recheck import compare_rows, difference, draw_runs, seed_limits
from posmlp.runs.execute import execute
from posmlp.runs.interrupts import Interrupts
from posmlp.study import load_study
from posmlp.training.distributed import World
from posmlp.user_errors import FAILED

pytestmark = pytest.mark.xdist_group("recheck")


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """A folder with tiny.yaml, its run folders, and its results as the workflow makes them."""
    root = tmp_path_factory.mktemp("tiny")
    (root / "tiny.yaml").write_text(STUDY)
    (root / "tiny.tsv").write_text(SHEET)
    study, results = load_study(root / "tiny.yaml"), root / "results"
    for run in study.runs():
        execute(run, results, root, World(torch.device("cpu")), "train", Interrupts(10))
    (results / "tiny").mkdir()
    tables = recheck.tables_of(study, results)
    for name in recheck.TABLES:
        write_frame(tables[name], results / "tiny" / name)
    predictions = collect_predictions(find_runs(study, results))
    write_predictions(predictions, results / "tiny" / "predictions.npz")
    (results / "curves.csv").rename(results / "tiny/curves.csv")
    recheck.copy_tables(results, root / "work")
    assert recheck.make_files(study, root / "work", project=False) == ""
    for path in (
        path for glob in recheck.STUDY_FILES for path in (root / "work/results/tiny").glob(glob)
    ):
        copy = results / path.relative_to(root / "work/results")
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(path, copy)
    return root


@pytest.fixture
def tiny(trained, tmp_path, monkeypatch) -> Path:
    """A copy of the study file and its results, without run folders."""
    for name in ("tiny.yaml", "tiny.tsv"):
        shutil.copy(trained / name, tmp_path)
    shutil.copytree(trained / "results/tiny", tmp_path / "results/tiny")
    (tmp_path / "work").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "work"))
    return tmp_path / "tiny.yaml"


@pytest.fixture
def check(tiny, capsys):
    """Run the command on the copy; return its exit status and output."""

    def run(*arguments):
        results = ["--results", str(tiny.parent / "results")]
        status = main(["check-results", str(tiny), *results, *arguments])
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return run


def edit(path: Path, old: str, new: str) -> None:
    content = path.read_bytes()
    assert old.encode() in content, f"{old!r} is not in {path}"
    path.write_bytes(content.replace(old.encode(), new.encode(), 1))


def test_sound_results_are_reproduced_exactly(check, tiny):
    status, output = check("--sample", "5")
    assert status == 0, output
    files = [path for path in (tiny.parent / "results/tiny").rglob("*") if path.is_file()]
    assert f"{len(files) - len(recheck.TABLES) - 1} files compared, 0 differ" in output
    assert re.search("retraining (sgu|gqpe) seed 0, (sgu|gqpe) seed 0\n", output)
    assert output.splitlines()[-1] == "differences: 0"
    assert not list((tiny.parent / "work").iterdir())


@pytest.fixture
def as_trained(trained, monkeypatch):
    """Stand-ins for Snakemake and training that copy earlier files."""

    def make_files(study, work, project):
        shutil.copytree(trained / "results/tiny", work / "results/tiny", dirs_exist_ok=True)
        return ""

    def run(command, **_):
        work = Path(command[command.index("--results") + 1])
        shutil.copytree(trained / "results/runs", work / "runs", dirs_exist_ok=True)
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(recheck, "make_files", make_files)
    monkeypatch.setattr(recheck.subprocess, "run", run)


def test_changed_files_and_numbers_are_named(check, tiny, as_trained):
    here = tiny.parent / "results/tiny"
    edit(here / "tables/main.md", "22,826", "22,827")
    (here / "tables/main.tex").unlink()
    picture = here / "figures/forest.png"
    picture.write_bytes(picture.read_bytes()[:-1])
    (here / "figures/by_hand.pdf").write_bytes(b"")
    row = read_frame(here / "curves.csv").iloc[0]
    edit(here / "curves.csv", f",{row['train_loss']},", f",{row['train_loss'] + 0.5},")
    line = (here / "granularity.csv").read_text().splitlines()[1]
    edit(here / "granularity.csv", line, f"{line}1")
    status, output = check("--sample", "2")
    assert status == DIFFERENT
    assert f"{here}/tables/main.md: line" in output
    assert "22,827" in output
    assert f"{here}/tables/main.tex: is not committed, but can be made" in output
    assert f"{picture}: bytes differ from {tiny.parent}/work/" in output
    assert f"{here}/figures/by_hand.pdf: was not made" in output
    assert "sgu seed 0, curves.csv: train_loss at epoch 0: committed" in output
    assert "sgu seed 0, granularity.csv: uniform at layer 1, group 1: committed" in output


def test_runs_of_other_code_or_settings_are_not_retrained(trained, capsys):
    study = load_study(trained / "tiny.yaml")
    runs = read_frame(trained / "results/tiny/runs.csv")
    assert len(draw_runs(study, runs, 5, 0)) == 2
    runs.loc[runs["variant"] == "sgu", "key"] = "00"
    assert [run.variant for run in draw_runs(study, runs, 5, 0)] == ["gqpe"]
    assert "tiny: 1 of 2 runs have other settings or code" in capsys.readouterr().out


def test_an_unknown_study_and_missing_tables_are_errors(check, tiny, tmp_path, capsys):
    assert main(["check-results", "tinny", "--results", str(tmp_path / "results")]) == FAILED
    assert "config/studies/tinny.yaml: no such file" in capsys.readouterr().err
    with pytest.raises(ResultsError, match="no study here has a runs"):
        recheck.check_results([], tmp_path / "empty", tmp_path, 0, 0)
    edit(tiny.parent / "results/tiny/granularity.csv", ",initial,", ",start,")
    status, output = check()
    assert status == FAILED
    assert (
        "granularity.csv: written by another version: unknown or missing columns initial" in output
    )


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("a.md", b"x\n", b"x\n", ""),
        ("a.csv", b"a,b\n1,2\n3,4\n", b"a,b\n1,9\n3,5\n", "line 2: committed '1,2', now '1,9'"),
        ("b.md", b"x", b"x\ny", "line 2: committed '', now 'y'"),
        ("a.png", b"x", b"y", "bytes differ from "),
    ],
)
def test_file_differences_are_located(name, old, new, message, tmp_path):
    for folder, content in (("old", old), ("new", new)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_bytes(content)
    found = difference(tmp_path / "old" / name, tmp_path / "new" / name)
    assert found.startswith(message)
    assert bool(found) == bool(message)


def test_limits_are_three_deviations_of_a_difference_of_seeds():
    rows = [("a", 90.0), ("a", 92.0), ("a", 94.0), ("b", 50.0), ("b", 54.0), ("c", 95.0)]
    runs = pd.DataFrame(rows, columns=["variant", "test_top1"]).reindex(columns=RUN_COLUMNS)
    runs = runs.assign(train_loss=runs["test_top1"] / 100, num_test=500)
    limits = seed_limits(runs)
    assert set(limits.index) == {"train_loss", *metrics.EVALUATED}
    pooled = (4 + 0 + 4 + 4 + 4) / (2 + 1)
    assert limits["test_top1"] == pytest.approx(3 * np.sqrt(2 * pooled))
    assert limits["train_loss"] == pytest.approx(limits["test_top1"] / 100)
    assert np.isinf(limits["val_top1"])
    rounding = seed_limits(runs.assign(test_top1=90.0))
    assert rounding["test_top1"] == pytest.approx(3 * 0.2 / np.sqrt(6))
    one_seed = seed_limits(runs.drop_duplicates("variant"))
    assert np.isinf(one_seed["test_top1"])


def test_numbers_are_compared_exactly_or_within_limits():
    old = pd.DataFrame({"macs": [5, 5], "top": [90.0, np.nan]}, pd.Index([0, 1], name="epoch"))
    new = old.assign(top=[90.0 + 1e-12, np.nan])
    (found,) = compare_rows(old, new, ["macs", "top"], {})
    assert found == "top at epoch 0: committed 90.0, now 90.000000000001"
    limits = {"top": 0.5}
    assert list(compare_rows(old, new, ["macs", "top"], limits)) == []
    assert list(compare_rows(old, new.assign(top=91.0), ["top"], limits)) == [
        "top at epoch 0: committed 90.0, now 91.0, and 1 more"
    ]
    assert list(compare_rows(old, new[1:], ["top"], limits)) == ["2 rows committed, now 1"]
