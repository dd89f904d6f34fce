import numpy as np
import pytest
from scipy import stats

from posmlp.analysis.questions import answer, answers_table
from posmlp.analysis.statistics import Better
from posmlp.study import Question, terms

TOP1 = {
    "a": [90.0, 91.0, 92.0],
    "b": [95.0, 96.1, 97.0],
    "a_few": [70.0, 70.5, 72.0],
    "b_few": [80.0, 81.5, 81.0],
}


def ask(*contrasts):
    return (Question(ask="Which?", contrasts=list(contrasts)),)


def test_the_terms_of_a_contrast():
    assert terms("b - a") == [(1, "b"), (-1, "a")]
    assert terms("b-1 - a + c - d") == [(1, "b-1"), (-1, "a"), (1, "c"), (-1, "d")]


@pytest.mark.parametrize("text", ["a", "a - ", "- a + b", "a -b", "a + b", "a - b - c", "a  - b"])
def test_what_is_no_contrast(text):
    with pytest.raises(ValueError, match="allowed: names of variants"):
        terms(text)


@pytest.mark.parametrize(
    ("contrast", "sums"),
    [("b - a", [5.0, 5.1, 5.0]), ("b_few - a_few - b + a", [5.0, 5.9, 4.0])],
)
def test_a_contrast_is_a_t_test_of_sums_over_seeds(runs_of, contrast, sums):
    found = answer(runs_of(TOP1), ask(contrast), Better()).iloc[0]
    test = stats.ttest_1samp(sums, 0)
    low, high = test.confidence_interval(0.95)
    assert found["difference"] == pytest.approx(np.mean(sums))
    assert found["half_width"] == pytest.approx((high - low) / 2)
    assert found["p_value"] == pytest.approx(test.pvalue)


def test_p_values_are_corrected_over_all_questions(runs_of):
    questions = (*ask("b - a"), *ask("b_few - a_few", "b - b_few"))
    found = answer(runs_of(TOP1), questions, Better())
    order = found["p_value"].argsort().to_numpy()
    corrected = np.maximum.accumulate(found["p_value"].to_numpy()[order] * [3, 2, 1])
    assert found["p_adjusted"].to_numpy()[order] == pytest.approx(corrected)


@pytest.mark.parametrize(
    ("differences", "smallest", "verdict"),
    [
        ([5.0, 5.1, 5.2], 0.5, "higher"),
        ([-5.0, -5.1, -5.2], 0.5, "lower"),
        ([0.0, 0.1, -0.1], 0.5, "equal"),
        ([0.0, 0.1, -0.1], None, "not distinguishable"),
        ([0.3, 0.4, -0.3], 0.5, "not distinguishable"),
        ([5.0], 0.5, ""),
        ([np.nan, np.nan], 0.5, ""),
    ],
)
def test_verdicts(runs_of, differences, smallest, verdict):
    runs = runs_of({"a": [90.0] * len(differences), "b": [90.0 + d for d in differences]})
    rule = Better(smallest_difference=smallest)
    assert answer(runs, ask("b - a"), rule)["verdict"].tolist() == [verdict]


def test_a_missing_run_takes_its_seed_from_the_contrast_only(runs_of):
    runs = runs_of(TOP1)
    runs.loc[(runs["variant"] == "a") & (runs["seed"] == 1), "test_top1"] = np.nan
    found = answer(runs, ask("b - a", "b - b_few"), Better())
    assert found["n"].tolist() == [2, 3]
    assert found["difference"][0] == pytest.approx(5.0)


def test_a_sample_without_spread_has_that_of_rounding(runs_of):
    runs = runs_of({"a": [90.0, 91.0], "b": [91.0, 92.0]}, num_test=100)
    assert answer(runs, ask("b - a"), Better())["half_width"][0] == pytest.approx(
        stats.t.ppf(0.975, 1) / np.sqrt(6) / np.sqrt(2)
    )


def test_a_study_without_questions_has_no_answers(runs_of):
    assert len(answer(runs_of(TOP1), (), Better())) == 0


def test_the_table_says_each_question_once(runs_of):
    found = answer(runs_of(TOP1), ask("b - a", "b_few - a_few - b + a"), Better())
    header, first, second = answers_table(found, Better()).cells()
    assert header == ["Question", "Contrast", "Difference", "n", "p", "Verdict"]
    assert first[:2] == ["Which?", "b − a"]
    assert second[:2] == ["", "b_few − a_few − b + a"]
    assert second[2] == f"+4.97 ± {found['half_width'][1]:.2f}"
