"""What the runs answer to a study's questions: contrasts of variants, seed by seed.

Shape letters: Q contrasts, K seeds. A run that is missing is NaN.
"""

import numpy as np
import pandas as pd

from posmlp.analysis import inference
from posmlp.analysis.main_table import p_value, plus_minus
from posmlp.analysis.statistics import LEVEL, Better
from posmlp.analysis.tables import Column, Table
from posmlp.study import Question, terms

COLUMNS = (
    "question",
    "contrast",
    "n",
    "difference",
    "half_width",
    "p_value",
    "p_adjusted",
    "verdict",
)
DIFFERENCE = "Difference: in points of top-1, mean over the seeds that all have"
HALF_WIDTH = "± half width of its Student-t {level:.0%} interval"
P_VALUE = "p: of the t test over seeds, Holm-corrected for the {num} contrasts of all questions"
VERDICT = "Verdict: higher or lower where p ≤ {level:g}, otherwise {otherwise}"
SAME = "equal within {smallest:g} points where the whole interval is, or not distinguishable"


def answer(runs: pd.DataFrame, questions: tuple[Question, ...], better: Better) -> pd.DataFrame:
    """Return one row per contrast, in the order of the questions.

    Args:
        runs: RUN_COLUMNS, of all variants that the questions name.
        better: level of the verdicts, and smallest difference of interest.

    Returns:
        question, contrast; n: seeds that all its variants have; difference in points of top-1 and
        its half_width (Student's t at LEVEL); p_value of the t test and p_adjusted by Holm over all
        rows; verdict: higher, lower, equal (the interval lies within the smallest difference of
        interest) or not distinguishable, "" below two seeds.
    """
    rows = [(question.ask, contrast) for question in questions for contrast in question.contrasts]
    if not rows:
        return pd.DataFrame(columns=COLUMNS)
    top1 = runs.pivot(index="variant", columns="seed", values="test_top1")
    signed = [terms(contrast) for _, contrast in rows]
    values_QK = np.array(
        [sum(sign * top1.loc[name].to_numpy(float) for sign, name in parts) for parts in signed]
    )
    values_QK = np.round(values_QK, 9)
    num_Q, mean_Q = inference.count(values_QK), inference.mean(values_QK)
    # as in statistics.py; a sum of more than two accuracies is rounded more than once
    pairs_Q = np.array([len(parts) / 2 for parts in signed])
    floor_Q = inference.rounding_deviation(runs["num_test"].median()) * np.sqrt(pairs_Q)
    std_Q = np.maximum(inference.standard_deviation(values_QK), floor_Q)
    answers = pd.DataFrame(rows, columns=["question", "contrast"]).assign(
        n=num_Q,
        difference=mean_Q,
        half_width=inference.t_half_width(std_Q, num_Q, LEVEL),
        p_value=inference.paired_t_test(mean_Q, std_Q, num_Q),
    )
    answers["p_adjusted"] = inference.holm(answers["p_value"].to_numpy())
    return answers.assign(verdict=_verdicts(answers, better))


def _verdicts(answers: pd.DataFrame, better: Better) -> np.ndarray:
    furthest = answers["difference"].abs() + answers["half_width"]
    same = furthest <= (better.smallest_difference or 0)
    sign = np.where(answers["difference"] > 0, "higher", "lower")
    verdicts = np.where(same, "equal", "not distinguishable")
    verdicts = np.where(answers["p_adjusted"] <= better.level, sign, verdicts)
    return np.where(answers["p_adjusted"].isna(), "", verdicts)


def answers_table(answers: pd.DataFrame, better: Better) -> Table:
    """Return the answers as a table, a question's text in the first of its rows."""
    first = ~answers["question"].duplicated()
    frame = answers.assign(ask=answers["question"].where(first, ""))
    smallest = better.smallest_difference
    otherwise = SAME.format(smallest=smallest) if smallest else "not distinguishable"
    columns = (
        Column("Question", lambda row: row["ask"], align="left"),
        Column("Contrast", lambda row: row["contrast"].replace(" - ", " − "), align="left"),
        Column(
            "Difference",
            lambda row: plus_minus(row["difference"], row["half_width"], "+"),
            f"{DIFFERENCE} {HALF_WIDTH.format(level=LEVEL)}",
        ),
        Column("n", lambda row: f"{row['n']}"),
        Column("p", lambda row: p_value(row["p_adjusted"]), P_VALUE.format(num=len(answers))),
        Column(
            "Verdict",
            lambda row: row["verdict"],
            VERDICT.format(level=better.level, otherwise=otherwise),
            align="left",
        ),
    )
    return Table("Questions", frame, columns)
