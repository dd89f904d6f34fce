"""Means, spreads and paired differences over seeds: one row per variant.

With three to five seeds the Student-t interval keeps its 95 %; 1.96 standard errors and the
bootstrap are far too narrow there. Seeds are shared by all variants, so differences are paired.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

LEVEL = 0.95
IDENTITY_COLUMNS = ["variant", "claim", "model_name", "gate", "groups", "other_settings"]
SIZE_COLUMNS = ["params", "token_mixing_params", "token_mixing_params_per_layer", "macs"]


def t_half_width(values: Sequence[float], level: float = LEVEL) -> float:
    """Return half the Student-t interval of the mean of independent values; NaN below two."""
    if len(values) < 2:
        return np.nan
    quantile = stats.t.ppf((1 + level) / 2, df=len(values) - 1)
    return float(quantile * np.std(values, ddof=1) / np.sqrt(len(values)))


def summarise(runs: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Summarise runs (RUN_COLUMNS) over seeds, one row per variant in the order of the frame.

    Columns: IDENTITY_COLUMNS, SIZE_COLUMNS; n, mean, std (ddof 1) and half_width of top-1 in per
    cent; ema_mean; then, over the n_pairs seeds shared with `reference`, the mean difference, its
    difference_half_width and `better` (see verdict); train_images_per_s (median); reference.
    What cannot be known, a spread of one seed or a difference from itself, is NaN or "".
    """
    top1 = runs.set_index(["variant", "seed"])["top1"]
    baseline = top1.get(reference, top1.iloc[:0].droplevel("variant"))
    rows = []
    for variant, group in runs.groupby("variant", sort=False):
        pairs = (top1[variant] - baseline).dropna() if variant != reference else baseline.iloc[:0]
        rows.append(
            group.iloc[0][[*IDENTITY_COLUMNS, *SIZE_COLUMNS]].to_dict()
            | _spread(group["top1"])
            | {"ema_mean": group["ema_top1"].mean()}
            | _difference(pairs.to_numpy())
            | {"train_images_per_s": group["train_images_per_s"].median(), "reference": reference}
        )
    return pd.DataFrame(rows)


def verdict(difference: float, half_width: float) -> str:
    """Say whether a difference is better than the reference by the 95 % interval around it.

    "yes" or "no" where the interval lies above or below 0, "not distinguishable" where it holds 0,
    "" where there is no interval. Not corrected for several comparisons.
    """
    if np.isnan(half_width):
        return ""
    if abs(difference) <= half_width:
        return "not distinguishable"
    return "yes" if difference > 0 else "no"


def _spread(top1: pd.Series) -> dict[str, float]:
    return {
        "n": len(top1),
        "mean": top1.mean(),
        "std": top1.std(ddof=1),
        "half_width": t_half_width(top1),
    }


def _difference(pairs: np.ndarray) -> dict[str, float | str]:
    """Summarise paired differences; a single one has no interval and so no verdict."""
    half_width = t_half_width(pairs)
    difference = pairs.mean() if len(pairs) else np.nan
    return {
        "n_pairs": len(pairs),
        "difference": difference,
        "difference_half_width": half_width,
        "better": verdict(difference, half_width),
    }
