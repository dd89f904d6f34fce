"""Comparison of variants: contrasts of the linear model variant + seed.

A row of the sheet is the contrast `variant - against`; a question may have longer ones. All come
from one least-squares fit over all runs of a study, so a difference has the same interval and p
value wherever it is printed. docs/statistics.md gives the reasons.

Shape letters: V variants, K seeds, R finished runs, P parameters of the model, Q contrasts.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.multitest import multipletests

from posmlp.study import terms

NOISY_LEVEL = 0.1  # of the F test for a variant noisier than all others
UNEQUAL_LEVEL = 0.05  # of Bartlett's test for equal variances
POOLED, WELCH = "pooled", "Welch"
NO_VARIANCE = 1e-18  # floor of variances, which are divisors, for metrics without rounding
SUPERIOR, NON_INFERIOR = "superior", "non-inferior"
INFERIOR, INCONCLUSIVE = "inferior", "inconclusive"


class Estimates(NamedTuple):
    """Contrasts (Q,) with standard errors and degrees of freedom; NaN if not estimable."""

    n: np.ndarray  # finished seeds of the contrast's variant with fewest
    difference: np.ndarray
    error: np.ndarray
    df: np.ndarray
    welch: np.ndarray  # whether each variant of the contrast has its own variance


def compare(
    values_VK: pd.DataFrame, contrasts: Sequence[str], level: float = 0.05, floor: float = 0.0
) -> pd.DataFrame:
    """Estimate contrasts such as "gqpe - sgu" or "a - b - c + d".

    Args:
        values_VK: a metric by variant and seed, NaN for a missing run.
        level: 1 - confidence of the intervals.
        floor: smallest residual variance, see rounding_variance.

    Returns:
        contrast, n, difference, half_width of the Student-t interval, p_value of the two-sided
        test, standard_error, df, variances (POOLED or WELCH, see estimate). With one seed there is
        no interval; without a run of a variant there is no difference either.
    """
    signs_QV = coefficients(contrasts, list(values_VK.index))
    n_Q, difference_Q, error_Q, df_Q, welch_Q = estimate(values_VK.to_numpy(float), signs_QV, floor)
    return pd.DataFrame(
        {
            "contrast": list(contrasts),
            "n": n_Q,
            "difference": difference_Q,
            "half_width": half_widths(error_Q, df_Q, level),
            "p_value": 2 * stats.t.sf(np.abs(difference_Q) / error_Q, df_Q),
            "standard_error": error_Q,
            "df": df_Q,
            "variances": np.where(welch_Q, WELCH, POOLED),
        }
    )


def half_widths(error_Q: np.ndarray, df_Q: np.ndarray, level: float) -> np.ndarray:
    """Half widths of Student-t intervals with confidence 1 - level."""
    return stats.t.ppf(1 - level / 2, df_Q) * error_Q


def coefficients(contrasts: Sequence[str], variants: list[str]) -> np.ndarray:
    """Signs (Q, V) of contrasts; all NaN for a contrast with an unknown variant."""
    signs_QV = np.zeros((len(contrasts), len(variants)))
    for signs_V, contrast in zip(signs_QV, contrasts, strict=True):
        for sign, variant in terms(contrast):
            if variant in variants:
                signs_V[variants.index(variant)] += sign
            else:
                signs_V[:] = np.nan
    return signs_QV


def estimate(values_VK: np.ndarray, signs_QV: np.ndarray, floor: float = 0.0) -> Estimates:
    """Fit variant + seed by least squares and estimate contrasts of variants.

    The residual variance is pooled over all variants. If variances differ between variants, or one
    in the contrast is noisier than all others, each variant has the variance of its own runs and
    the degrees of freedom are Satterthwaite's (Welch).
    """
    finished_VK = np.isfinite(values_VK)
    values_R, num_V = values_VK[finished_VK], finished_VK.sum(axis=1)
    design_RP, inverse_PR, rank = least_squares(finished_VK.tobytes(), finished_VK.shape)
    target_QP = np.pad(signs_QV, ((0, 0), (0, finished_VK.shape[1])))
    weight_QR = target_QP @ inverse_PR
    known_Q = np.isclose(weight_QR @ design_RP, target_QP).all(axis=1)
    residual_R = values_R - design_RP @ (inverse_PR @ values_R)
    df = len(values_R) - rank
    floor = max(floor, NO_VARIANCE)
    pooled = max(residual_R @ residual_R / df, floor) if df else np.nan
    variance_V = np.maximum(pd.DataFrame(values_VK).var(axis=1).to_numpy(), floor)
    apart_V = noisier(variance_V, num_V) | (bartlett(variance_V, num_V) < UNEQUAL_LEVEL)
    welch_Q = ((signs_QV != 0) & apart_V).any(axis=1)
    squares_QV = weight_QR**2 @ design_RP[:, : len(num_V)]  # summed over each variant's runs
    own_Q, own_df_Q = _satterthwaite(squares_QV, variance_V, num_V)
    square_Q = np.where(welch_Q, own_Q, squares_QV.sum(axis=1) * pooled)
    difference_Q = np.round(weight_QR @ values_R, 9)  # makes 97.2 - 97.0 equal 95.2 - 95.0
    return Estimates(
        np.where(known_Q, np.where(signs_QV != 0, num_V, len(values_R)).min(axis=1), 0),
        np.where(known_Q, difference_Q, np.nan),
        np.where(known_Q, np.sqrt(square_Q), np.nan),
        np.where(welch_Q, own_df_Q, df if df else np.nan),
        welch_Q,
    )


@lru_cache(maxsize=2)
def least_squares(finished: bytes, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, int]:
    """The design matrix (R, P) of variant + seed, its pseudo-inverse and its rank.

    Cached, because all metrics and epochs of a study have the same finished runs.
    """
    variant_R, seed_R = np.nonzero(np.frombuffer(finished, bool).reshape(shape))
    design_RP = np.hstack([np.eye(shape[0])[variant_R], np.eye(shape[1])[seed_R]])
    # Variants and seeds share a constant, so one singular value is 0 up to rounding.
    inverse_PR = np.linalg.pinv(design_RP, rcond=1e-10)
    return design_RP, inverse_PR, np.linalg.matrix_rank(design_RP)


def _satterthwaite(
    squares_QV: np.ndarray, variance_V: np.ndarray, num_V: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Squared standard errors and degrees of freedom, each variant with its own variance.

    Args:
        squares_QV: squared weights of a contrast, summed over each variant's runs.
    """
    parts_QV = np.where(squares_QV > 1e-12, squares_QV * variance_V, 0)
    square_Q = parts_QV.sum(axis=1)
    with np.errstate(invalid="ignore"):  # 0 / 0 for contrasts without a run
        return square_Q, square_Q**2 / (parts_QV**2 / np.maximum(num_V - 1, 1)).sum(axis=1)


