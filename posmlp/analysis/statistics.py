"""Means, spreads and paired differences over seeds: one row per variant.

The verdict "better" follows the study's rule (Better), which stands in the
study file before the runs.

Shape letters: V variants, K seeds. A run that is missing is NaN and is counted as missing.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from posmlp.analysis import inference
from posmlp.study import Study

LEVEL = 0.95  # of every interval
IDENTITY_COLUMNS = ["variant", "claim", "model_name", "gate", "groups", "other_settings"]
SIZE_COLUMNS = ["params", "token_mixing_params", "token_mixing_params_per_layer", "macs"]
RUN_FIGURES = ["test_top1", "ema_test_top1", "images_per_s", "num_test"]


class Better(NamedTuple):
    """The rule for verdicts."""

    level: float = 0.05
    smallest_difference: float | None = None
    power: float = 0.8


def rule_of(study: Study) -> Better:
    """Take the rule from a study file."""
    return Better(study.level, study.margin)


def summarise(
    runs: pd.DataFrame,
    reference: str,
    better: Better = Better(),  # noqa: B008 (immutable)
    generator: np.random.Generator | None = None,
) -> pd.DataFrame:
    """Summarise runs (RUN_COLUMNS) over seeds, one row per variant in the order of the frame.

    What cannot be known, a spread of one seed or a difference from itself, is NaN or "".

    Args:
        reference: the variant that a row is compared with where its `against` is empty.
        better: the rule for verdicts.
        generator: draws the bootstrap of variants with inference.BOOTSTRAP_FROM or more seeds;
            without it low and high are Student's t for all.

    Returns:
        IDENTITY_COLUMNS and SIZE_COLUMNS;
        n: seeds that have finished, of num_seeds that the study asks for;
        mean, std (ddof 1) and half_width (Student's t at LEVEL) of top-1 in per cent after the last
            epoch; low, high: the interval of the mean, t or bootstrap; ema_mean;
        against: the variant compared with, "" for the reference; over the n_pairs seeds that both
            have, the mean difference, its difference_std, its difference_half_width (t at LEVEL)
            and effect_size: Hedges' g_z, difference / difference_std without the bias of few seeds;
        p_value of the paired t test, p_adjusted: by Holm over the frame;
        better: yes, no or not distinguishable, see verdicts;
        seeds_needed: see seeds_needed; images_per_s: median; reference.

    Raises:
        ValueError: columns are missing.
    """
    needed = {*IDENTITY_COLUMNS, *SIZE_COLUMNS, *RUN_FIGURES, "seed", "against"}
    if missing := sorted(needed - set(runs)):
        raise ValueError(
            f"the runs lack {', '.join(missing)}: another version collected them; run `snakemake`"
        )
    named = runs.drop_duplicates("variant")
    variants = named["variant"].tolist()
    against = named["against"].replace("", reference).where(named["variant"] != reference, "")
    figures = _by_seed(runs, variants)
    summary = pd.DataFrame(
        {name: named[name].to_numpy() for name in IDENTITY_COLUMNS}
        | _sizes(runs, variants)
        | _spread(figures["test_top1"], generator)
        | {"ema_mean": inference.mean(figures["ema_test_top1"]), "against": against.to_numpy()}
        | _difference(figures, variants, against.tolist())
    )
    summary["p_adjusted"] = inference.holm(summary["p_value"].to_numpy())
    summary["better"] = verdicts(summary, better)
    summary["seeds_needed"] = seeds_needed(summary, better)
    summary["images_per_s"] = _median(figures["images_per_s"])
    return summary.assign(reference=reference)


def verdicts(summary: pd.DataFrame, better: Better) -> np.ndarray:
    """Say by the adjusted p values whether variants are better than what they are compared with.

    "yes" or "no" where p is at most the rule's level, by the sign of the difference, otherwise
    "not distinguishable"; "" where there is no test.
    """
    p_V = summary["p_adjusted"].to_numpy()
    answers_V = np.where(summary["difference"] > 0, "yes", "no")
    answers_V = np.where(p_V <= better.level, answers_V, "not distinguishable")
    return np.where(np.isnan(p_V), "", answers_V)


def num_comparisons(summary: pd.DataFrame) -> int:
    """Return how many tests Holm's correction is over."""
    return int(summary["p_value"].notna().sum())


def seeds_needed(summary: pd.DataFrame, better: Better) -> np.ndarray:
    """Return how many seeds would settle each comparison, by the power of the paired t test.

    The difference assumed is the one measured, or the rule's smallest difference of interest where
    that is larger; its spread over seeds is the one measured, without the bias of few seeds. The
    test is at the level that suffices whatever the other comparisons say: level / their number.
    """
    assumed_V = np.maximum(summary["difference"].abs(), better.smallest_difference or 0)
    effect_V = _effect(assumed_V.to_numpy(), summary["difference_std"].to_numpy())
    effect_V *= inference.hedges_correction(summary["n_pairs"].to_numpy())
    level = better.level / max(num_comparisons(summary), 1)
    return inference.seeds_needed(effect_V, level, better.power)


def _by_seed(runs: pd.DataFrame, variants: list[str]) -> dict[str, np.ndarray]:
    """Return each of RUN_FIGURES as (V, K)."""
    table = runs.pivot(index="variant", columns="seed", values=RUN_FIGURES).loc[variants]
    return {name: table[name].to_numpy(float) for name in RUN_FIGURES}


def _sizes(runs: pd.DataFrame, variants: list[str]) -> dict[str, np.ndarray]:
    """Return SIZE_COLUMNS; a variant without a finished run has none."""
    finished = runs[runs["test_top1"].notna()].drop_duplicates("variant").set_index("variant")
    sizes = finished[SIZE_COLUMNS].reindex(variants)
    layers = "token_mixing_params_per_layer"
    sizes[layers] = sizes[layers].fillna("[]")
    return {name: sizes[name].to_numpy() for name in SIZE_COLUMNS}


def _spread(top1_VK: np.ndarray, generator: np.random.Generator | None) -> dict[str, np.ndarray]:
    num_V, mean_V = inference.count(top1_VK), inference.mean(top1_VK)
    std_V = inference.standard_deviation(top1_VK)
    half_width_V = inference.t_half_width(std_V, num_V, LEVEL)
    low_V, high_V = mean_V - half_width_V, mean_V + half_width_V
    if generator is not None:
        for num in np.unique(num_V[num_V >= inference.BOOTSTRAP_FROM]):
            same_V = num_V == num
            values_VK = top1_VK[same_V]
            values_VK = values_VK[np.isfinite(values_VK)].reshape(-1, num)
            ends = inference.bootstrap_interval(values_VK, LEVEL, generator)
            low_V[same_V], high_V[same_V] = ends
    spread = {"n": num_V, "num_seeds": top1_VK.shape[1], "mean": mean_V, "std": std_V}
    return spread | {"half_width": half_width_V, "low": low_V, "high": high_V}


def _difference(
    figures: dict[str, np.ndarray], variants: list[str], against: list[str]
) -> dict[str, np.ndarray]:
    """Compare each variant with another, seed by seed; a single pair has no spread and no test."""
    top1_VK = figures["test_top1"]
    rows = {variant: row for row, variant in enumerate(variants)}
    others_VK = np.full_like(top1_VK, np.nan)
    for row, other in enumerate(against):
        if other in rows:
            others_VK[row] = top1_VK[rows[other]]
    pairs_VK = np.round(top1_VK - others_VK, 9)  # 97.2 - 97.0 and 95.2 - 95.0 are equal
    num_V, mean_V = inference.count(pairs_VK), inference.mean(pairs_VK)
    num_test_V = np.nan_to_num(_median(figures["num_test"]), nan=np.inf)
    std_V = np.maximum(
        inference.standard_deviation(pairs_VK), inference.rounding_deviation(num_test_V)
    )
    return {
        "n_pairs": num_V,
        "difference": mean_V,
        "difference_half_width": inference.t_half_width(std_V, num_V, LEVEL),
        "difference_std": std_V,
        "effect_size": _effect(mean_V, std_V) * inference.hedges_correction(num_V),
        "p_value": inference.paired_t_test(mean_V, std_V, num_V),
    }


def _effect(mean_V: np.ndarray, std_V: np.ndarray) -> np.ndarray:
    return np.divide(mean_V, std_V, out=np.full_like(mean_V, np.nan), where=std_V > 0)


def _median(values_VK: np.ndarray) -> np.ndarray:
    """Return medians over the seeds that are there; NaN where there are none."""
    return pd.DataFrame(values_VK).median(axis=1).to_numpy()
