import numpy as np
import pytest

from posmlp.analysis.statistics import summarise, t_half_width, verdict

T_975_OF_2 = 4.302652729911275  # Student's t, 2 degrees of freedom, from a printed table


def test_half_width_by_hand():
    # values 1, 2, 3: standard deviation 1, standard error 1 / sqrt(3)
    assert t_half_width([1.0, 2.0, 3.0]) == pytest.approx(T_975_OF_2 / np.sqrt(3), rel=1e-9)
    assert np.isnan(t_half_width([1.0]))
    assert np.isnan(t_half_width([]))


def test_interval_covers_the_mean_in_95_of_100_cases():
    samples = np.random.default_rng(0).normal(size=(2000, 3))
    covered = [abs(values.mean()) <= t_half_width(values) for values in samples]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.012)  # 1.96 standard errors: 0.82


def test_summary_by_hand(runs_of):
    top1 = {"ref": [90.0, 91.0, 92.0], "up": [92.0, 93.5, 93.0], "down": [89.0, 90.0, 91.0]}
    summary = summarise(runs_of(top1), "ref").set_index("variant")
    assert list(summary.index) == ["ref", "up", "down"]
    assert summary["n"].tolist() == [3, 3, 3]
    assert summary["mean"].tolist() == pytest.approx([91.0, 278.5 / 3, 90.0])
    assert summary.loc["ref", "std"] == pytest.approx(1.0)
    assert summary.loc["ref", "half_width"] == pytest.approx(T_975_OF_2 / np.sqrt(3))
    # paired differences of "up": 2, 2.5, 1
    assert summary.loc["up", "difference"] == pytest.approx(5.5 / 3)
    spread = np.sqrt(((2 - 5.5 / 3) ** 2 + (2.5 - 5.5 / 3) ** 2 + (1 - 5.5 / 3) ** 2) / 2)
    half_width = T_975_OF_2 * spread / np.sqrt(3)
    assert summary.loc["up", "difference_half_width"] == pytest.approx(half_width)
    assert summary["better"].tolist() == ["", "not distinguishable", "no"]
    assert np.isnan(summary.loc["ref", "difference"])


def test_pairing_finds_what_unpaired_seeds_hide(runs_of):
    top1 = {"ref": [80.0, 90.0, 70.0], "up": [81.0, 91.1, 71.0]}
    row = summarise(runs_of(top1), "ref").iloc[1]
    assert row["better"] == "yes"
    assert row["difference_half_width"] < 0.2 < row["half_width"]


def test_differences_use_common_seeds_only(runs_of):
    runs = runs_of({"ref": [90.0, 91.0, 92.0], "up": [0.0, 92.5, 93.0]})
    runs = runs[~((runs["variant"] == "up") & (runs["seed"] == 0))]
    row = summarise(runs, "ref").iloc[1]
    assert (row["n"], row["n_pairs"], row["difference"]) == (2, 2, pytest.approx(1.25))


def test_one_seed_has_a_difference_but_no_interval_and_no_verdict(runs_of):
    row = summarise(runs_of({"ref": [72.14], "up": [74.02]}), "ref").iloc[1]
    assert row["difference"] == pytest.approx(1.88)
    assert np.isnan([row["std"], row["half_width"], row["difference_half_width"]]).all()
    assert row["better"] == ""


def test_a_reference_without_runs_leaves_differences_empty(runs_of):
    summary = summarise(runs_of({"up": [90.0, 91.0]}), "ref")
    assert summary["n_pairs"].tolist() == [0]
    assert summary["difference"].isna().all()
    assert summary["better"].tolist() == [""]


def test_throughput_is_the_median_and_ema_the_mean(runs_of):
    runs = runs_of({"ref": [90.0, 91.0, 92.0]})
    runs["train_images_per_s"] = [10.0, 1000.0, 11.0]
    runs["ema_top1"] = [91.0, 92.0, 96.0]
    row = summarise(runs, "ref").iloc[0]
    assert (row["train_images_per_s"], row["ema_mean"]) == (11.0, 93.0)


@pytest.mark.parametrize(
    ("difference", "half_width", "expected"),
    [
        (1.0, 0.9, "yes"),
        (-1.0, 0.9, "no"),
        (1.0, 1.1, "not distinguishable"),
        (-1.0, 1.0, "not distinguishable"),
        (0.0, 0.0, "not distinguishable"),
        (0.5, 0.0, "yes"),
        (1.0, np.nan, ""),
    ],
)
def test_verdict(difference, half_width, expected):
    assert verdict(difference, half_width) == expected
