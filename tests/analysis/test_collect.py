import json
import re

import pytest
import yaml

from posmlp.analysis.collect import (
    CURVE_COLUMNS,
    RUN_COLUMNS,
    ResultsError,
    collect,
    read_frame,
    write_frame,
)
from posmlp.study import load_study


def test_one_row_a_run_in_the_order_of_the_sheet(study, finished):
    runs, _ = collect(study, finished)
    assert list(runs.columns) == list(RUN_COLUMNS)
    expected = [(run.variant, run.seed, run.key) for run in study.runs()]
    assert list(runs[["variant", "seed", "key"]].itertuples(index=False, name=None)) == expected
    assert runs["top1"].tolist() == [97.0, 97 + 1 / 3, 97 + 2 / 3] * 3
    assert runs["token_mixing_params_per_layer"].unique().tolist() == ["[88, 88]"]
    assert runs["claim"].unique().tolist() == ["baseline", "better", "needs softmax"]
    assert runs["ema_top1"].isna().all()


def test_settings_come_from_the_sheet(study, finished):
    runs, _ = collect(study, finished)
    rows = runs[runs["seed"] == 0].set_index("variant")
    assert rows["gate"].tolist() == ["sgu", "gqpe", "gqpe"]
    assert rows["groups"].tolist() == ["", "4", "4"]
    assert rows["other_settings"].tolist() == ["", "", "model.softmax=false"]


def test_nested_settings_and_groups_by_stage_are_named(tmp_path, study, finish_run):
    sheet = "variant\tclaim\tmodel.groups\trecipe.augment.shift\nsgu\ta\t\t\nb\tc\t[8, 16]\t1\n"
    (tmp_path / "three.tsv").write_text(sheet)
    study = load_study(tmp_path / "three.yaml")
    for run in study.runs():
        finish_run(run)
    row = collect(study, tmp_path / "results")[0].iloc[-1]
    assert (row["groups"], row["other_settings"]) == ("8,16", "recipe.augment.shift=1")


def test_curves_hold_every_history(study, finished):
    _, curves = collect(study, finished)
    assert list(curves.columns) == list(CURVE_COLUMNS)
    assert len(curves) == 2 * len(study.runs())
    last = curves[(curves["variant"] == "gqpe_s4") & (curves["seed"] == 2)].iloc[-1]
    assert (last["epoch"], last["test_top1"], last["time"]) == (1, 97 + 2 / 3, 1763800001.5)
    assert curves["ema_test_top1"].isna().all()


def test_missing_runs_stand_in_one_error(study, finish_run, tmp_path):
    for run in study.runs():
        if (run.variant, run.seed) not in {("sgu", 1), ("gqpe_s4", 0), ("gqpe_s4", 2)}:
            finish_run(run)
    with pytest.raises(ResultsError, match="3 of 9 runs are not finished") as error:
        collect(study, tmp_path / "results")
    assert "  sgu: seed 1\n  gqpe_s4: seed 0, 2\n" in str(error.value)
    assert "snakemake" in str(error.value)
    runs, curves = collect(study, tmp_path / "results", allow_missing=True)
    assert runs["seed"].tolist() == [0, 2, 1, 0, 1, 2]
    assert len(curves) == 12


def test_a_study_without_any_run_is_refused(study, tmp_path):
    with pytest.raises(ResultsError, match="9 of 9"):
        collect(study, tmp_path / "results", allow_missing=True)


@pytest.mark.parametrize("file", ["metrics.json", "config.yaml"])
def test_runs_of_another_key_are_refused(study, finished, file):
    run = study.run("gqpe_s4", 1)
    path = run.folder(finished) / file
    values = yaml.safe_load(path.read_text()) | {"key": "0123456789abcdef"}
    path.write_text(json.dumps(values))
    with pytest.raises(ResultsError, match="other settings or code") as error:
        collect(study, finished, allow_missing=True)
    expected = f"gqpe_s4 seed 1: {file} has 0123456789abcdef, the study asks for {run.key}"
    assert expected in str(error.value)
    assert "snakemake --forcerun train" in str(error.value)
    assert "sgu" not in str(error.value)


@pytest.mark.parametrize(
    ("figure", "value"),
    [("top1", float("nan")), ("wall_s", None), ("ema_top1", float("nan")), ("macs", float("inf"))],
)
def test_final_figures_must_be_numbers(study, finish_run, tmp_path, figure, value):
    for run in study.runs():
        bad = (run.variant, run.seed) == ("sgu", 2)
        finish_run(run, **({figure: value} if bad else {}))
    with pytest.raises(ResultsError, match=re.escape(f"sgu seed 2: {figure} is {value}")):
        collect(study, tmp_path / "results")


def test_frames_survive_a_csv_and_its_bytes_are_stable(study, finished, tmp_path):
    for name, frame in zip(("runs", "curves"), collect(study, finished), strict=True):
        first, second = tmp_path / f"{name}.csv", tmp_path / f"{name}_again.csv"
        write_frame(frame, first)
        again = read_frame(first)
        assert again.equals(frame)
        assert again.dtypes.equals(frame.dtypes)
        write_frame(again, second)
        assert first.read_bytes() == second.read_bytes()
        assert b"\r" not in first.read_bytes()


def test_texts_that_look_like_numbers_stay_texts(study, finished, tmp_path):
    runs, _ = collect(study, finished)
    write_frame(runs.assign(key="12e4567890123456"), tmp_path / "runs.csv")
    row = read_frame(tmp_path / "runs.csv").iloc[-1]
    texts = row["key"], row["groups"], row["data_digest"], row["code_version"], row["git_commit"]
    assert texts == ("12e4567890123456", "4", "0012", "12e4", "")


def test_nothing_of_the_machines_own_is_published(study, finished):
    runs, _ = collect(study, finished)
    assert not {"command", "hostname"} & set(runs.columns)
