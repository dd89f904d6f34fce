"""Coverage of intervals and rates of false verdicts in simulated studies."""

import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
from simulated_studies import LEVEL, NUM_STUDIES, SCENARIOS, simulate, table  # noqa: E402

pytestmark = pytest.mark.xdist_group("simulated studies")

MONTE_CARLO = 3 * np.sqrt(LEVEL * (1 - LEVEL) / NUM_STUDIES)
# Three seeds do not always reveal a noisy reference; with pooled variances 23 % would be wrong.
OVERLOOKED = 0.05


@pytest.fixture(scope="module")
def results():
    return {scenario: simulate(scenario) for scenario in SCENARIOS}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: f"{s.name}, {s.num_seeds} seeds")
def test_intervals_cover_and_false_verdicts_are_rare(results, scenario):
    covered, wrong = results[scenario]
    slack = OVERLOOKED if (scenario.noise_of_reference, scenario.num_seeds) == (3, 3) else 0.02
    assert covered >= 1 - LEVEL - slack
    assert wrong <= LEVEL + (slack if slack == OVERLOOKED else MONTE_CARLO)


def test_without_the_floor_two_variants_with_two_seeds_would_differ_by_chance():
    assert simulate(SCENARIOS[-2], floor=False)[1] > 2 * LEVEL


def test_the_page_shows_these_results(results):
    assert table(results) in (ROOT / "docs/statistics.md").read_text(encoding="utf-8"), (
        "renew it: python benchmarks/simulated_studies.py"
    )
