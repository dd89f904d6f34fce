"""Sound results pass every check; results spoilt in one way fail the check about it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from posmlp.analysis import checks, collect
from posmlp.analysis.checks import CHECKED_CURVES, Check, Checked, run_checks
from posmlp.analysis.collect import (
    ResultsError,
    find_runs,
    read_curves,
    read_frame,
    runs_frame,
    write_curves,
)
from posmlp.analysis.predictions import Hits
from posmlp.study import Study, load_study

ROOT = Path(__file__).parents[2]
COMMITTED = ("digits", "digits_switches", "digits_shift")


@pytest.fixture
def results(study, finished, tmp_path) -> Checked:
    runs = find_runs(study, finished)
    write_curves(runs, tmp_path / "curves.csv")
    curves = read_frame(tmp_path / "curves.csv", CHECKED_CURVES)
    return Checked(study, runs_frame(study, runs), {}, [curves])


@pytest.fixture
def problems(results: Checked) -> Callable[..., list[str]]:
    """What a check finds; before anything is spoilt that is nothing."""

    def find(check: Check, spoilt: Checked) -> list[str]:
        assert list(check.find(results)) == []
        return list(check.find(spoilt))

    return find


def spoil(results: Checked, row: int | slice, **values) -> Checked:
    """Change a row of runs: three seeds of sgu come first, then three of gqpe_s4."""
    runs = results.runs.copy()
    for column, value in values.items():
        runs.loc[row, column] = value
    return replace(results, runs=runs)


def spoil_curve(results: Checked, row: int, column: str, value: float) -> Checked:
    """Change a row of the curves: 0 and 1 are the epochs of sgu seed 0, 2 and 3 those of seed 1."""
    curves = results.curves[0].copy()
    curves.loc[row, column] = value
    return replace(results, curves=[curves])


def with_section(study: Study, section: str, **values) -> Study:
    """Change settings of sgu."""
    config = study.configs["sgu"]
    changed = getattr(config, section).model_copy(update=values)
    config = config.model_copy(update={section: changed})
    return replace(study, configs=study.configs | {"sgu": config})


def test_a_failure_names_check_runs_reason_and_remedy(results):
    spoilt = spoil(spoil(results, 2, code_version="ffff"), 1, test_top1=5.0)
    with pytest.raises(ResultsError) as error:
        run_checks(spoilt, spoilt.curves)
    text = str(error.value)
    assert text.startswith("study three is not finished: 3 of 7 checks of its results failed.\n")
    assert f"  Failed: {checks.better_than_guessing.claim}.\n    sgu seed 1: top-1 5.00 %" in text
    assert "    version ffff: sgu seed 2\n    To do: train these runs again" in text


def test_curves_in_parts_are_checked_like_all_at_once(results):
    """The first variant's curve is wrong, and the last variant has none."""
    spoilt = spoil_curve(results, 1, "train_loss", np.nan)
    last = spoilt.runs["variant"].iat[-1]
    (curves,) = spoilt.curves
    curves = curves[curves["variant"] != last]
    parts = [rows for _, rows in curves.groupby("variant", sort=False)]
    messages = []
    for read in ([curves], parts):
        with pytest.raises(ResultsError) as error:
            run_checks(Checked(spoilt.study, spoilt.runs), read)
        messages.append(str(error.value))
    assert messages[0] == messages[1]
    assert "sgu seed 0: train_loss is nan in epoch 1" in messages[0]
    assert f"{last} seed 0: test_loss is " in messages[0]


def test_the_report_names_exceptions(results, study):
    lax = replace(study, may_not_learn=("sgu",))
    report = run_checks(replace(results, study=lax), results.curves)
    assert "Exceptions:\n\n- May learn nothing: sgu.\n" in report


@pytest.mark.parametrize("name", COMMITTED)
def test_committed_results_pass(name, monkeypatch):
    here = ROOT / "results" / name
    runs = read_frame(here / "runs.csv")
    monkeypatch.setattr(collect, "BLOCK", 20_000)  # bytes, so that most parts are one variant
    curves = list(read_curves(here / "curves.csv", CHECKED_CURVES))
    assert len(curves) > 1
    study = load_study(name, ROOT / "config/studies")
    assert run_checks(Checked(study, runs), curves) == (here / "checks.md").read_text()