def noisier(variance_V: np.ndarray, num_V: np.ndarray) -> np.ndarray:
    """Find variants with a larger variance than all others together, by an F test.

    Bartlett's test misses a single noisy variant, which matters most if it is the reference. A
    variant with one run is never noisy.
    """
    df_V = np.maximum(num_V - 1, 0)
    sum_V = np.where(df_V > 0, df_V * variance_V, 0)
    others_V = df_V.sum() - df_V
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio_V = variance_V / ((sum_V.sum() - sum_V) / others_V)
    return stats.f.sf(ratio_V, df_V, others_V) < NOISY_LEVEL


def bartlett(variance_V: np.ndarray, num_V: np.ndarray) -> float:
    """p value of Bartlett's test for equal variances; 1 with fewer than two variances.

    scipy's version takes samples, so their variances could not have a floor.
    """
    known_V = num_V > 1
    variance_V, df_V = variance_V[known_V], num_V[known_V] - 1
    if len(df_V) < 2:
        return 1.0
    pooled = np.average(variance_V, weights=df_V)
    statistic = (df_V * np.log(pooled / variance_V)).sum()
    correction = 1 + ((1 / df_V).sum() - 1 / df_V.sum()) / (3 * (len(df_V) - 1))
    return float(stats.chi2.sf(statistic / correction, len(df_V) - 1))


def rounding_variance(num_test: float) -> float:
    """Variance of an accuracy in per cent from rounding to whole test images.

    This is the floor of estimated variances: a few runs may happen to classify equally many images,
    and with a sample variance of 0 F and t statistics would be infinite.
    """
    return (100 / num_test) ** 2 / 12 if num_test > 0 else 0.0


def claim_p_values(compared: pd.DataFrame, claims: pd.Series, margin: float | None) -> np.ndarray:
    """Test each contrast's claim: twice the one-sided p value, at most 1.

    Doubled, it is below the level exactly if the two-sided interval supports the claim.

    Args:
        compared: rows of `compare`.
        claims: SUPERIOR (the difference is above 0) or NON_INFERIOR (above -margin).
    """
    shift_Q = np.where(claims == NON_INFERIOR, margin or 0.0, 0.0)
    t_Q = (compared["difference"] + shift_Q) / compared["standard_error"]
    return np.minimum(2 * stats.t.sf(t_Q, compared["df"]), 1)


def verdicts(difference: pd.Series, half_width: pd.Series, margin: float | None) -> np.ndarray:
    """Verdicts from intervals and the margin; "" without an interval."""
    low, high = difference - half_width, difference + half_width
    return np.select(
        [half_width.isna(), low > 0, low > -(margin or 0.0), high < 0],
        ["", SUPERIOR, NON_INFERIOR, INFERIOR],
        INCONCLUSIVE,
    )


def holm(p_Q: np.ndarray) -> np.ndarray:
    """Holm-adjusted p values; NaNs are not counted."""
    adjusted_Q, known_Q = np.full(len(p_Q), np.nan), np.isfinite(p_Q)
    if known_Q.any():
        adjusted_Q[known_Q] = multipletests(p_Q[known_Q], method="holm")[1]
    return adjusted_Q
