"""Statistics over seeds: a row per variant, and a row per contrast of the study's questions.

The table of variants is exploratory: intervals and unadjusted p values. The questions, written down
before the runs, are the one confirmatory family, Holm-adjusted over all their contrasts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
from scipy import stats

from posmlp import metrics
from posmlp.analysis.collect import read_frame
from posmlp.analysis.contrasts import (
    SUPERIOR,
    claim_p_values,
    coefficients,
    compare,
    half_widths,
    holm,
    rounding_variance,
    verdicts,
)
from posmlp.analysis.predictions import Predictions, crossed_bootstrap, read_predictions
from posmlp.study import Study, terms
from posmlp.study.variant_sheet import NOTHING

CONFIDENCE = 0.95  # of the intervals of means
PRIMARY = "test_top1"  # the metric of all questions
OUTCOMES = (PRIMARY, "test_loss")  # compared between variants
IDENTITY_COLUMNS = ["variant", "claim", "model_name", "gate", "groups", "other_settings"]
SIZE_COLUMNS = ["params", "token_mixing_params", "token_mixing_params_per_layer", "macs"]
SIZE_COLUMNS += ["num_train"]


@dataclass(frozen=True, eq=False)
class Evidence:
    """A study's runs (RUN_COLUMNS) and predictions, with the statistics derived from them."""

    study: Study
    runs: pd.DataFrame
    predictions: Predictions = field(default_factory=dict)

    @classmethod
    def read(cls, study: Study, folder: Path) -> Self:
        """Read the collected files in a study's results folder.

        Raises:
            ResultsError, ValueError: a file is missing or damaged.
        """
        predictions = read_predictions(folder / "predictions.npz")
        return cls(study, read_frame(folder / "runs.csv"), predictions)

    @cached_property
    def summary(self) -> pd.DataFrame:
        """A row per variant, see summarise."""
        return summarise(self.runs, self.study.reference, self.study.level, self.predictions)

    @cached_property
    def answers(self) -> pd.DataFrame:
        """A row per contrast of the study's questions, see answer."""
        return answer(self.runs, self.study, self.predictions)


def summarise(
    runs: pd.DataFrame,
    reference: str,
    level: float = 0.05,
    predictions: Predictions | None = None,
) -> pd.DataFrame:
    """Summarise runs (RUN_COLUMNS) over seeds, with a row per variant in the order of the frame.

    Args:
        reference: the variant to compare with if `against` is empty.
        level: 1 - confidence of the intervals of differences.
        predictions: needed for intervals over seeds and images.

    Returns:
        IDENTITY_COLUMNS, SIZE_COLUMNS, images_per_s (median), reference and against; n of num_seeds
        finished; mixing_fraction: share of parameters in token mixing; removed_fraction: its
        reduction in parameters from `against`; <metric>_mean, _std (ddof 1) and _half_width
        (Student's t at CONFIDENCE) of recorded metrics; _difference, _difference_half_width,
        _p_value, _variances, _crossed_low and _crossed_high of OUTCOMES (see contrasts.compare and
        predictions.crossed_bootstrap). Unknown values are NaN or "".
    """
    named = runs.drop_duplicates("variant").set_index("variant", drop=False)
    against = named["against"].replace({"": reference, NOTHING: ""})
    against = against.where(named["variant"] != reference, "")
    sizes = _sizes(runs, named.index)
    finished = by_seed(runs, PRIMARY).notna()
    summary = named[IDENTITY_COLUMNS].join(sizes)
    summary["mixing_fraction"] = sizes["token_mixing_params"] / sizes["params"]
    summary["n"], summary["num_seeds"] = finished.sum(axis=1), finished.shape[1]
    recorded = [m for m in metrics.EVALUATED if m in runs and runs[m].notna().any()]
    for metric in recorded:
        summary = summary.join(over_seeds(by_seed(runs, metric)).add_prefix(f"{metric}_"))
    summary["images_per_s"] = by_seed(runs, "images_per_s").median(axis=1)
    summary["against"] = against
    summary["removed_fraction"] = 1 - sizes["params"] / against.map(sizes["params"]).astype(float)
    for metric in OUTCOMES:
        compared = _differences(runs, metric, against, level, predictions)
        summary = summary.join(compared.add_prefix(f"{metric}_"))
    return summary.assign(reference=reference).reset_index(drop=True)


