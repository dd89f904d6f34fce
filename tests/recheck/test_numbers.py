"""How far numbers of a run may be apart, and what is said where they are further."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from posmlp.recheck.numbers import (
    DEVIATIONS,
    Number,
    compare_run,
    other_machine,
    row_of,
    seed_spread,
    tolerances,
)


@pytest.mark.parametrize(
    ("committed", "now", "tolerance", "verdict"),
    [
        (1.0, 1.0, 0.0, "equal"),
        (np.nan, np.nan, 0.0, "equal"),
        ("a", "a", 0.0, "equal"),
        (1.0, np.nextafter(1.0, 2), 0.0, "different"),
        (1.0, 1.5, 0.5, "within"),
        (1.0, 1.6, 0.5, "different"),
        (1.0, np.nan, 9.0, "different"),
        (np.nan, 1.0, 9.0, "different"),
        ("a", "b", 9.0, "different"),
        (1.0, 1.5, np.nan, "unknown"),
    ],
)
def test_verdicts(committed, now, tolerance, verdict):
    assert Number("run", "test_top1", committed, now, tolerance).verdict == verdict


@pytest.fixture
def frame() -> pd.DataFrame:
    """Two variants with three and two seeds at epoch 0, one variant with one seed at epoch 1."""
    rows = [("a", 0, 90.0), ("a", 0, 92.0), ("a", 0, 94.0), ("b", 0, 50.0), ("b", 0, 54.0)]
    frame = pd.DataFrame([*rows, ("a", 1, 95.0)], columns=["variant", "epoch", "test_top1"])
    return frame.assign(val_top5=np.nan, train_loss=frame["test_top1"] / 100, lr=0.1)


def test_the_spread_is_that_within_variants_pooled(frame):
    spread = seed_spread(frame, ["test_top1", "val_top5"])
    assert spread.loc[0, "test_top1"] == pytest.approx(np.sqrt((4 + 0 + 4 + 4 + 4) / (2 + 1)))
    assert np.isnan(spread.loc[1, "test_top1"])
    assert spread["val_top5"].isna().all()


def test_tolerances_are_deviations_of_a_difference_and_at_least_rounding(frame):
    run = pd.Series({"num_test": 500, "num_val": 0})
    limits = tolerances(frame, list(frame)[2:], run)
    assert list(limits) == ["test_top1", "val_top5", "train_loss"]
    assert limits.loc[0, "test_top1"] == pytest.approx(DEVIATIONS * np.sqrt(2 * 16 / 3))
    assert limits.loc[0, "train_loss"] == pytest.approx(limits.loc[0, "test_top1"] / 100)
    same = frame.assign(test_top1=90.0)
    assert tolerances(same, ["test_top1"], run).loc[0, "test_top1"] == pytest.approx(
        DEVIATIONS * 0.2 / np.sqrt(6)
    )


@pytest.fixture
def again(read):
    """Return the committed results as if they had been made once more, and a run of them."""
    collected = read()
    return collected, collected.study.run("sgu", 0)


def test_a_falsified_number_of_a_row_or_an_epoch_is_found(again):
    collected, config = again
    assert {n.verdict for n in compare_run(config, collected, collected)} == {"equal"}
    runs, curves = collected.runs.copy(), collected.curves.copy()
    runs.loc[0, "macs"] += 1
    runs.loc[0, "data_digest"] = "0"
    runs.loc[0, "wall_s"] += 1
    curves.loc[0, "train_loss"] *= 1 + 1e-12
    curves.loc[0, "epoch_s"] += 1
    numbers = compare_run(config, collected, replace(collected, runs=runs, curves=curves))
    found = {number.place for number in numbers if number.verdict == "different"}
    assert found == {"macs, epoch 1", "data_digest, epoch 1", "train_loss, epoch 0"}


def test_a_curve_of_other_length_is_found(again):
    collected, config = again
    numbers = compare_run(config, collected, replace(collected, curves=collected.curves[1:]))
    assert [n.place for n in numbers if n.verdict == "different"] == ["epochs of its curve"]


def test_another_machine_is_one_of_another_name_or_a_gpu(again):
    collected, config = again
    row = row_of(collected.runs, config)
    assert other_machine(config, row, row) == []
    threads = row.copy()
    threads["num_threads"] += 1
    assert other_machine(config, row, threads) == [
        f"num_threads was {row['num_threads']} and is {row['num_threads'] + 1}"
    ]
    gpu = row.copy()
    gpu["device"] = "NVIDIA H100"
    assert other_machine(config, gpu, gpu) == ["a GPU without recipe.deterministic"]


def test_elsewhere_losses_and_accuracies_alone_have_a_tolerance(again):
    collected, config = again
    seeds = [collected.runs.assign(seed=k, loss=collected.runs["test_loss"] + k) for k in (0, 1)]
    curves = [collected.curves.assign(seed=k) for k in (0, 1)]
    several = replace(collected, runs=pd.concat(seeds), curves=pd.concat(curves))
    runs = collected.runs.assign(torch="1.0", loss=collected.runs["test_loss"] + 2.9, params=1.0)
    numbers = compare_run(config, several, replace(collected, runs=runs))
    verdicts = {number.place: number.verdict for number in numbers}
    assert verdicts["loss, epoch 1"] == "within"  # 3 deviations of a difference of two: 3
    assert verdicts["params, epoch 1"] == "different"
    runs["test_loss"] += 0.2
    numbers = compare_run(config, several, replace(collected, runs=runs))
    assert {n.place: n.verdict for n in numbers}["loss, epoch 1"] == "different"
