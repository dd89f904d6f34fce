"""The power that a plan prints, compared with simulated studies."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from posmlp.analysis.collect import ResultsError
from posmlp.analysis.contrasts import claim_p_values, compare
from posmlp.analysis.power import power_text, reach
from posmlp.study import Question

QUESTIONS = (
    Question(ask="As good?", claim="non-inferior", contrasts=["gqpe_s4 - sgu"]),
    Question(ask="Better?", contrasts=["gqpe_s4_nosoftmax - sgu"]),
)
STD, NUM_STUDIES = 0.5, 500


@pytest.fixture
def planned(study):
    """Three variants with five seeds, two questions and a margin of a point."""
    return replace(study, questions=QUESTIONS, margin=1.0, seeds=(0, 1, 2, 3, 4))


@pytest.mark.parametrize("claim", ["non-inferior", "superior"])
def test_power_is_the_fraction_of_simulated_studies_with_the_verdict(planned, claim):
    contrast = reach(planned, STD).set_index("claim", drop=False).loc[claim]
    random, found = np.random.default_rng(0), 0
    truth = np.array([[0.0], [0.0], [1.0]])  # equal to sgu, and better by the margin
    for _ in range(NUM_STUDIES):
        values = pd.DataFrame(truth + random.normal(0, STD, (3, 5)), index=list(planned.configs))
        compared = compare(values, [contrast["contrast"]])
        (p,) = claim_p_values(compared, pd.Series([claim]), planned.margin)
        found += p <= planned.level / 2  # Holm's first step over two contrasts
    expected = contrast["power"]
    assert found / NUM_STUDIES == pytest.approx(
        expected, abs=4 * np.sqrt(expected * (1 - expected) / NUM_STUDIES)
    )
    assert contrast["half_width"] == pytest.approx(stats.t.ppf(0.975, 8) * STD * np.sqrt(2 / 5))


def test_the_smallest_detectable_difference_has_80_percent_power(planned):
    rows = reach(planned, STD).set_index("claim").in_reach
    assert rows["superior"] - rows["non-inferior"] == pytest.approx(planned.margin)
    larger = replace(planned, margin=rows["superior"])
    assert list(reach(larger, STD).power) == pytest.approx([0.8, 0.8])


def test_power_needs_a_standard_deviation_over_seeds(planned, runs_of, tmp_path):
    assert "`--like STUDY` takes it from another study" in power_text(planned, tmp_path)
    with pytest.raises(ResultsError, match=r"other/runs.csv: no such file"):
        power_text(planned, tmp_path, "other")
