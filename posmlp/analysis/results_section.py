"""A results section that can be pasted into a paper: sentences from a summary, nothing else.

Every number comes from the summary frame (see posmlp.analysis.statistics), so that the text cannot
say other than the table beside it.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from posmlp.analysis.inference import MOST_SEEDS
from posmlp.analysis.main_table import plus_minus
from posmlp.analysis.statistics import LEVEL, Better, num_comparisons
from posmlp.analysis.tables import escape_latex

VERDICTS = {
    "yes": "More accurate than {reference}",
    "no": "Less accurate than {reference}",
    "not distinguishable": "Not distinguishable from {reference}",
    "": "Without a verdict, for want of seeds shared with {reference}",
}


def to_markdown(summary: pd.DataFrame, answers: pd.DataFrame, better: Better, title: str) -> str:
    """Return the section in Markdown."""
    texts = [*paragraphs(summary, better), *questions(answers)]
    return "\n\n".join([f"## Results: {title}", *texts]) + "\n"


def to_latex(summary: pd.DataFrame, answers: pd.DataFrame, better: Better, title: str) -> str:
    """Return the section in LaTeX, with the main table; it needs the package booktabs."""
    parts = [rf"\section*{{Results: {escape_latex(title)}}}"]
    texts = [*paragraphs(summary, better), *questions(answers)]
    parts += [escape_latex(text) for text in texts]
    return "\n\n".join([*parts, r"\input{tables/main}"]) + "\n"


def write(
    summary: pd.DataFrame, answers: pd.DataFrame, better: Better, title: str, folder: str | Path
) -> None:
    """Write results.md and results.tex into `folder`."""
    for name, text in (("results.md", to_markdown), ("results.tex", to_latex)):
        (Path(folder) / name).write_text(text(summary, answers, better, title), encoding="utf-8")


def paragraphs(summary: pd.DataFrame, better: Better) -> list[str]:
    """Return the text: what was compared, the best and the reference, verdicts, what is missing.

    Args:
        better: the rule by which the summary was made.
    """
    return [
        f"{compared(summary)} {best_and_reference(summary)}",
        *verdicts(summary, better),
        *seeds_needed(summary, better),
        *smallest_equal(summary),
        *missing_seeds(summary),
    ]


def compared(summary: pd.DataFrame) -> str:
    """Say how many variants and seeds stand behind the numbers, and what accuracy means."""
    variants = "1 variant was" if len(summary) == 1 else f"{len(summary)} variants were"
    seeds = "1 seed" if summary["n"].max() == 1 else f"{summary['n'].max()} seeds"
    return (
        f"{variants} trained with {seeds} each. Accuracies are top-1 on the test set in per cent "
        "after the last epoch, mean ± standard deviation over seeds."
    )


def best_and_reference(summary: pd.DataFrame) -> str:
    """Name the highest mean and the reference."""
    best = summary.loc[summary["mean"].idxmax()]
    name = summary["reference"].iloc[0]
    found = summary[summary["variant"] == name]
    if best["variant"] == name:
        return f"The reference {named(best)} has the highest mean."
    text = f"The highest mean is that of {named(best)}"
    return text + (f"; the reference is {named(found.iloc[0])}." if len(found) else ".")


def verdicts(summary: pd.DataFrame, better: Better) -> list[str]:
    """List the variants by what their paired difference says, and from which other it is."""
    others = summary[summary["variant"] != summary["reference"]]
    sentences = []
    for verdict, words in VERDICTS.items():
        found = others[others["better"] == verdict]
        for against, rows in found.groupby("against", sort=False):
            names = ", ".join(difference(row) for _, row in rows.iterrows())
            sentences.append(f"{words.format(reference=against)}: {names}.")
    if not sentences:
        return []
    num_tests = num_comparisons(summary)
    corrected = f", Holm-corrected for {num_tests} comparisons" if num_tests > 1 else ""
    rule = (
        f"Differences are paired by seed, ± half the width of their Student-t {LEVEL:.0%} "
        f"interval; verdicts are those of paired t tests at the level {better.level:g}{corrected}."
    )
    return [" ".join([*sentences, rule])]


def seeds_needed(summary: pd.DataFrame, better: Better) -> list[str]:
    """Say how many seeds would tell apart what could not be told apart."""
    open_ones = summary[summary["better"] == "not distinguishable"].dropna(subset="seeds_needed")
    if open_ones.empty:
        return []
    counts = []
    for num_seeds, rows in open_ones.groupby("seeds_needed"):
        number = f"{num_seeds:.0f}" if np.isfinite(num_seeds) else f"more than {MOST_SEEDS:,}"
        counts.append(f"{number} ({', '.join(rows['variant'])})")
    smallest = better.smallest_difference
    at_least = f", but at least {smallest} points" if smallest else ""
    return [
        f"If the true differences are as measured{at_least}, and their spread too, these would be "
        f"told apart with a probability of {better.power:.0%} by so many seeds: "
        f"{', '.join(counts)}."
    ]


def smallest_equal(summary: pd.DataFrame) -> list[str]:
    """Name the smallest variant that is not worse than the reference, where it is smaller."""
    reference = summary[summary["variant"] == summary["reference"]]
    equal = summary[summary["better"].isin(["yes", "not distinguishable"])]
    if reference.empty or equal.empty:
        return []
    smallest, size = equal.loc[equal["params"].idxmin()], reference["params"].iloc[0]
    if smallest["params"] >= size:
        return []
    saved = 1 - smallest["params"] / size
    return [
        f"The smallest variant that was not found to be less accurate than the reference is "
        f"{smallest['variant']}, with {saved:.1%} fewer parameters. That no difference was found "
        "does not show that there is none."
    ]


def questions(answers: pd.DataFrame) -> list[str]:
    """Give the answers to each question, a paragraph each."""
    texts = []
    for question, rows in answers.groupby("question", sort=False):
        found = []
        for _, row in rows.iterrows():
            difference = plus_minus(row["difference"], row["half_width"], "+")
            words = [f"{row['contrast']}: {difference}", *filter(None, [row["verdict"]])]
            found.append(", ".join(words).replace(" - ", " − "))
        texts.append(f"{question} {'; '.join(found)}.")
    return texts


def missing_seeds(summary: pd.DataFrame) -> list[str]:
    """Name the variants with fewer seeds than the others."""
    short = summary[summary["n"] < summary["n"].max()]
    if short.empty:
        return []
    names = ", ".join(f"{row['variant']} ({row['n']})" for _, row in short.iterrows())
    return [f"Fewer seeds than the others have: {names}."]


def named(row: pd.Series) -> str:
    """Return a variant with its accuracy and size."""
    spread = "" if pd.isna(row["std"]) else f" ± {row['std']:.2f}"
    return f"{row['variant']} ({row['mean']:.2f}{spread}, {row['params']:,} parameters)"


def difference(row: pd.Series) -> str:
    """Return a variant with its difference from the reference, as far as it is known."""
    if pd.isna(row["difference"]):
        return row["variant"]
    return f"{row['variant']} ({plus_minus(row['difference'], row['difference_half_width'], '+')})"
