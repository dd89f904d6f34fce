"""The main table of a study, as CSV, Markdown, LaTeX and for the terminal, from one summary."""

import itertools
import json
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from posmlp.analysis.statistics import LEVEL

TEXT_WIDTH = 100
DIFFERENCE_COLUMNS = ["difference", "difference_half_width"]
CAPTION = (
    "Top-1: accuracy on the test set in per cent after the last epoch, mean ± standard deviation "
    "over n seeds{ema}. Difference: mean paired difference from {reference} over the seeds both "
    "have ± half width of its Student-t {level:.0%} interval. Better: yes or no where that "
    "interval excludes 0, otherwise not distinguishable (n.d.); not corrected for several "
    "comparisons. Mixing: parameters of one token-mixing layer; where layers differ, their "
    "sum (Σ){list}. MACs: multiply-accumulates for one image. Images/s: median throughput of "
    "training."
)


@dataclass(frozen=True)
class Column:
    """A column of the formatted tables: its header and the text of its cell in a summary's row."""

    header: str
    cell: Callable[[pd.Series], str]
    align: str = "right"


def write_tables(summary: pd.DataFrame, folder: str | Path, title: str) -> None:
    """Write main.csv (the numbers as they are), main.md and main.tex (rounded) into `folder`."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    summary.to_csv(folder / "main.csv", index=False, lineterminator="\n", float_format="%.6f")
    (folder / "main.md").write_text(to_markdown(summary, title), encoding="utf-8")
    (folder / "main.tex").write_text(to_latex(summary, title), encoding="utf-8")


def to_markdown(summary: pd.DataFrame, title: str) -> str:
    """Return a Markdown section: heading, table, caption."""
    columns = main_columns(summary)
    rows = [
        [column.header for column in columns],
        ["---:" if column.align == "right" else ":---" for column in columns],
        *_cells(summary, columns),
    ]
    lines = ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in rows]
    return "\n".join([f"## {title}", "", *lines, "", _caption(summary), ""])


def to_latex(summary: pd.DataFrame, title: str) -> str:
    """Return a table* environment; the document needs only the package booktabs."""
    columns = main_columns(summary, narrow=True)
    align = "".join("r" if column.align == "right" else "l" for column in columns)
    header, *rows = [
        " & ".join(map(escape_latex, row)) + r" \\"
        for row in ([column.header for column in columns], *_cells(summary, columns))
    ]
    stop = "" if title.endswith((".", "?", "!")) else "."
    return "\n".join(
        [
            r"\begin{table*}",
            r"\centering\footnotesize\setlength{\tabcolsep}{4pt}",
            rf"\caption{{{escape_latex(f'{title}{stop} {_caption(summary)}')}}}",
            rf"\begin{{tabular}}{{{align}}}",
            *(r"\toprule", header, r"\midrule", *rows, r"\bottomrule"),
            r"\end{tabular}",
            r"\end{table*}",
            "",
        ]
    )


def to_text(summary: pd.DataFrame) -> str:
    """Return the table and its caption for a terminal of 100 columns."""
    columns = main_columns(summary, narrow=True, lists=False)
    rows = [[column.header for column in columns], *_cells(summary, columns)]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    widths[0] = min(widths[0], TEXT_WIDTH - sum(widths[1:]) - 2 * (len(widths) - 1))
    lines = [
        "  ".join(
            _shorten(cell, width).ljust(width) if column.align == "left" else cell.rjust(width)
            for cell, width, column in zip(row, widths, columns, strict=True)
        ).rstrip()
        for row in rows
    ]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    notes = textwrap.wrap(_caption(summary, lists=False), TEXT_WIDTH)
    return "\n".join([lines[0], rule, *lines[1:], rule, *notes, ""])


def main_columns(
    summary: pd.DataFrame, *, narrow: bool = False, lists: bool = True
) -> list[Column]:
    """Return the columns of the formatted tables.

    Args:
        narrow: abbreviate the verdict.
        lists: list the layers' parameters where layers differ; without, EMA is left out too.
    """
    columns = [
        Column("Variant", lambda row: row["variant"], align="left"),
        Column("Params", lambda row: f"{row['params']:,}"),
        Column("Mixing", lambda row: layer_params(row, lists)),
        Column("MACs (M)", lambda row: f"{row['macs'] / 1e6:,.{2 if row['macs'] < 1e8 else 0}f}"),
        Column("Top-1 (%)", lambda row: _plus_minus(row["mean"], row["std"])),
        Column("n", lambda row: f"{row['n']}"),
        Column("EMA", lambda row: _plus_minus(row["ema_mean"])),
        Column("Difference", lambda row: _plus_minus(*row[DIFFERENCE_COLUMNS], sign="+")),
        Column("Better", lambda row: _verdict_cell(row, narrow), align="left"),
        Column("Images/s", lambda row: f"{row['train_images_per_s']:,.0f}"),
    ]
    with_ema = lists and summary["ema_mean"].notna().any()
    return [column for column in columns if column.header != "EMA" or with_ema]


def layer_params(row: pd.Series, lists: bool = True) -> str:
    """Return the parameters of one token-mixing layer, or "Σ sum (runs of equal layers)"."""
    per_layer = json.loads(row["token_mixing_params_per_layer"])
    if len(set(per_layer)) <= 1:
        return f"{next(iter(per_layer), 0):,}"
    stretches = [(len(list(same)), number) for number, same in itertools.groupby(per_layer)]
    layers = ", ".join(f"{count}×{number:,}" for count, number in stretches)
    return f"Σ {row['token_mixing_params']:,}" + (f" ({layers})" if lists else "")


def escape_latex(text: str) -> str:
    """Return text with LaTeX's special characters and our few symbols in LaTeX's spelling."""
    special = {character: f"\\{character}" for character in "&%$#_{}"}
    special |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {character: f"${character}$" for character in "<>"}
    special |= {"±": r"$\pm$", "×": r"$\times$", "Σ": r"$\Sigma$", "−": "$-$"}
    return text.translate(str.maketrans(special))


def _cells(summary: pd.DataFrame, columns: list[Column]) -> list[list[str]]:
    return [[column.cell(row) for column in columns] for _, row in summary.iterrows()]


def _caption(summary: pd.DataFrame, lists: bool = True) -> str:
    with_ema = lists and summary["ema_mean"].notna().any()
    return CAPTION.format(
        ema="; EMA: mean of the averaged weights" if with_ema else "",
        reference=summary["reference"].iloc[0],
        level=LEVEL,
        list=" with the layers in order" if lists else "",
    )


def _plus_minus(value: float, spread: float = np.nan, sign: str = "") -> str:
    """Return "value ± spread", the value alone where no spread is known, "" without a value."""
    if np.isnan(value):
        return ""
    text = f"{value:{sign}.2f}".replace("-", "−")
    return text if np.isnan(spread) else f"{text} ± {spread:.2f}"


def _verdict_cell(row: pd.Series, narrow: bool) -> str:
    if row["variant"] == row["reference"]:
        return "ref." if narrow else "reference"
    return row["better"].replace("not distinguishable", "n.d.") if narrow else row["better"]


def _shorten(text: str, width: int) -> str:
    """Cut the middle out of a name too long for its column; its end tells variants apart."""
    if len(text) <= width:
        return text
    head = (width - 1) // 2
    return text[:head] + "…" + text[len(text) - (width - 1 - head) :]
