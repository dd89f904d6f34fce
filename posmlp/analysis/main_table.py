"""The tables of a study: its variants and the answers to its questions."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from posmlp.analysis.contrasts import WELCH
from posmlp.analysis.statistics import PRIMARY, Evidence
from posmlp.analysis.tables import Column, Table, number, p_value, plus_minus, span
from posmlp.study import Study, terms

MOST_FIRST = 8  # rows of the main table, unless questions name more variants
TOP1 = "Top-1: test accuracy after the last epoch, mean ± standard deviation over n seeds"
MIXING = "Mixing: share of parameters in token mixing"
REMOVED = "Removed: reduction in parameters from {against}"
DIFFERENCE = (
    "Difference: {what}, in points of top-1, ± half width of its {confidence:.0%} Student-t "
    "interval, from a linear model of variant and seed with one variance for all variants"
)
NOISY = "†: variances differ, so each variant has its own (Welch)"
CROSSED = (
    "Seeds and images: interval of the same difference from a crossed bootstrap over seeds and "
    "test images (–: predictions not stored)"
)
P_VALUE = "p: two-sided; intervals and p are exploratory, not adjusted for the number of rows"
LOSS = "Loss: test cross-entropy"
LOSS_DIFFERENCE = "Loss difference: the same for test cross-entropy (lower is better)"
ANSWER_P = "p: one-sided for the claim, doubled, Holm-adjusted over all {num} contrasts"
VERDICT = (
    "Verdict: the claim if p ≤ {level:g}, otherwise from the interval at level {level:g}/{num}: "
    "superior above 0, {margin}inferior below 0"
)
MARGIN = "non-inferior above −{margin:g} (the margin), "
MIXING_OF_FIRST = "Mixing: share of the first variant's parameters in token mixing"
REMOVED_OF_FIRST = "Removed: its reduction in parameters from the second variant"


def tables(evidence: Evidence) -> dict[str, Table]:
    """The tables of a study by file name.

    main: MOST_FIRST variants, starting with those in questions; variants: all, with costs;
    questions: the answers.
    """
    study, summary = evidence.study, evidence.summary
    few = first_variants(study, list(summary["variant"]))
    main = _variants_table(summary[summary["variant"].isin(few)], study, whole=False)
    return {
        "main": main,
        "variants": _variants_table(summary, study, whole=True),
        "questions": answers_table(evidence),
    }


def write_tables(evidence: Evidence, folder: str | Path) -> None:
    """Write every table as .csv, .md and .tex."""
    for name, table in tables(evidence).items():
        table.write(folder, name)


def first_variants(study: Study, variants: list[str]) -> list[str]:
    """Rows of the main table: the reference, variants in questions, then the sheet's order."""
    contrasts = [contrast for question in study.questions for contrast in question.contrasts]
    asked = dict.fromkeys([study.reference, *(n for c in contrasts for _, n in terms(c))])
    order = dict.fromkeys([*asked, *variants])
    return [name for name in order if name in variants][: max(MOST_FIRST, len(asked))]


def _variants_table(summary: pd.DataFrame, study: Study, *, whole: bool) -> Table:
    """Accuracy, loss, size and comparison of variants.

    Args:
        whole: add costs and averaged weights.
    """
    compared = summary["against"] != ""
    single = (summary.loc[compared, "against"] == study.reference).all()
    against = study.reference if single else "the variant under Against"
    noisy = (summary[f"{PRIMARY}_variances"] == WELCH).any()
    difference = DIFFERENCE.format(what=f"from {against}", confidence=1 - study.level)
    columns = [
        Column("Variant", lambda row: row["variant"], align="left"),
        Column("Params", lambda row: number(row["params"])),
        Column("Mixing (%)", _percent("mixing_fraction"), MIXING),
        Column("Against", lambda row: row["against"], align="left"),
        Column("Removed (%)", _percent("removed_fraction"), REMOVED.format(against=against)),
        Column("Top-1 (%)", _mean(PRIMARY), TOP1),
        Column("n", _seeds_done),
        Column("Difference", _difference(PRIMARY), ". ".join([difference, NOISY][: 1 + noisy])),
        Column("Seeds and images", _crossed(f"{PRIMARY}_"), CROSSED, spare=1),
        Column("p", lambda row: p_value(row[f"{PRIMARY}_p_value"]), P_VALUE),
        Column("Loss difference", _difference("test_loss", 3), LOSS_DIFFERENCE, spare=2),
    ]
    if single:
        columns = [column for column in columns if column.header != "Against"]
    return Table(study.title, summary, (*columns, *(_costs(summary) if whole else ())))


