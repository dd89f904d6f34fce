"""The statistics, against other implementations, printed tables and simulated studies."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from posmlp.analysis import inference

T_975_OF_2 = 4.302652729911275  # Student's t, 2 degrees of freedom, from a printed table
LEVEL, NUM_VARIANTS = 0.05, 12


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def half_width(values_VK: np.ndarray, level: float = 0.95) -> np.ndarray:
    std_V = inference.standard_deviation(values_VK)
    return inference.t_half_width(std_V, inference.count(values_VK), level)


def test_half_width_by_hand():
    # values 1, 2, 3: standard deviation 1, standard error 1 / sqrt(3)
    widths = half_width(np.array([[1.0, 2.0, 3.0], [1.0, np.nan, np.nan], [np.nan] * 3]))
    assert widths[0] == pytest.approx(T_975_OF_2 / np.sqrt(3), rel=1e-9)
    assert np.isnan(widths[1:]).all()


def test_missing_runs_do_not_count():
    values = np.array([[1.0, np.nan, 4.0]])
    assert inference.count(values).tolist() == [2]
    assert inference.mean(values).tolist() == [2.5]
    assert inference.standard_deviation(values)[0] == pytest.approx(np.std([1, 4], ddof=1))


@pytest.mark.parametrize("num_seeds", [2, 3, 5, 20])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_t_intervals_cover_the_mean_within_2_points_of_what_they_say(num_seeds, level):
    samples = random().normal(size=(10_000, num_seeds))
    covered = np.abs(inference.mean(samples)) <= half_width(samples, level)
    assert covered.mean() == pytest.approx(level, abs=0.02)  # 1.96 standard errors at 3: 0.82


def test_bootstrap_covers_the_mean_within_2_points_from_where_it_is_used():
    generator, samples = random(1), random().normal(size=(40, 100, inference.BOOTSTRAP_FROM))
    ends = [inference.bootstrap_interval(values_VK, 0.95, generator) for values_VK in samples]
    low, high = np.concatenate(ends, axis=1)
    assert ((low <= 0) & (high >= 0)).mean() == pytest.approx(0.95, abs=0.02)


def test_bootstrap_draws_from_its_generator_alone():
    values = random().normal(size=(1, 60))
    first = inference.bootstrap_interval(values, 0.95, random(1))
    assert inference.bootstrap_interval(values, 0.95, random(1)) == first
    assert inference.bootstrap_interval(values, 0.95, random(2)) != first
    assert inference.bootstrap_interval(np.full((1, 60), 97.0), 0.95, random(1)) == (97.0, 97.0)


def test_paired_t_test_is_scipys():
    pairs = random().normal(0.3, 1, size=(50, 4))
    mean, std = inference.mean(pairs), inference.standard_deviation(pairs)
    expected = stats.ttest_1samp(pairs, 0, axis=1).pvalue
    np.testing.assert_allclose(inference.paired_t_test(mean, std, np.full(50, 4)), expected)


def test_paired_t_test_at_its_ends():
    mean, std = np.array([0.0, 1.0, 1.0]), np.array([0.0, 0.0, 1.0])
    assert inference.paired_t_test(mean, std, np.array([3, 3, 1])).tolist()[:2] == [1, 0]
    assert np.isnan(inference.paired_t_test(mean, std, np.array([3, 3, 1]))[2])


@pytest.mark.parametrize("num_seeds", [2, 3, 5])
@pytest.mark.parametrize("num_test", [500, 1_000, 10_000])
@pytest.mark.parametrize("spread", [0.2, 1.0])
def test_no_difference_anywhere_is_called_one_in_at_most_5_of_100_studies(
    num_seeds, num_test, spread
):
    """Accuracies of whole images, all compared with one reference, as in a real table."""
    num_studies = 4_000
    quantum = 100 / num_test
    shape = (num_studies, NUM_VARIANTS, num_seeds)
    accuracies = np.round(random().normal(95, spread, shape) / quantum) * quantum
    pairs = np.round(accuracies[:, 1:] - accuracies[:, :1], 9)
    std = np.maximum(
        inference.standard_deviation(pairs), inference.rounding_deviation(np.array(num_test))
    )
    p = inference.paired_t_test(inference.mean(pairs), std, inference.count(pairs))
    smallest = p.min(axis=1) * (NUM_VARIANTS - 1)  # what Holm makes of the smallest
    assert inference.holm(p[0]).min() == pytest.approx(min(smallest[0], 1))
    monte_carlo_error = 3 * np.sqrt(LEVEL * (1 - LEVEL) / num_studies)
    assert (smallest <= LEVEL).mean() <= LEVEL + monte_carlo_error


def test_a_true_difference_is_found():
    pairs = random().normal(1, 0.3, size=(2_000, 11, 5))
    std = inference.standard_deviation(pairs)
    p = inference.paired_t_test(inference.mean(pairs), std, np.full(std.shape, 5))
    assert (p <= LEVEL / 11).mean() > 0.5


def test_holm_by_hand_and_leaves_unknown_ones_out():
    # sorted: 0.01 * 3, then max(0.03, 0.02 * 2), then max(0.04, 0.5)
    adjusted = inference.holm(np.array([0.5, np.nan, 0.01, 0.02]))
    np.testing.assert_allclose(adjusted, [0.5, np.nan, 0.03, 0.04])
    assert np.isnan(inference.holm(np.array([np.nan]))).all()


def test_hedges_correction_takes_the_bias_out_of_the_effect():
    true_effect = 0.8
    for num_seeds in (3, 5):
        pairs = random().normal(true_effect, 1, size=(400_000, num_seeds))
        raw = inference.mean(pairs) / inference.standard_deviation(pairs)
        corrected = raw * inference.hedges_correction(np.array(num_seeds))
        assert np.mean(corrected) == pytest.approx(true_effect, abs=0.02)
        assert np.mean(raw) > true_effect * 1.2
    assert np.isnan(inference.hedges_correction(np.array(2)))


@pytest.mark.parametrize("effect", [0.2, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("level", [0.05, 0.05 / 11])
def test_seeds_needed_agree_with_statsmodels(effect, level):
    expected = TTestPower().solve_power(effect_size=effect, alpha=level, power=0.8)
    found = inference.seeds_needed(np.array([effect, -effect]), level, 0.8)
    assert found.tolist() == [np.ceil(expected)] * 2


def test_seeds_needed_have_limits():
    effects = np.array([1e-3, 0.0, 1e9, np.inf, np.nan])
    found = inference.seeds_needed(effects, 0.05, 0.8)
    np.testing.assert_array_equal(found, [np.inf, np.inf, 2, 2, np.nan])


def test_seeds_needed_give_the_power():
    effect, level = 1.5, 0.05 / 11
    (num_seeds,) = inference.seeds_needed(np.array([effect]), level, 0.8).astype(int)
    pairs = random().normal(effect, 1, size=(20_000, num_seeds))
    std = inference.standard_deviation(pairs)
    p = inference.paired_t_test(inference.mean(pairs), std, np.full(std.shape, num_seeds))
    assert 0.79 < (p <= level).mean() < 0.87
