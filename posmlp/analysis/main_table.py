"""The printed tables of a study: its variants, and the answers to its questions."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from posmlp.analysis.contrasts import WELCH
from posmlp.analysis.statistics import PRIMARY, answer, summarise
from posmlp.analysis.tables import Column, Table, number, p_value, plus_minus
from posmlp.study import Study

TOP1 = "Top-1: test accuracy after the last epoch, mean ± standard deviation over n seeds"
MIXING = "Mixing: share of the network's parameters that mix tokens"
REMOVED = "Removed: parameters that {against} has and the variant has not"
DIFFERENCE = (
    "Difference: {what}, in points of top-1, ± half width of its {confidence:.0%} Student-t "
    "interval, by a linear model of variant and seed with one variance for all variants"
)
NOISY = "†: a variant compared is noisier than the others, so each has its own variance (Welch)"
P_VALUE = "p: two-sided; intervals and p are exploratory, not adjusted for the number of rows"
LOSS = "Loss: test cross-entropy, mean, and its difference likewise (lower is better)"
ANSWER_P = "p: of the claim, one-sided and doubled, Holm-adjusted over all {num} contrasts"
VERDICT = (
    "Verdict: the claim where p ≤ {level:g}, otherwise by the interval at level {level:g}/{num}: "
    "superior above 0, {margin}inferior below 0"
)
MARGIN = "non-inferior above −{margin:g} (the margin), "


def main_table(runs: pd.DataFrame, study: Study) -> Table:
    """Accuracy, loss and size of every variant, and what it is compared with."""
    summary = summarise(runs, study.reference, study.level)
    compared = summary["against"] != ""
    single = (summary.loc[compared, "against"] == study.reference).all()
    against = study.reference if single else "the variant under Against"
    noisy = (summary[f"{PRIMARY}_variances"] == WELCH).any()
    columns = [
        Column("Variant", lambda row: row["variant"], align="left"),
        Column("Params", lambda row: number(row["params"])),
        Column("Mixing (%)", _percent("mixing_fraction"), MIXING),
        Column("MACs (M)", _macs, "MACs: multiply-accumulates for one image", spare=3),
        Column("Top-1 (%)", _mean(PRIMARY), TOP1),
        Column("n", _seeds_done),
    ]
    if "ema_test_top1_mean" in summary:
        cell = _mean("ema_test_top1")
        columns.append(Column("EMA (%)", cell, "EMA: of the averaged weights", spare=5))
    if not single:
        columns.append(Column("Against", lambda row: row["against"], align="left"))
    difference = DIFFERENCE.format(what=f"from {against}", confidence=1 - study.level)
    columns += [
        Column("Removed (%)", _percent("removed_fraction"), REMOVED.format(against=against)),
        Column("Difference", _difference(PRIMARY), ". ".join([difference, NOISY][: 1 + noisy])),
        Column("p", lambda row: p_value(row[f"{PRIMARY}_p_value"]), P_VALUE),
        Column("Loss", lambda row: number(row["test_loss_mean"], 3), LOSS, spare=2),
        Column("Loss difference", _difference("test_loss", 3), spare=1),
        Column(
            "Images/s", lambda row: number(row["images_per_s"]), "Images/s: of training", spare=4
        ),
    ]
    return Table(study.title, summary, tuple(columns))


def answers_table(runs: pd.DataFrame, study: Study) -> Table:
    """The answers to the study's questions; a question's text in the first of its rows."""
    answers = answer(runs, study)
    first = ~answers["question"].duplicated()
    answers["ask"] = answers["question"].where(first, "")
    num = answers["p_value"].notna().sum()
    margin = MARGIN.format(margin=study.margin) if study.margin else ""
    difference = DIFFERENCE.format(what="of the contrast", confidence=1 - study.level)
    noisy = (answers["variances"] == WELCH).any()
    columns = (
        Column("Question", lambda row: row["ask"], align="left"),
        Column("Contrast", lambda row: row["contrast"].replace(" - ", " − "), align="left"),
        Column(
            "Difference",
            lambda row: _marked(row["difference"], row["half_width"], row["variances"]),
            ". ".join([difference, NOISY][: 1 + noisy]),
        ),
        Column("n", lambda row: f"{row['n']}"),
        Column("Claim", lambda row: row["claim"], align="left"),
        Column("p", lambda row: p_value(row["p_adjusted"]), ANSWER_P.format(num=num)),
        Column(
            "Verdict",
            lambda row: row["verdict"],
            VERDICT.format(level=study.level, num=num, margin=margin),
            align="left",
        ),
    )
    return Table("Questions", answers, columns)


def write_main_table(runs: pd.DataFrame, study: Study, folder: str | Path) -> None:
    """Write main.csv, main.md and main.tex."""
    main_table(runs, study).write(folder, "main")


def _percent(name: str) -> Callable[[pd.Series], str]:
    return lambda row: number(100 * row[name], 1)


def _mean(metric: str) -> Callable[[pd.Series], str]:
    return lambda row: plus_minus(row[f"{metric}_mean"], row[f"{metric}_std"])


def _difference(metric: str, decimals: int = 2) -> Callable[[pd.Series], str]:
    names = [f"{metric}_{name}" for name in ("difference", "difference_half_width", "variances")]
    return lambda row: _marked(*(row[name] for name in names), decimals)


def _marked(value: float, half_width: float, variances: str, decimals: int = 2) -> str:
    text = plus_minus(value, half_width, "+", decimals)
    return f"{text}†" if variances == WELCH else text


def _macs(row: pd.Series) -> str:
    return number(row["macs"] / 1e6, 2 if row["macs"] < 1e8 else 0)


def _seeds_done(row: pd.Series) -> str:
    n, asked = row["n"], row["num_seeds"]
    return f"{n}" if n == asked else f"{n} of {asked}"