def _costs(summary: pd.DataFrame) -> Iterator[Column]:
    yield Column("Loss", lambda row: number(row["test_loss_mean"], 3), LOSS, spare=3)
    if "ema_test_top1_mean" in summary:
        yield Column(
            "EMA (%)", _mean("ema_test_top1"), "EMA: top-1 of the averaged weights", spare=6
        )
    yield Column("MACs (M)", _macs, "MACs: multiply-accumulates per image", spare=4)
    speed = "Images/s: training throughput"
    yield Column("Images/s", lambda row: number(row["images_per_s"]), speed, spare=5)


def answers_table(evidence: Evidence) -> Table:
    """The answers, with the text of each question in its first row."""
    study, answers = evidence.study, evidence.answers
    ask = answers["question"].mask(answers["question"].duplicated(), "")
    answers = answers.assign(ask=ask)
    num = answers["p_value"].notna().sum()
    margin = MARGIN.format(margin=study.margin) if study.margin else ""
    difference = DIFFERENCE.format(what="of the contrast", confidence=1 - study.level)
    noisy = (answers["variances"] == WELCH).any()
    verdict = VERDICT.format(level=study.level, num=num, margin=margin)
    columns = (
        Column("Question", lambda row: row["ask"], align="left", spare=5),
        Column("Claim", lambda row: row["claim"], align="left"),
        Column("Contrast", lambda row: row["contrast"].replace(" - ", " − "), align="left"),
        Column("n", lambda row: f"{row['n']}"),
        Column(
            "Difference",
            lambda row: _marked(row["difference"], row["half_width"], row["variances"]),
            ". ".join([difference, NOISY][: 1 + noisy]),
        ),
        Column("Seeds and images", _crossed(), CROSSED, spare=1),
        Column("p", lambda row: p_value(row["p_adjusted"]), ANSWER_P.format(num=num)),
        Column("Verdict", lambda row: row["verdict"], verdict, align="left"),
        Column(
            "Loss difference",
            lambda row: _marked(
                row["loss_difference"], row["loss_half_width"], row["loss_variances"], 3
            ),
            f"{LOSS_DIFFERENCE}, exploratory",
            spare=2,
        ),
        Column("Mixing (%)", _percent("mixing_fraction"), MIXING_OF_FIRST, spare=4),
        Column("Removed (%)", _percent("removed_fraction"), REMOVED_OF_FIRST, spare=3),
    )
    return Table("Questions", answers, columns)


def _percent(name: str) -> Callable[[pd.Series], str]:
    return lambda row: number(100 * row[name], 1)


def _mean(metric: str) -> Callable[[pd.Series], str]:
    return lambda row: plus_minus(row[f"{metric}_mean"], row[f"{metric}_std"])


def _difference(metric: str, decimals: int = 2) -> Callable[[pd.Series], str]:
    names = [f"{metric}_{name}" for name in ("difference", "difference_half_width", "variances")]
    return lambda row: _marked(*(row[name] for name in names), decimals)


def _crossed(prefix: str = "") -> Callable[[pd.Series], str]:
    def cell(row: pd.Series) -> str:
        if np.isnan(row[f"{prefix}difference"]):
            return ""
        return span(row[f"{prefix}crossed_low"], row[f"{prefix}crossed_high"]) or "–"

    return cell


def _marked(value: float, half_width: float, variances: str, decimals: int = 2) -> str:
    text = plus_minus(value, half_width, "+", decimals)
    return f"{text}†" if variances == WELCH else text


def _macs(row: pd.Series) -> str:
    return number(row["macs"] / 1e6, 2 if row["macs"] < 1e8 else 0)


def _seeds_done(row: pd.Series) -> str:
    n, asked = row["n"], row["num_seeds"]
    return f"{n}" if n == asked else f"{n} of {asked}"
