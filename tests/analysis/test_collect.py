import json
from pathlib import Path

import pandas as pd
import pytest

from posmlp.analysis.collect import (
    CURVE_COLUMNS,
    RUN_COLUMNS,
    ResultsError,
    find_runs,
    first_of,
    read_frame,
    runs_frame,
    write_curves,
    write_frame,
)
from posmlp.study import Study, load_study


def collect(study: Study, results: Path) -> pd.DataFrame:
    return runs_frame(study, find_runs(study, results))


def test_a_row_per_run_in_the_order_of_the_sheet(study, finished):
    runs = collect(study, finished)
    assert list(runs.columns) == list(RUN_COLUMNS)
    expected = [(run.variant, run.seed, run.key) for run in study.runs()]
    assert list(runs[["variant", "seed", "key"]].itertuples(index=False, name=None)) == expected
    assert runs["test_top1"].tolist() == [97.0, 97 + 1 / 3, 97 + 2 / 3] * 3
    assert runs["token_mixing_params_per_layer"].unique().tolist() == ["[88, 88]"]
    assert runs["claim"].unique().tolist() == ["baseline", "better", "needs softmax"]
    assert runs["ema_test_top1"].isna().all()
    assert not {"command", "hostname"} & set(runs.columns)  # the machine's own is not published


def test_nested_settings_and_groups_by_stage_are_named(tmp_path, study, finish_run):
    sheet = "variant\tclaim\tagainst\tmodel.groups\trecipe.augment.shift\n"
    sheet += "sgu\ta\t\t\t\nb\tc\tsgu\t[8, 16]\t1\n"
    (tmp_path / "three.tsv").write_text(sheet)
    study = load_study(tmp_path / "three.yaml")
    for run in study.runs():
        finish_run(run)
    row = collect(study, tmp_path / "results").iloc[-1]
    assert (row["groups"], row["other_settings"]) == ("8,16", "recipe.augment.shift=1")
    assert row["against"] == "sgu"


def test_curves_copy_every_history_exactly(study, finished, tmp_path):
    write_curves(find_runs(study, finished), tmp_path / "curves.csv")
    curves = read_frame(tmp_path / "curves.csv")
    assert list(curves.columns) == list(CURVE_COLUMNS)
    assert len(curves) == 2 * len(study.runs())
    last = curves[(curves["variant"] == "gqpe_s4") & (curves["seed"] == 2)].iloc[-1]
    assert (last["epoch"], last["test_top1"], last["time"]) == (1, 97 + 2 / 3, 1763800001.5)
    assert curves["ema_test_top1"].isna().all()
    lines = (study.run("gqpe_s4", 2).folder(finished) / "history.csv").read_text().splitlines()
    assert f"gqpe_s4,2,{lines[-1]}\n" in (tmp_path / "curves.csv").read_text()


def without_last_epoch(text: str) -> str:
    return "".join(text.splitlines(keepends=True)[:-1])


@pytest.mark.parametrize(
    ("change", "message"),
    [(without_last_epoch, "metrics.json has 2 epochs"), (lambda t: t[:-9], "truncated")],
)
def test_a_damaged_history_is_refused_and_named(study, finished, tmp_path, change, message):
    path = study.run("gqpe_s4", 1).folder(finished) / "history.csv"
    path.write_text(change(path.read_text()))
    with pytest.raises(ResultsError) as error:
        write_curves(find_runs(study, finished), tmp_path / "curves.csv")
    assert str(path) in str(error.value)
    assert message in str(error.value)
    assert not (tmp_path / "curves.csv").exists()


def test_damaged_metrics_are_refused_and_named(study, finished):
    path = study.run("gqpe_s4", 1).folder(finished) / "metrics.json"
    path.write_text(path.read_text().replace('"test_loss": 0.1', '"test_loss": NaN'))
    with pytest.raises(ResultsError, match="damaged results") as error:
        find_runs(study, finished, allow_missing=True)
    assert str(path) in str(error.value)
    assert "gqpe_s4/seed0" not in str(error.value)
    remedy = "Delete the metrics.json of these runs; `snakemake --config study=three` retrains them"
    assert remedy in str(error.value)


def test_files_of_another_version_are_named_with_the_allowed_columns(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("variant,seed,top1\nsgu,0,97\n")
    with pytest.raises(
        ResultsError, match=r"runs.csv: written by another version.*top1.*allowed:.*test_top1"
    ):
        read_frame(path)
    path.write_text("variant,seed\nsgu\n")
    with pytest.raises(ResultsError, match=r"runs.csv: cannot be read"):
        read_frame(path)


def test_long_lists_are_cut():
    lines = first_of([f"run {i}" for i in range(12)]).splitlines()
    assert lines == [*(f"  run {i}" for i in range(10)), "  and 2 more"]
    assert first_of(["run 0"]) == "  run 0"


def test_all_missing_runs_are_in_one_error(study, finish_run, tmp_path):
    for run in study.runs():
        if (run.variant, run.seed) not in {("sgu", 1), ("gqpe_s4", 0), ("gqpe_s4", 2)}:
            finish_run(run)
    with pytest.raises(ResultsError, match="3 of 9 runs are not finished") as error:
        find_runs(study, tmp_path / "results")
    assert "  sgu: seed 1\n  gqpe_s4: seed 0, 2\n" in str(error.value)
    assert "snakemake" in str(error.value)
    finished = find_runs(study, tmp_path / "results", allow_missing=True)
    assert [run.config.seed for run in finished] == [0, 2, 1, 0, 1, 2]
    runs = runs_frame(study, finished)
    assert runs["seed"].tolist() == [0, 1, 2] * 3  # a missing run is an empty row
    assert runs.loc[runs["test_top1"].isna(), "variant"].tolist() == ["sgu", "gqpe_s4", "gqpe_s4"]
    assert runs["key"].tolist() == [run.key for run in study.runs()]


def test_runs_of_another_key_are_refused(study, finished):
    run = study.run("gqpe_s4", 1)
    path = run.folder(finished) / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"key": "0123456789abcdef"}))
    with pytest.raises(ResultsError, match="other settings or code") as error:
        find_runs(study, finished, allow_missing=True)
    expected = f"gqpe_s4 seed 1: metrics.json has key 0123456789abcdef, the study expects {run.key}"
    assert expected in str(error.value)
    assert "`snakemake --config study=three` trains them again" in str(error.value)
    assert "sgu" not in str(error.value)


@pytest.mark.parametrize("missing", [False, True])
def test_runs_survive_a_round_trip_and_bytes_are_stable(study, finished, tmp_path, missing):
    if missing:
        (study.run("sgu", 1).folder(finished) / "metrics.json").unlink()
    runs = runs_frame(study, find_runs(study, finished, allow_missing=missing))
    first, second = tmp_path / "runs.csv", tmp_path / "again.csv"
    write_frame(runs, first)
    again = read_frame(first)
    pd.testing.assert_frame_equal(again, runs)
    write_frame(again, second)
    assert first.read_bytes() == second.read_bytes()
    assert b"\r" not in first.read_bytes()
