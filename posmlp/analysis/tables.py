"""A table as CSV, Markdown, LaTeX and for the terminal: one frame of numbers, one list of columns.

Every format prints the same cells of the same columns; the CSV holds the numbers behind them.
"""

import textwrap
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

TEXT_WIDTH = 100
FLOAT_FORMAT = "%.9g"  # in CSV files: the same on every machine


@dataclass(frozen=True)
class Column:
    """A column of a printed table.

    Args:
        header: what stands above it.
        cell: gives the text of a row's cell.
        meaning: a sentence of the caption, without its full stop; "" where the header says it all.
        align: "left" or "right".
        spare: where a terminal is too narrow the column that is spared most easily goes first;
            0: never.
    """

    header: str
    cell: Callable[[pd.Series], str]
    meaning: str = ""
    align: str = "right"
    spare: int = 0


@dataclass(frozen=True)
class Table:
    """Numbers, one row a line, and the columns that print them."""

    title: str
    frame: pd.DataFrame
    columns: tuple[Column, ...]

    @property
    def caption(self) -> str:
        """What the columns mean."""
        meanings = [column.meaning for column in self.columns if column.meaning]
        return ". ".join([*meanings, ""]).rstrip()

    def cells(self) -> list[list[str]]:
        """Return the header, then the rows."""
        rows = [row for _, row in self.frame.iterrows()]
        headers = [column.header for column in self.columns]
        return [headers, *([column.cell(row) for column in self.columns] for row in rows)]

    def to_csv(self) -> str:
        """Return the frame, all its columns, as numbers."""
        return self.frame.to_csv(index=False, lineterminator="\n", float_format=FLOAT_FORMAT)

    def to_markdown(self, *, heading: bool = True) -> str:
        """Return a Markdown section: heading, table, caption."""
        header, *rows = self.cells()
        rule = ["---:" if column.align == "right" else ":---" for column in self.columns]
        lines = [
            "| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |"
            for row in (header, rule, *rows)
        ]
        title = [f"## {self.title}", ""] if heading else []
        return "\n".join([*title, *lines, "", self.caption, ""])

    def to_latex(self) -> str:
        """Return a table* environment; the document needs only the package booktabs."""
        align = "".join("r" if column.align == "right" else "l" for column in self.columns)
        header, *rows = [" & ".join(map(escape_latex, row)) + r" \\" for row in self.cells()]
        stop = "" if self.title.endswith((".", "?", "!")) else "."
        return "\n".join(
            [
                r"\begin{table*}",
                r"\centering\scriptsize\setlength{\tabcolsep}{2.5pt}",
                rf"\caption{{{escape_latex(f'{self.title}{stop} {self.caption}')}}}",
                r"\vspace{4pt}",
                rf"\begin{{tabular}}{{{align}}}",
                *(r"\toprule", header, r"\midrule", *rows, r"\bottomrule"),
                r"\end{tabular}",
                r"\end{table*}",
                "",
            ]
        )

    def to_text(self) -> str:
        """Return the table and its caption for a terminal of TEXT_WIDTH columns.

        Columns that can be spared are left out until it fits; then names are shortened.
        """
        rows = self.cells()
        widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
        too_wide = sum(widths) + 2 * (len(widths) - 1) - TEXT_WIDTH
        if too_wide > 0 and any(column.spare for column in self.columns):
            spared = max(self.columns, key=lambda column: column.spare)
            fewer = tuple(column for column in self.columns if column is not spared)
            return replace(self, columns=fewer).to_text()
        widths[0] -= max(too_wide, 0)
        lines = [
            "  ".join(
                _shorten(cell, width).ljust(width) if column.align == "left" else cell.rjust(width)
                for cell, width, column in zip(row, widths, self.columns, strict=True)
            ).rstrip()
            for row in rows
        ]
        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        notes = textwrap.wrap(self.caption, TEXT_WIDTH, break_on_hyphens=False)
        return "\n".join([lines[0], rule, *lines[1:], rule, *notes, ""])


def escape_latex(text: str) -> str:
    """Return text with LaTeX's special characters and our few symbols in LaTeX's spelling."""
    special = {character: f"\\{character}" for character in "&%$#_{}"}
    special |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {character: f"${character}$" for character in "<>"}
    special |= {"±": r"$\pm$", "×": r"$\times$", "Σ": r"$\Sigma$", "−": "$-$", "≤": r"$\le$"}
    return text.translate(str.maketrans(special))


def write_table(table: Table, narrow: Table, folder: str | Path, name: str) -> None:
    """Write folder/name.csv (the numbers), .md and, of the narrow form, .tex (rounded)."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    texts = {"csv": table.to_csv(), "md": table.to_markdown(), "tex": narrow.to_latex()}
    for ending, text in texts.items():
        (Path(folder) / f"{name}.{ending}").write_text(text, encoding="utf-8")


def _shorten(text: str, width: int) -> str:
    """Cut the middle out of a name too long for its column; its end tells variants apart."""
    if len(text) <= width:
        return text
    head = (width - 1) // 2
    return text[:head] + "…" + text[len(text) - (width - 1 - head) :]
