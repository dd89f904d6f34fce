"""Tables as CSV, Markdown, LaTeX and text, from one frame and one list of columns.

The printed formats have the same cells; the CSV has the unrounded numbers.
"""

import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
import tabulate

from posmlp.markup import escape_latex, escaped

tabulate.MIN_PADDING = 0  # headers are no wider than needed
TEXT_WIDTH = 100
LATEX_SPARE = 2
LATEX_HEADER = 9  # characters per line of a LaTeX heading
FLOAT_FORMAT = "%.9g"  # of CSV files, the same on every machine


@dataclass(frozen=True)
class Column:
    """A column of a printed table.

    Args:
        cell: formats the cell of a row.
        meaning: a sentence of the caption, without full stop; "" if the header suffices.
        align: "left" or "right".
        spare: columns with the highest number are dropped first on a narrow terminal, and those
            above LATEX_SPARE in LaTeX; 0: never.
    """

    header: str
    cell: Callable[[pd.Series], str]
    meaning: str = ""
    align: str = "right"
    spare: int = 0


@dataclass(frozen=True)
class Table:
    """A frame and its printed columns."""

    title: str
    frame: pd.DataFrame
    columns: tuple[Column, ...]

    @property
    def caption(self) -> str:
        """The meanings of the columns."""
        meanings = [column.meaning for column in self.columns if column.meaning]
        return ". ".join([*meanings, ""]).rstrip()

    @property
    def headers(self) -> list[str]:
        return [column.header for column in self.columns]

    @property
    def aligns(self) -> list[str]:
        return [column.align for column in self.columns]

    def cells(self) -> list[list[str]]:
        """The formatted cells of all rows."""
        return [[c.cell(row) for c in self.columns] for _, row in self.frame.iterrows()]

    def to_csv(self) -> str:
        """The whole frame, unrounded."""
        return self.frame.to_csv(index=False, lineterminator="\n", float_format=FLOAT_FORMAT)

    def to_markdown(self, *, heading: bool = True) -> str:
        """A Markdown section: heading, table, caption."""
        title = [f"## {escaped(self.title)}", ""] if heading else []
        table = markdown_table(self.headers, self.cells(), self.aligns)
        return "\n".join([*title, table, "", escaped(self.caption), ""])

    def for_print(self) -> Self:
        """The table without columns that do not fit a printed page."""
        columns = tuple(column for column in self.columns if column.spare <= LATEX_SPARE)
        return self if columns == self.columns else replace(self, columns=columns)

    def to_latex(self) -> str:
        """A table* environment, at most as wide as the text; needs booktabs and graphicx."""
        if (narrow := self.for_print()) is not self:
            return narrow.to_latex()
        rows = [[escape_latex(cell) for cell in row] for row in self.cells()]
        aligns = "".join(align[0] for align in self.aligns)
        stop = "" if self.title.endswith((".", "?", "!")) else "."
        lines = [
            r"\begin{table*}",
            r"\centering\scriptsize\setlength{\tabcolsep}{2.5pt}",
            rf"\caption{{{escape_latex(f'{self.title}{stop} {self.caption}')}}}",
            r"\vspace{4pt}",
            r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{{aligns}}}",
            r"\toprule",
            _latex_row(_stacked(column) for column in self.columns),
            r"\midrule",
            *map(_latex_row, rows),
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table*}",
            "",
        ]
        return "\n".join(lines)

    def to_text(self) -> str:
        """The table and its caption for a terminal of TEXT_WIDTH columns.

        Spare columns are dropped until it fits; then names are shortened.
        """
        rows = self.cells()
        lines = _print(self.headers, rows, self.aligns, "simple").splitlines()
        too_wide = max(map(len, lines)) - TEXT_WIDTH
        if too_wide > 0 and any(column.spare for column in self.columns):
            spared = max(self.columns, key=lambda column: column.spare)
            fewer = tuple(column for column in self.columns if column is not spared)
            return replace(self, columns=fewer).to_text()
        if too_wide > 0:
            width = max(len(row[0]) for row in rows) - too_wide
            names = shorten((row[0] for row in rows), width)
            rows = [[name, *row[1:]] for name, row in zip(names, rows, strict=True)]
            lines = _print(self.headers, rows, self.aligns, "simple").splitlines()
        notes = textwrap.wrap(self.caption, TEXT_WIDTH, break_on_hyphens=False)
        return "\n".join([*lines, "", *notes, ""])

    def write(self, folder: str | Path, name: str) -> None:
        """Write folder/name.csv (unrounded), .md and .tex."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        texts = {"csv": self.to_csv(), "md": self.to_markdown(), "tex": self.to_latex()}
        for ending, text in texts.items():
            (Path(folder) / f"{name}.{ending}").write_text(text, encoding="utf-8")


def markdown_table(
    headers: Sequence[str], rows: Iterable[Sequence[str]], aligns: Sequence[str] | None = None
) -> str:
    """A Markdown table of plain text or `Markdown` cells.

    Args:
        aligns: "left" or "right" for each column; None: all left.
    """
    return _print([escaped(h) for h in headers], [[*map(escaped, r)] for r in rows], aligns, "pipe")


def _print(
    headers: Sequence[str], rows: Sequence[Sequence[str]], aligns: Sequence[str] | None, form: str
) -> str:
    text = tabulate.tabulate(
        rows, headers, form, colalign=aligns if rows else None, disable_numparse=True
    )
    return "\n".join(line.rstrip() for line in text.splitlines())


def _latex_row(cells: Iterable[str]) -> str:
    return rf"{' & '.join(cells)} \\"


def _stacked(column: Column) -> str:
    """A LaTeX heading, with a long one broken into lines."""
    first, *others = textwrap.wrap(column.header, LATEX_HEADER, break_long_words=False)
    lines = r"\\".join(map(escape_latex, [first, *others]))
    return rf"\shortstack[{column.align[0]}]{{{lines}}}" if others else lines


def shorten(names: Iterable[str], longest: int) -> list[str]:
    """Shorten names longer than `longest` in the middle; different names stay different."""
    names, short = list(names), {}
    for name in dict.fromkeys(names):
        tail = longest // 2
        cut = name if len(name) <= longest else f"{name[: longest - 1 - tail]}…{name[-tail:]}"
        number = 1
        while cut in short.values():
            number += 1
            cut = f"{name[: longest - 1 - len(str(number))]}…{number}"
        short[name] = cut
    return [short[name] for name in names]


def number(value: float, decimals: int = 0, sign: str = "") -> str:
    """A number with thousands separators; "" if unknown."""
    return "" if np.isnan(value) else f"{value:{sign},.{decimals}f}".replace("-", "−")


def plus_minus(value: float, spread: float = np.nan, sign: str = "", decimals: int = 2) -> str:
    """A value ± its spread, or just the value without a spread; "" without a value."""
    text = number(value, decimals, sign)
    return text if np.isnan(spread) or not text else f"{text} ± {spread:.{decimals}f}"


def span(low: float, high: float) -> str:
    """An interval of differences; "" if unknown."""
    return "" if np.isnan(low) else f"{number(low, 2, '+')} to {number(high, 2, '+')}"


def p_value(p: float) -> str:
    if np.isnan(p):
        return ""
    return "<0.001" if p < 0.001 else f"{p:.3f}"