def answer(
    runs: pd.DataFrame, study: Study, predictions: Predictions | None = None
) -> pd.DataFrame:
    """Answer the study's questions, with a row per contrast.

    Returns:
        question, claim and the columns of contrasts.compare for PRIMARY; p_value of the claim (see
        contrasts.claim_p_values); p_adjusted, Holm over all rows; verdict: the claim if p_adjusted
        is at most the study's level, otherwise the verdict of the simultaneous (Bonferroni)
        interval, "" without one; crossed_low, crossed_high: the interval over seeds and images;
        loss_difference, loss_half_width, loss_variances of the test loss, exploratory;
        mixing_fraction of the first variant and removed_fraction, its reduction in parameters from
        the second; both NaN for contrasts of more than two variants.
    """
    asked = [(q.ask, q.claim, contrast) for q in study.questions for contrast in q.contrasts]
    asked = pd.DataFrame(asked, columns=["question", "claim", "contrast"])
    contrasts = asked["contrast"].tolist()
    compared = _compared(runs, PRIMARY, contrasts, study.level, predictions)
    answers = asked.join(compared.drop(columns="contrast"))
    answers["p_value"] = claim_p_values(answers, answers["claim"], study.margin)
    answers["p_adjusted"] = holm(answers["p_value"].to_numpy())
    level = study.level / max(answers["p_value"].notna().sum(), 1)
    together = half_widths(answers["standard_error"], answers["df"], level)
    verdict = verdicts(answers["difference"], pd.Series(together), study.margin)
    shown = (answers["p_adjusted"] <= study.level) & (verdict != SUPERIOR)
    answers["verdict"] = np.where(shown, answers["claim"], verdict)
    loss = _compared(runs, "test_loss", contrasts, study.level)
    loss = loss[["difference", "half_width", "variances"]].add_prefix("loss_")
    return answers.join(loss).join(_sizes_of_contrasts(runs, contrasts))


def _sizes_of_contrasts(runs: pd.DataFrame, contrasts: list[str]) -> pd.DataFrame:
    sizes, rows = _sizes(runs, runs["variant"].unique()), []
    for contrast in contrasts:
        (_, first), (_, second), *others = terms(contrast)
        rows.append((np.nan, np.nan))
        if not others and {first, second} <= set(sizes.index):
            one, other = sizes.loc[first], sizes.loc[second]
            mixing = one["token_mixing_params"] / one["params"]
            rows[-1] = mixing, 1 - one["params"] / other["params"]
    return pd.DataFrame(rows, columns=["mixing_fraction", "removed_fraction"])


def by_seed(runs: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A metric by variant (in the order of the frame) and seed; NaN for a missing run."""
    values = runs.pivot(index="variant", columns="seed", values=metric).astype(float)
    return values.loc[runs["variant"].unique()]


def over_seeds(values_VK: pd.DataFrame) -> pd.DataFrame:
    """Means, standard deviations and half widths of Student-t intervals of the means."""
    std, n = values_VK.std(axis=1, ddof=1), values_VK.notna().sum(axis=1)
    half_width = stats.t.ppf((1 + CONFIDENCE) / 2, (n - 1).where(n > 1)) * std / np.sqrt(n)
    return pd.DataFrame({"mean": values_VK.mean(axis=1), "std": std, "half_width": half_width})


def pooled_std(runs: pd.DataFrame, columns: Sequence[str]) -> pd.Series:
    """Standard deviations over seeds, pooled over variants; NaN if no variant has two seeds."""
    by_variant = runs.groupby("variant")[list(columns)]
    df = (by_variant.count() - 1).clip(lower=0)
    return np.sqrt((by_variant.var() * df).sum() / df.sum())


def _compared(
    runs: pd.DataFrame,
    metric: str,
    contrasts: list[str],
    level: float,
    predictions: Predictions | None = None,
) -> pd.DataFrame:
    """Compare with contrasts.compare; for PRIMARY add the interval over seeds and images."""
    rounded = metric in metrics.PERCENTAGES
    floor = rounding_variance(runs["num_test"].median()) if rounded else 0.0
    values_VK = by_seed(runs, metric)
    compared = compare(values_VK, contrasts, level, floor)
    low_Q = high_Q = np.nan
    if predictions and contrasts and metric == PRIMARY:
        variants = list(values_VK.index)
        signs_QV = coefficients(contrasts, variants)
        low_Q, high_Q = crossed_bootstrap(predictions, variants, signs_QV, level)
    return compared.assign(crossed_low=low_Q, crossed_high=high_Q)


def _differences(
    runs: pd.DataFrame,
    metric: str,
    against: pd.Series,
    level: float,
    predictions: Predictions | None,
) -> pd.DataFrame:
    """Compare each variant with the one in `against`."""
    against = against[against != ""]
    contrasts = [f"{variant} - {other}" for variant, other in against.items()]
    compared = _compared(runs, metric, contrasts, level, predictions).set_index(against.index)
    names = {"half_width": "difference_half_width"}
    columns = ["difference", "half_width", "p_value", "variances", "crossed_low", "crossed_high"]
    return compared[columns].rename(columns=names)


def _sizes(runs: pd.DataFrame, variants: pd.Index) -> pd.DataFrame:
    """SIZE_COLUMNS by variant; NaN without a finished run."""
    finished = runs[runs[PRIMARY].notna()].drop_duplicates("variant").set_index("variant")
    sizes = finished[SIZE_COLUMNS].reindex(variants)
    layers = "token_mixing_params_per_layer"
    return sizes.assign(**{layers: sizes[layers].fillna("[]")})
