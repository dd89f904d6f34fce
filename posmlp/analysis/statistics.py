"""A study's numbers over seeds: one row per variant, and one per contrast of its questions.

The table of variants is exploratory: intervals and unadjusted p values. Questions are the one
confirmatory family: written down before the runs, adjusted by Holm over all their contrasts.
"""

import numpy as np
import pandas as pd
from scipy import stats

from posmlp import metrics
from posmlp.analysis.contrasts import (
    SUPERIOR,
    claim_p_values,
    compare,
    half_widths,
    holm,
    rounding_variance,
    verdicts,
)
from posmlp.study import Study
from posmlp.study.variant_sheet import NOTHING

CONFIDENCE = 0.95  # of the interval of a mean
PRIMARY = "test_top1"  # what questions are about
OUTCOMES = (PRIMARY, "test_loss")  # compared between variants
IDENTITY_COLUMNS = ["variant", "claim", "model_name", "gate", "groups", "other_settings"]
SIZE_COLUMNS = ["params", "token_mixing_params", "token_mixing_params_per_layer", "macs"]


def summarise(runs: pd.DataFrame, reference: str, level: float = 0.05) -> pd.DataFrame:
    """Summarise runs (RUN_COLUMNS) over seeds, one row per variant in the order of the frame.

    Args:
        reference: the variant that a row is compared with where its `against` is empty.
        level: 1 - confidence of the intervals of differences.

    Returns:
        IDENTITY_COLUMNS and SIZE_COLUMNS; mixing_fraction, of its parameters those that mix tokens;
        n: seeds that have finished, of num_seeds that the study has;
        <metric>_mean, <metric>_std (ddof 1) and <metric>_half_width (Student's t at CONFIDENCE) of
        every metric of predictions that was recorded, after the last epoch;
        images_per_s: median;
        against: the variant compared with, "" where there is none; removed_fraction: parameters
        that it has and this variant has not;
        of each of OUTCOMES <metric>_difference, _difference_half_width, _p_value, _variances (see
        contrasts.compare); reference. What is not known is NaN or "".
    """
    named = runs.drop_duplicates("variant").set_index("variant", drop=False)
    against = named["against"].replace({"": reference, NOTHING: ""})
    against = against.where(named["variant"] != reference, "")
    sizes = _sizes(runs, named.index)
    finished = by_seed(runs, PRIMARY).notna()
    summary = named[IDENTITY_COLUMNS].join(sizes)
    summary["mixing_fraction"] = sizes["token_mixing_params"] / sizes["params"]
    summary["n"], summary["num_seeds"] = finished.sum(axis=1), finished.shape[1]
    recorded = [m.name for m in metrics.EVALUATED if m.name in runs and runs[m.name].notna().any()]
    for metric in recorded:
        summary = summary.join(over_seeds(by_seed(runs, metric)).add_prefix(f"{metric}_"))
    summary["images_per_s"] = by_seed(runs, "images_per_s").median(axis=1)
    summary["against"] = against
    summary["removed_fraction"] = 1 - sizes["params"] / against.map(sizes["params"]).astype(float)
    for metric in OUTCOMES:
        summary = summary.join(_differences(runs, metric, against, level).add_prefix(f"{metric}_"))
    return summary.assign(reference=reference).reset_index(drop=True)


def answer(runs: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Answer the study's questions, one row per contrast.

    Returns:
        question, claim and the columns of contrasts.compare for PRIMARY; p_value: of the claim (see
        contrasts.claim_p_values); p_adjusted: by Holm over all rows; verdict: the claim where
        p_adjusted is at most the study's level, otherwise what the interval says that holds for
        all contrasts together (Bonferroni); "" where there is no interval.
    """
    asked = [(q.ask, q.claim, contrast) for q in study.questions for contrast in q.contrasts]
    asked = pd.DataFrame(asked, columns=["question", "claim", "contrast"])
    compared = _compared(runs, PRIMARY, asked["contrast"].tolist(), study.level)
    answers = asked.join(compared.drop(columns="contrast"))
    answers["p_value"] = claim_p_values(answers, answers["claim"], study.margin)
    answers["p_adjusted"] = holm(answers["p_value"].to_numpy())
    level = study.level / max(answers["p_value"].notna().sum(), 1)
    together = half_widths(answers["standard_error"], answers["df"], level)
    verdict = verdicts(answers["difference"], pd.Series(together), study.margin)
    shown = (answers["p_adjusted"] <= study.level) & (verdict != SUPERIOR)
    return answers.assign(verdict=np.where(shown, answers["claim"], verdict))


def by_seed(runs: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Arrange a metric as variants (in the order of the frame) by seeds; a missing run is NaN."""
    values = runs.pivot(index="variant", columns="seed", values=metric).astype(float)
    return values.loc[runs["variant"].unique()]


def over_seeds(values_VK: pd.DataFrame) -> pd.DataFrame:
    """Means, standard deviations and half widths of Student-t intervals of the means."""
    std, n = values_VK.std(axis=1, ddof=1), values_VK.notna().sum(axis=1)
    half_width = stats.t.ppf((1 + CONFIDENCE) / 2, (n - 1).where(n > 1)) * std / np.sqrt(n)
    return pd.DataFrame({"mean": values_VK.mean(axis=1), "std": std, "half_width": half_width})


def _compared(runs: pd.DataFrame, metric: str, contrasts: list[str], level: float) -> pd.DataFrame:
    rounded = metrics.metric(metric).unit == "%"
    floor = rounding_variance(runs["num_test"].median()) if rounded else 0.0
    return compare(by_seed(runs, metric), contrasts, level, floor)


def _differences(runs: pd.DataFrame, metric: str, against: pd.Series, level: float) -> pd.DataFrame:
    """Compare each variant with the one that its row is against."""
    against = against[against != ""]
    contrasts = [f"{variant} - {other}" for variant, other in against.items()]
    compared = _compared(runs, metric, contrasts, level).set_index(against.index)
    names = {"half_width": "difference_half_width"}
    columns = ["difference", "half_width", "p_value", "variances"]
    return compared[columns].rename(columns=names)


def _sizes(runs: pd.DataFrame, variants: pd.Index) -> pd.DataFrame:
    """SIZE_COLUMNS by variant; one without a finished run has none."""
    finished = runs[runs[PRIMARY].notna()].drop_duplicates("variant").set_index("variant")
    sizes = finished[SIZE_COLUMNS].reindex(variants)
    layers = "token_mixing_params_per_layer"
    return sizes.assign(**{layers: sizes[layers].fillna("[]")})
