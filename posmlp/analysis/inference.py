"""What a few seeds can tell: intervals, paired tests, effect sizes, and how many would settle it.

Seeds are shared by all variants, in the same order of the data, so differences are paired. With
three to five seeds Student's t keeps its level; 1.96 standard errors, percentile bootstraps and
rank or sign tests do not, or cannot reach it at all.

Shape letters: V variants, K seeds. A run that is missing is NaN.
"""

import numpy as np
from scipy import special, stats
from statsmodels.stats.multitest import multipletests

# Seeds from which the bootstrap of a mean covers 95 % safely within 2 points: of normal samples it
# covers 90 % at 10, 93 % at 20, 94 % at 50.
BOOTSTRAP_FROM = 50
NUM_RESAMPLES = 2_000
MOST_SEEDS = 1_000  # beyond which a number of seeds is no advice
LARGEST_EFFECT = 1_000.0  # larger ones need no more seeds, and scipy's series may not converge


def count(values_VK: np.ndarray) -> np.ndarray:
    """Return how many seeds of each variant are there."""
    return np.isfinite(values_VK).sum(axis=-1)


def mean(values_VK: np.ndarray) -> np.ndarray:
    """Return means over the seeds that are there; NaN where there are none."""
    num_V = count(values_VK)
    return np.nansum(values_VK, axis=-1) / np.where(num_V > 0, num_V, np.nan)


def standard_deviation(values_VK: np.ndarray) -> np.ndarray:
    """Return standard deviations (ddof 1); NaN below two seeds."""
    num_V = count(values_VK)
    squares_V = np.nansum((values_VK - mean(values_VK)[..., None]) ** 2, axis=-1)
    return np.sqrt(squares_V / np.where(num_V > 1, num_V - 1, np.nan))


def t_half_width(std_V: np.ndarray, num_V: np.ndarray, level: float) -> np.ndarray:
    """Return half of Student's t interval of means; NaN below two seeds."""
    num_V = np.where(num_V > 1, num_V, np.nan)
    return stats.t.ppf((1 + level) / 2, df=num_V - 1) * std_V / np.sqrt(num_V)


def bootstrap_interval(
    values_VK: np.ndarray, level: float, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return lower and upper ends of bias-corrected and accelerated bootstrap intervals of means.

    Seeds must all be there; equal values give an interval without width.
    """
    low_V, high_V = values_VK[..., 0].copy(), values_VK[..., 0].copy()
    spread_V = np.ptp(values_VK, axis=-1) > 0
    if spread_V.any():
        interval = stats.bootstrap(
            (values_VK[spread_V],),
            np.mean,
            axis=-1,
            confidence_level=level,
            n_resamples=NUM_RESAMPLES,
            batch=100,
            method="BCa",
            rng=generator,
        ).confidence_interval
        low_V[spread_V], high_V[spread_V] = interval
    return low_V, high_V


def rounding_deviation(num_test: np.ndarray) -> np.ndarray:
    """Return the standard deviation of a difference of accuracies that whole images alone cause.

    Accuracies are multiples of 100 / num_test points. Where few seeds happen to differ by equally
    many images the sample has no spread and a t test no limit: where accuracies on 500 images
    spread by 0.2 points over seeds, one or more of 11 comparisons without any true difference would
    come out as better or worse in 69 % of studies with 2 seeds and in 21 % with 3. A difference of
    two rounded numbers has at least the deviation q / sqrt(6); with it as a floor both are below
    5 %.
    """
    return 100 / num_test / np.sqrt(6)


def paired_t_test(mean_V: np.ndarray, std_V: np.ndarray, num_V: np.ndarray) -> np.ndarray:
    """Return two-sided p values of mean paired differences; NaN below two pairs."""
    num_V = np.where(num_V > 1, num_V, np.nan)
    error_V = std_V / np.sqrt(num_V)
    t_V = np.divide(np.abs(mean_V), error_V, out=np.full_like(mean_V, np.inf), where=error_V != 0)
    t_V = np.where(mean_V == 0, 0, t_V)
    return np.where(np.isnan(num_V), np.nan, 2 * stats.t.sf(t_V, df=num_V - 1))


def holm(p_V: np.ndarray) -> np.ndarray:
    """Correct p values for all of them by Holm's steps; a NaN stays one and does not count."""
    adjusted_V = np.full_like(p_V, np.nan)
    known_V = np.isfinite(p_V)
    if known_V.any():
        adjusted_V[known_V] = multipletests(p_V[known_V], method="holm")[1]
    return adjusted_V


def hedges_correction(num_V: np.ndarray) -> np.ndarray:
    """Return the factor that takes the bias out of mean / deviation; NaN below three seeds.

    The deviation of few seeds is too small more often than too large: at three seeds mean /
    deviation is 1.77 times too large on average, at two it has no average.
    """
    df_V = np.where(num_V > 2, num_V - 1, np.nan)
    log_V = special.gammaln(df_V / 2) - special.gammaln((df_V - 1) / 2) - np.log(df_V / 2) / 2
    return np.exp(log_V)


def seeds_needed(effect_V: np.ndarray, level: float, power: float) -> np.ndarray:
    """Return the fewest seeds at which a paired t test at `level` finds the effects with `power`.

    To find an effect is to call it by its right sign; the power is that of the noncentral t.

    Args:
        effect_V: true differences in units of the deviation of paired differences.

    Returns:
        2 to MOST_SEEDS; infinity where these are not enough, NaN where the effect is NaN.
    """
    effect_V = np.minimum(np.abs(effect_V), LARGEST_EFFECT)
    low_V, high_V = np.full(effect_V.shape, 2), np.full(effect_V.shape, MOST_SEEDS + 1)
    while (low_V < high_V).any():  # power grows with the seeds: halve the range
        num_V = (low_V + high_V) // 2
        limit_V = stats.t.isf(level / 2, df=num_V - 1)
        found_V = stats.nct.sf(limit_V, df=num_V - 1, nc=effect_V * np.sqrt(num_V)) >= power
        low_V, high_V = np.where(found_V, low_V, num_V + 1), np.where(found_V, num_V, high_V)
        low_V = np.minimum(low_V, high_V)
    return np.where(np.isnan(effect_V), np.nan, np.where(high_V > MOST_SEEDS, np.inf, high_V))
