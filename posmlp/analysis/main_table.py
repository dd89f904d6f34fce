"""The main table of a study: accuracy and cost of every variant, and what it is better than."""

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd

from posmlp.analysis.inference import MOST_SEEDS
from posmlp.analysis.statistics import LEVEL, Better, num_comparisons
from posmlp.analysis.tables import Column, Table, write_table

TOP1 = (
    "Top-1: accuracy on the test set in per cent after the last epoch, mean ± standard deviation "
    "over n seeds"
)
DIFFERENCE = (
    "Difference: mean paired difference from {against} over the seeds both have ± half width of "
    "its Student-t {level:.0%} interval"
)
EFFECT = (
    "g: effect size, Hedges' g_z, the difference by the standard deviation of paired differences, "
    "without the bias that few seeds give it"
)
P_VALUE = (
    "p: of the paired t test, Holm-corrected for {comparisons}; the spread counts as no smaller "
    "than rounding to whole test images makes it"
)
BETTER = "Better: yes, or no for worse, where p ≤ {level:g}, otherwise not distinguishable (n.d.)"
SEEDS = (
    "Seeds: how many would show a difference that is not distinguishable, with a probability of "
    "{power:.0%} at the level {level:g}/{num_tests}, if it truly is as measured{smallest} and its "
    "spread too; from 3 seeds on"
)


def main_table(
    summary: pd.DataFrame, better: Better, title: str = "", *, narrow: bool = False
) -> Table:
    """Return the main table of a summary.

    Args:
        better: the rule by which the summary was made; the caption states it.
        narrow: abbreviate the verdict, and sum up the parameters of layers that differ.
    """
    columns = [
        *_size_columns(narrow),
        *_accuracy_columns(summary),
        *_comparison_columns(summary, better, narrow),
        Column(
            "Images/s",
            lambda row: _number(row["images_per_s"]),
            "Images/s: median throughput of training",
            spare=4,
        ),
    ]
    return Table(title, summary, tuple(columns))


def write_main_table(summary: pd.DataFrame, better: Better, title: str, folder: str | Path) -> None:
    """Write main.csv, main.md and main.tex into `folder`."""
    narrow = main_table(summary, better, title, narrow=True)
    write_table(main_table(summary, better, title), narrow, folder, "main")


def layer_params(row: pd.Series, lists: bool = True) -> str:
    """Return the parameters of one token-mixing layer, or "Σ sum (runs of equal layers)"."""
    per_layer = json.loads(row["token_mixing_params_per_layer"])
    if len(set(per_layer)) <= 1:
        return _number(row["token_mixing_params"] / max(len(per_layer), 1))
    stretches = [(len(list(same)), number) for number, same in itertools.groupby(per_layer)]
    layers = ", ".join(f"{count}×{number:,}" for count, number in stretches)
    return f"Σ {_number(row['token_mixing_params'])}" + (f" ({layers})" if lists else "")


def _size_columns(narrow: bool) -> list[Column]:
    layers = "" if narrow else " with the layers in order"
    return [
        Column("Variant", lambda row: row["variant"], align="left"),
        Column("Params", lambda row: _number(row["params"])),
        Column(
            "Mixing",
            lambda row: layer_params(row, lists=not narrow),
            "Mixing: parameters of one token-mixing layer; where layers differ, their "
            f"sum (Σ){layers}",
            spare=2,
        ),
        Column(
            "MACs (M)",
            lambda row: _number(row["macs"] / 1e6, 2 if row["macs"] < 1e8 else 0),
            "MACs: multiply-accumulates for one image",
            spare=3,
        ),
    ]


def _accuracy_columns(summary: pd.DataFrame) -> list[Column]:
    columns = [
        Column("Top-1 (%)", lambda row: plus_minus(row["mean"], row["std"]), TOP1),
        Column("n", _seeds_done),
    ]
    if summary["ema_mean"].notna().any():
        mean = "EMA: mean top-1 of the averaged weights"
        columns.append(Column("EMA", lambda row: plus_minus(row["ema_mean"]), mean, spare=5))
    return columns


def _comparison_columns(summary: pd.DataFrame, better: Better, narrow: bool) -> list[Column]:
    reference, num_tests = summary["reference"].iloc[0], num_comparisons(summary)
    single = summary["against"].isin(["", reference]).all()
    against = reference if single else "the variant under Against"
    comparisons = f"{num_tests} comparisons" if num_tests != 1 else "one comparison"
    smallest = better.smallest_difference
    at_least = f" (but at least {smallest} points)" if smallest else ""
    columns = [
        Column(
            "Difference",
            lambda row: plus_minus(row["difference"], row["difference_half_width"], "+"),
            DIFFERENCE.format(against=against, level=LEVEL),
        ),
        Column("g", lambda row: plus_minus(row["effect_size"], sign="+"), EFFECT, spare=6),
        Column(
            "p", lambda row: p_value(row["p_adjusted"]), P_VALUE.format(comparisons=comparisons)
        ),
        Column(
            "Better",
            lambda row: _verdict(row, narrow),
            BETTER.format(level=better.level),
            align="left",
        ),
        Column(
            "Seeds",
            _seeds_needed,
            SEEDS.format(
                power=better.power, level=better.level, num_tests=num_tests, smallest=at_least
            ),
            spare=1,
        ),
    ]
    named = Column("Against", lambda row: row["against"], align="left")
    return columns if single else [named, *columns]


def _number(value: float, decimals: int = 0) -> str:
    """Return a number with thousands marked, "" where it is not known."""
    return "" if np.isnan(value) else f"{value:,.{decimals}f}"


def plus_minus(value: float, spread: float = np.nan, sign: str = "") -> str:
    """Return "value ± spread", the value alone where no spread is known, "" without a value."""
    if np.isnan(value):
        return ""
    text = f"{value:{sign}.2f}".replace("-", "−")
    return text if np.isnan(spread) else f"{text} ± {spread:.2f}"


def p_value(p: float) -> str:
    if np.isnan(p):
        return ""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _seeds_done(row: pd.Series) -> str:
    n, asked = row["n"], row["num_seeds"]
    return f"{n}" if n == asked else f"{n} of {asked}"


def _seeds_needed(row: pd.Series) -> str:
    needed = row["seeds_needed"]
    if row["better"] != "not distinguishable":
        return ""
    return f">{MOST_SEEDS:,}" if needed == np.inf else _number(needed)


def _verdict(row: pd.Series, narrow: bool) -> str:
    if row["variant"] == row["reference"]:
        return "ref." if narrow else "reference"
    return row["better"].replace("not distinguishable", "n.d.") if narrow else row["better"]
