import numpy as np
import pandas as pd
import pytest

from posmlp.analysis.statistics import Better, summarise

T_975_OF_2 = 4.302652729911275  # Student's t, 2 degrees of freedom, from a printed table


def test_summary_by_hand(runs_of):
    top1 = {"ref": [90.0, 91.0, 92.0], "up": [92.0, 93.5, 93.0], "down": [89.0, 90.0, 91.0]}
    summary = summarise(runs_of(top1), "ref").set_index("variant")
    assert list(summary.index) == ["ref", "up", "down"]
    assert summary["n"].tolist() == summary["num_seeds"].tolist() == [3, 3, 3]
    assert summary["mean"].tolist() == pytest.approx([91.0, 278.5 / 3, 90.0])
    assert summary.loc["ref", "std"] == pytest.approx(1.0)
    assert summary.loc["ref", "half_width"] == pytest.approx(T_975_OF_2 / np.sqrt(3))
    assert summary.loc["ref", "low"] == pytest.approx(91 - T_975_OF_2 / np.sqrt(3))
    # paired differences of "up": 2, 2.5, 1
    up = summary.loc["up"]
    spread = np.sqrt(((2 - 5.5 / 3) ** 2 + (2.5 - 5.5 / 3) ** 2 + (1 - 5.5 / 3) ** 2) / 2)
    assert up["difference"] == pytest.approx(5.5 / 3)
    assert up["difference_std"] == pytest.approx(spread)
    assert up["difference_half_width"] == pytest.approx(T_975_OF_2 * spread / np.sqrt(3))
    assert up["effect_size"] == pytest.approx(5.5 / 3 / spread / np.sqrt(np.pi))  # J(2) = pi^-1/2
    t = 5.5 / 3 / (spread / np.sqrt(3))
    assert up["p_value"] == pytest.approx(1 - t / np.sqrt(t**2 + 2))  # t of 2 degrees of freedom
    # two comparisons: the smaller p is doubled, the larger stays
    assert summary["p_adjusted"].tolist()[1:] == pytest.approx(
        [up["p_value"], 2 * summary.loc["down", "p_value"]]
    )
    assert summary["better"].tolist() == ["", "not distinguishable", "no"]
    assert summary.loc["ref", ["against", "difference"]].isna().tolist() == [False, True]
    assert summary["against"].tolist() == ["", "ref", "ref"]


def test_pairing_finds_what_unpaired_seeds_hide(runs_of):
    top1 = {"ref": [80.0, 90.0, 70.0], "up": [81.0, 91.1, 71.0]}
    row = summarise(runs_of(top1), "ref").iloc[1]
    assert row["better"] == "yes"
    assert row["difference_half_width"] < 0.2 < row["half_width"]


def test_verdicts_are_corrected_over_the_whole_sheet(runs_of):
    """A comparison that one test alone would pass does not pass beside many others."""
    random = np.random.default_rng(0)
    alone = {"ref": [90.0, 90.0, 90.0], "up": [91.0, 91.4, 91.7]}
    others = {f"other{i}": random.normal(90, 1, 3).tolist() for i in range(10)}
    assert summarise(runs_of(alone), "ref")["better"].tolist() == ["", "yes"]
    together = summarise(runs_of(alone | others), "ref").set_index("variant")
    assert together.loc["up", "p_value"] < 0.05 < together.loc["up", "p_adjusted"]
    assert together.loc["up", "better"] == "not distinguishable"


def test_the_rule_of_the_study_decides(runs_of):
    runs = runs_of({"ref": [90.0, 91.0, 92.0], "up": [92.0, 93.5, 93.0]})  # p = 0.053
    assert summarise(runs, "ref", Better(level=0.1))["better"].tolist() == ["", "yes"]
    assert summarise(runs, "ref", Better(level=0.05))["better"].iloc[1] == "not distinguishable"


def test_equal_differences_of_whole_images_are_no_proof(runs_of):
    """Two seeds that both gain one image of 500 leave no spread; rounding alone does that."""
    top1 = {"ref": [97.2, 95.0], "up": [97.4, 95.2]}
    row = summarise(runs_of(top1, num_test=500), "ref").iloc[1]
    assert row["difference_std"] == pytest.approx(0.2 / np.sqrt(6))
    assert row["better"] == "not distinguishable"


