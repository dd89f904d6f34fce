"""The one comparison of variants: contrasts of a linear model, variant + seed.

A row of the sheet is the contrast `variant - against`; a question may have longer ones. All are
estimated from one least-squares fit over all runs of a study, so that a difference has the same
interval and p value wherever it is printed. docs/statistics.md gives the reasons.

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

NOISY_LEVEL = 0.1  # of the F test that finds a variant noisier than the others
UNEQUAL_LEVEL = 0.05  # of Bartlett's test of equal variances
POOLED, WELCH = "pooled", "Welch"
NO_VARIANCE = 1e-18  # floor where a metric is not rounded: variances are divided by
SUPERIOR, NON_INFERIOR = "superior", "non-inferior"
INFERIOR, INCONCLUSIVE = "inferior", "inconclusive"


class Estimates(NamedTuple):
    """Contrasts (Q,) with standard errors and degrees of freedom; NaN where not determined."""

    n: np.ndarray  # fewest finished seeds of a contrast's variants
    difference: np.ndarray
    error: np.ndarray
    df: np.ndarray
    welch: np.ndarray  # whether each variant of the contrast has its own variance


def compare(
    values_VK: pd.DataFrame, contrasts: Sequence[str], level: float = 0.05, floor: float = 0.0
) -> pd.DataFrame:
    """Estimate contrasts such as "gqpe - sgu" or "a - b - c + d".

    Args:
        values_VK: a metric by variant and seed, NaN where a run is missing.
        level: 1 - confidence of the intervals.
        floor: smallest variance of a run about the model, see rounding_variance.

    Returns:
        contrast, n, difference, half_width of the Student-t interval, p_value of the two-sided
        test, standard_error, df, variances (POOLED or WELCH, see estimate). One seed gives a
        difference without an interval, a variant without a run gives neither.
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
    """Half of Student's t intervals with confidence 1 - level."""
    return stats.t.ppf(1 - level / 2, df_Q) * error_Q


def coefficients(contrasts: Sequence[str], variants: list[str]) -> np.ndarray:
    """Signs (Q, V) of contrasts; all NaN where one names a variant that is not there."""
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

    The variance of a run about the model is pooled over all variants. Where variances differ, all
    variants' or that of a variant in the contrast from all others', each variant has the variance
    of its own runs, and degrees of freedom are Satterthwaite's (Welch).
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
    squares_QV = weight_QR**2 @ design_RP[:, : len(num_V)]  # of a variant's runs
    own_Q, own_df_Q = _satterthwaite(squares_QV, variance_V, num_V)
    square_Q = np.where(welch_Q, own_Q, squares_QV.sum(axis=1) * pooled)
    difference_Q = np.round(weight_QR @ values_R, 9)  # 97.2 - 97.0 and 95.2 - 95.0 are equal
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

    Kept, because the metrics and epochs of a study have the same finished runs.
    """
    variant_R, seed_R = np.nonzero(np.frombuffer(finished, bool).reshape(shape))
    design_RP = np.hstack([np.eye(shape[0])[variant_R], np.eye(shape[1])[seed_R]])
    # Variants and seeds share a constant: one singular value is 0, or what rounding leaves of it.
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
    with np.errstate(invalid="ignore"):  # 0 / 0 of contrasts without a run
        return square_Q, square_Q**2 / (parts_QV**2 / np.maximum(num_V - 1, 1)).sum(axis=1)


def noisier(variance_V: np.ndarray, num_V: np.ndarray) -> np.ndarray:
    """Find variants with a larger variance than all others together, by an F test.

    Bartlett's test overlooks a single noisy one, which does most harm as the reference. A variant
    with one run says nothing.
    """
    df_V = np.maximum(num_V - 1, 0)
    sum_V = np.where(df_V > 0, df_V * variance_V, 0)
    others_V = df_V.sum() - df_V
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio_V = variance_V / ((sum_V.sum() - sum_V) / others_V)
    return stats.f.sf(ratio_V, df_V, others_V) < NOISY_LEVEL


def bartlett(variance_V: np.ndarray, num_V: np.ndarray) -> float:
    """p value of Bartlett's test that all variances are equal; 1 with fewer than two of them.

    scipy's takes samples, whose variance has no floor.
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
    """Variance that rounding to whole test images gives an accuracy in per cent.

    The floor of estimated variances. A few runs may all happen to classify equally many images:
    their sample variance is 0, and F and t statistics have no limit.
    """
    return (100 / num_test) ** 2 / 12 if num_test > 0 else 0.0


def claim_p_values(compared: pd.DataFrame, claims: pd.Series, margin: float | None) -> np.ndarray:
    """Test each contrast's claim: twice the one-sided p value, at most 1.

    Doubled, it is below the level exactly where the two-sided interval supports the claim.

    Args:
        compared: rows of `compare`.
        claims: SUPERIOR (the difference is above 0) or NON_INFERIOR (above -margin).
    """
    shift_Q = np.where(claims == NON_INFERIOR, margin or 0.0, 0.0)
    t_Q = (compared["difference"] + shift_Q) / compared["standard_error"]
    return np.minimum(2 * stats.t.sf(t_Q, compared["df"]), 1)


def verdicts(difference: pd.Series, half_width: pd.Series, margin: float | None) -> np.ndarray:
    """Read intervals by the margin; "" where there is none."""
    low, high = difference - half_width, difference + half_width
    return np.select(
        [half_width.isna(), low > 0, low > -(margin or 0.0), high < 0],
        ["", SUPERIOR, NON_INFERIOR, INFERIOR],
        INCONCLUSIVE,
    )


def holm(p_Q: np.ndarray) -> np.ndarray:
    """Adjust p values by Holm's method; a NaN stays one and does not count."""
    adjusted_Q, known_Q = np.full(len(p_Q), np.nan), np.isfinite(p_Q)
    if known_Q.any():
        adjusted_Q[known_Q] = multipletests(p_Q[known_Q], method="holm")[1]
    return adjusted_Q