@pytest.mark.parametrize(
    ("version", "message"), [("abcd", "version abcd: sgu seed 0"), ("", "no version: sgu seed 0")]
)
def test_two_code_versions_are_named_with_their_runs(results, problems, version, message):
    found = problems(checks.one_code_version, spoil(results, 0, code_version=version))
    assert message in found
    others = "sgu seed 1, sgu seed 2, gqpe_s4 seed 0, gqpe_s4 seed 1, gqpe_s4 seed 2 and 3 more"
    assert any(line.startswith("version 12e4") and line.endswith(others) for line in found)


def test_equal_data_settings_need_equal_images(results, problems, study):
    spoilt = spoil(results, slice(0, 2), data_digest="ffff")
    found = problems(checks.equal_data, spoilt)
    assert "digest ffff: sgu seed 0, sgu seed 1, sgu seed 2" in found
    fraction = with_section(study, "data", train_fraction=0.5)
    assert problems(checks.equal_data, replace(spoilt, study=fraction)) == []


def test_a_run_must_beat_guessing_unless_exempt(results, problems, study):
    check = checks.better_than_guessing
    lucky = spoil(results, 0, test_top1=13.9)  # ten classes, 500 images: 10 + 3 * 1.34
    assert problems(check, lucky) == [
        "sgu seed 0: top-1 13.90 %; guessing gives 10 % and may reach 14.02 % by luck"
    ]
    assert problems(check, spoil(results, 0, test_top1=14.1)) == []
    for allowed in (("sgu",), tuple(study.configs)):
        lax = replace(study, may_not_learn=allowed)
        assert problems(check, replace(lucky, study=lax)) == []


def test_predictions_must_have_the_accuracy_of_their_run(results, problems):
    check = checks.predictions_are_those_of_the_result
    for hits, found in ((97, []), (96, ["97.0000 %, by its predictions 96.0000 %"])):
        kept = {("sgu", 0): Hits("same images", np.arange(100) < hits)}
        lines = problems(check, replace(results, predictions=kept))
        assert [line.partition("top-1 is ")[2] for line in lines] == found


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("train_loss", np.nan, "nan"),
        ("lr", np.inf, "inf"),
        ("test_top1", 100.5, "100.5"),
        ("ema_test_top1", 50.0, "50"),  # no average is asked for
        ("val_top1", 50.0, "50"),  # no validation either
    ],
)
def test_curves_must_be_numbers_in_range(results, problems, column, value, message):
    assert problems(checks.curves_are_numbers, spoil_curve(results, 2, column, value)) == [
        f"sgu seed 1: {column} is {message} in epoch 0"
    ]


@pytest.mark.parametrize(
    ("asked", "message"),
    [({"ema_decay": 0.9}, "ema_test_loss is nan"), ({"eval_every": 2}, "test_loss")],
)
def test_evaluations_must_be_those_of_the_recipe(results, problems, study, asked, message):
    other = replace(results, study=with_section(study, "recipe", **asked))
    found = problems(checks.curves_are_numbers, other)
    assert found[0].startswith(f"sgu seed 0, sgu seed 1, sgu seed 2: {message}")
    assert all(line.endswith("in epoch 0") for line in found)


@pytest.mark.parametrize("column", ["train_loss", "test_top1", "ema_test_top1"])
def test_the_last_epoch_must_be_the_result(results, problems, column):
    was = results.runs[column].iloc[0]
    spoilt = spoil_curve(results, 1, column, 96.5)
    assert problems(checks.last_epoch_is_the_result, spoilt) == [
        f"sgu seed 0: {column} is {was:.9g}, its curve ends at 96.5"
    ]


def test_the_loss_must_fall_unless_the_variant_may_learn_nothing(results, problems, study):
    rising = spoil_curve(results, 1, "train_loss", 2.5)
    assert problems(checks.loss_fell, rising) == ["sgu seed 0: from 2.25 to 2.5"]
    allowed = replace(study, may_not_learn=("sgu",))
    assert problems(checks.loss_fell, replace(rising, study=allowed)) == []
    one_epoch = replace(results, curves=[rows[rows["epoch"] == 1] for rows in rising.curves])
    assert problems(checks.loss_fell, one_epoch) == []