def test_a_row_is_compared_with_what_the_sheet_says(runs_of):
    runs = runs_of({"ref": [90.0, 91.0], "b": [80.0, 81.5], "c": [82.0, 83.0]})
    runs["against"] = runs["variant"].map({"ref": "", "b": "", "c": "b"})
    summary = summarise(runs, "ref").set_index("variant")
    assert summary["against"].tolist() == ["", "ref", "b"]
    assert summary.loc["c", "difference"] == pytest.approx(1.75)
    assert summary["reference"].tolist() == ["ref"] * 3


def test_missing_runs_are_counted_and_pairs_are_those_that_both_have(runs_of):
    runs = runs_of({"ref": [90.0, 91.0, 92.0], "up": [np.nan, 92.5, 93.0], "none": [np.nan] * 3})
    runs.loc[runs["variant"] == "none", "params"] = np.nan
    summary = summarise(runs, "ref").set_index("variant")
    assert summary["n"].tolist() == [3, 2, 0]
    assert summary["num_seeds"].tolist() == [3, 3, 3]
    assert summary["n_pairs"].tolist() == [0, 2, 0]
    assert summary.loc["up", "difference"] == pytest.approx(1.25)
    assert np.isnan(summary.loc["none", ["mean", "params", "p_value"]].astype(float)).all()
    absent = summarise(runs[runs["test_top1"].notna()], "ref")  # as rows that are not there at all
    assert absent[["n", "num_seeds"]].to_numpy().tolist() == [[3, 3], [2, 3]]


def test_one_seed_has_a_difference_but_no_interval_and_no_verdict(runs_of):
    row = summarise(runs_of({"ref": [72.14], "up": [74.02]}), "ref").iloc[1]
    assert row["difference"] == pytest.approx(1.88)
    unknown = ["std", "half_width", "difference_half_width", "p_value", "seeds_needed"]
    assert row[unknown].isna().all()
    assert row["better"] == ""


def test_a_reference_without_runs_leaves_differences_empty(runs_of):
    summary = summarise(runs_of({"up": [90.0, 91.0]}), "ref")
    assert summary["n_pairs"].tolist() == [0]
    assert summary["difference"].isna().all()
    assert summary["better"].tolist() == [""]


def test_throughput_is_the_median_and_ema_the_mean(runs_of):
    runs = runs_of({"ref": [90.0, 91.0, 92.0]})
    runs["images_per_s"] = [10.0, 1000.0, 11.0]
    runs["ema_test_top1"] = [91.0, 92.0, 96.0]
    row = summarise(runs, "ref").iloc[0]
    assert (row["images_per_s"], row["ema_mean"]) == (11.0, 93.0)


def test_seeds_needed_assume_the_measured_difference_or_the_smallest_of_interest(runs_of):
    runs = runs_of({"ref": [90.0, 91.0, 92.0], "up": [90.1, 91.9, 91.9]})
    measured = summarise(runs, "ref").iloc[1]
    wider = summarise(runs, "ref", Better(smallest_difference=1.0)).iloc[1]
    same = summarise(runs, "ref", Better(smallest_difference=0.1)).iloc[1]
    assert measured["difference"] == pytest.approx(0.3)
    assert measured["seeds_needed"] == same["seeds_needed"] > wider["seeds_needed"] > 3
    more = summarise(runs, "ref", Better(smallest_difference=1.0, power=0.95)).iloc[1]
    assert more["seeds_needed"] > wider["seeds_needed"]


def test_many_seeds_are_bootstrapped_with_the_generator_alone(runs_of):
    random = np.random.default_rng(0)
    runs = runs_of({"ref": (90 + random.exponential(1, 60)).tolist(), "few": [90.0, 91.0]})
    plain = summarise(runs, "ref")
    drawn = summarise(runs, "ref", generator=np.random.default_rng(1))
    again = summarise(runs, "ref", generator=np.random.default_rng(1))
    pd.testing.assert_frame_equal(drawn, again)
    middle = (plain["low"] + plain["high"]) / 2
    np.testing.assert_allclose(middle, plain["mean"])
    assert drawn["high"][0] - drawn["mean"][0] > drawn["mean"][0] - drawn["low"][0]  # skewed
    assert (drawn["low"][1], drawn["high"][1]) == (plain["low"][1], plain["high"][1])


def test_runs_of_another_version_are_refused(runs_of):
    runs = runs_of({"ref": [90.0]}).drop(columns="against")
    with pytest.raises(ValueError, match=r"lack against.*run `snakemake`"):
        summarise(runs, "ref")
