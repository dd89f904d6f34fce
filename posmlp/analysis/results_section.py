"""A results section for a paper: the questions asked before the runs, and their answers.

It reports no other comparison, and no verdict from the exploratory table of variants.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

from posmlp.analysis.contrasts import NON_INFERIOR
from posmlp.analysis.main_table import tables
from posmlp.analysis.statistics import PRIMARY, Evidence
from posmlp.analysis.tables import number, p_value, plus_minus, span
from posmlp.markup import escape_latex, escaped

LARGE_FRACTION = 0.2  # of parameters, from which a comparison is one of size as well

# \\@nodocument is \relax inside a document.
OPENING = r"""% \input this into a document with booktabs and graphicx, or compile it by itself.
\makeatletter\ifx\@nodocument\relax\let\closeresults\relax\else
\documentclass{article}\usepackage{booktabs,graphicx}\begin{document}
\def\closeresults{\end{document}}\fi\makeatother"""
CLOSING = r"\closeresults"


def write(evidence: Evidence, folder: Path) -> None:
    """Write results.md, and results.tex with the main table."""
    texts, title = list(paragraphs(evidence)), evidence.study.title
    markdown = [f"## Results: {escaped(title)}", *map(escaped, texts)]
    latex = [OPENING, rf"\section*{{Results: {escape_latex(title)}}}", *map(escape_latex, texts)]
    latex += [tables(evidence)["main"].to_latex(), CLOSING]
    for name, parts in (("results.md", markdown), ("results.tex", latex)):
        (folder / name).write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def paragraphs(evidence: Evidence) -> Iterator[str]:
    """The paragraphs as plain text."""
    summary = evidence.summary
    yield what_was_trained(summary)
    yield from answers(evidence)
    yield from sizes(summary)
    short = summary[summary["n"] < summary["n"].max()]
    if len(short):
        names = _listed(short, lambda row: f"{row['n']} of {row['num_seeds']}")
        yield f"Variants with unfinished seeds: {names}."


def what_was_trained(summary: pd.DataFrame) -> str:
    variants = "1 variant was" if len(summary) == 1 else f"{len(summary)} variants were"
    seeds = "1 seed" if summary["num_seeds"].max() == 1 else f"{summary['num_seeds'].max()} seeds"
    text = (
        f"{variants} trained with {seeds} each. Accuracies are top-1 on the test images in per "
        "cent after the last epoch, mean ± standard deviation over seeds."
    )
    for _, row in summary[summary["variant"] == summary["reference"]].iterrows():
        accuracy = plus_minus(row[f"{PRIMARY}_mean"], row[f"{PRIMARY}_std"])
        text += f" The reference {row['variant']} reaches {accuracy} with "
        text += f"{number(row['params'])} parameters."
    return text


def answers(evidence: Evidence) -> Iterator[str]:
    """Each question with the verdicts of its contrasts, then the method."""
    study, answered = evidence.study, evidence.answers
    if answered.empty:
        yield (
            "The study asked no question before its runs, so there is no verdict; its table of "
            "variants is exploratory."
        )
        return
    for question, rows in answered.groupby("question", sort=False):
        claim = rows["claim"].iloc[0]
        margin = f" with a margin of {study.margin:g} points" if claim == NON_INFERIOR else ""
        found = "; ".join(_answer(row) for _, row in rows.iterrows())
        yield f"{question} Claim: {claim}{margin}. {found}."
    num = answered["p_value"].notna().sum()
    crossed = answered["crossed_low"].notna().any()
    second = (
        ", and intervals from a crossed bootstrap over seeds and test images" if crossed else ""
    )
    yield (
        f"Differences are in points, with {1 - study.level:.0%} Student-t intervals from a linear "
        f"model of variant and seed{second}. p values are those of the claims, Holm-adjusted over "
        f"{num} contrasts; a claim holds if p is at most {study.level:g}."
    )


def _answer(row: pd.Series) -> str:
    text = f"{row['contrast'].replace(' - ', ' − ')}: {number(row['difference'], 2, '+')}"
    if pd.isna(row["half_width"]):
        return f"{text} (n = {row['n']}), no verdict without an interval"
    interval = span(row["difference"] - row["half_width"], row["difference"] + row["half_width"])
    if pd.notna(row["crossed_low"]):
        interval += f"; over seeds and images {span(row['crossed_low'], row['crossed_high'])}"
    equals = "" if row["p_adjusted"] < 0.001 else "= "
    p = f"p {equals}{p_value(row['p_adjusted'])}"
    return f"{text} ({interval}, n = {row['n']}, {p}), {row['verdict']}"


def sizes(summary: pd.DataFrame) -> Iterator[str]:
    """Warn of comparisons that are also comparisons of network size."""
    apart = summary[summary["removed_fraction"].abs() > LARGE_FRACTION]
    if len(apart):
        names = _listed(apart, lambda row: number(-100 * row["removed_fraction"], 0, "+") + " %")
        yield (
            "These comparisons are of network size as well, because parameters differ by more "
            f"than {LARGE_FRACTION:.0%}: {names}."
        )


def _listed(rows: pd.DataFrame, note: Callable[[pd.Series], str]) -> str:
    return ", ".join(f"{row['variant']} ({note(row)})" for _, row in rows.iterrows())
