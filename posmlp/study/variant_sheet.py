"""The sheet of variants: tab-separated, a variant per row, a setting per column."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posmlp.study.section import NAME_RULE, is_path_name
from posmlp.study.study_error import StudyError
from posmlp.study.yaml_files import parse_yaml, read_text

NAME_COLUMNS = ("variant", "claim", "against")  # all others are settings
SETTING_COLUMN = re.compile(r"data\.\w+|model\.\w+|recipe\.(?!augment$)\w+|recipe\.augment\.\w+")
NOTHING = "none"  # under `against`: not compared with any variant


@dataclass(frozen=True)
class Variant:
    """A row of the sheet; `settings` maps dotted keys to the values that it changes."""

    name: str
    claim: str
    settings: dict[str, Any]
    row: int  # line number, from 1
    against: str | None = None  # None: the reference of the study


def read_sheet(path: Path) -> list[Variant]:
    """Read the variants in the order of the sheet.

    Cells are YAML; an empty cell keeps the setting of the study file. Blank lines and lines that
    start with # are skipped.

    Raises:
        StudyError: lists every mistake in the sheet.
    """
    lines = enumerate(read_text(path).replace("\r\n", "\n").split("\n"), start=1)
    rows = [
        (row, [cell.strip() for cell in line.split("\t")])
        for row, line in lines
        if line.strip() and line[0] != "#"
    ]
    if len(rows) < 2:
        raise StudyError(
            f"{path}: no variants; the sheet needs a header (variant, claim and settings such as "
            "model.gate, separated by tabs) and a row for each variant"
        )
    header = rows[0][1]
    problems = _header_problems(header)
    variants: dict[str, Variant] = {}
    for row, cells in rows[1:] if not problems else []:
        variant, found = _read_row(row, header, cells)
        other = variants.setdefault(variant.name.lower(), variant)
        if other is not variant:
            found.append(
                f"column variant: {variant.name} duplicates the name in row {other.row} (case "
                "does not count); rename one"
            )
        problems += [f"row {row}, {problem}" for problem in found]
    if problems:
        raise StudyError([f"{path}, {problem}" for problem in problems])
    return list(variants.values())


def _header_problems(header: list[str]) -> list[str]:
    allowed = "allowed columns: variant, claim, against and settings such as model.gate, recipe.lr"
    counts = Counter(header)
    problems = [f"the column {name} is duplicated" for name, n in counts.items() if n > 1]
    problems += [
        f"the column {name} is missing; {allowed}"
        for name in ("variant", "claim")
        if name not in header
    ]
    problems += [
        f"column {column or '(no name)'}: no such setting; {allowed}"
        for column in header
        if column not in NAME_COLUMNS and not SETTING_COLUMN.fullmatch(column)
    ]
    return [f"row 1: {problem}" for problem in problems]


def _read_row(row: int, header: list[str], cells: list[str]) -> tuple[Variant, list[str]]:
    """Read the variant of a row, and list its mistakes."""
    problems, settings = [], {}
    if len(cells) > len(header):
        problems.append(
            f"{len(cells)} cells for {len(header)} columns; a tab separates cells, so no cell may "
            "contain one"
        )
    texts = dict(zip(header, cells, strict=False))
    name, claim, against = (texts.pop(column, "") for column in NAME_COLUMNS)
    if not is_path_name(name) or name.lower() == NOTHING:
        problems.append(
            f"column variant: {name!r} is not a valid name; allowed: {NAME_RULE}, but not {NOTHING}"
        )
    if not claim:
        problems.append("column claim: empty; say what the variant tests")
    for column, text in texts.items():
        try:
            if text:
                settings[column] = parse_yaml(text)
        except ValueError as error:
            problems.append(f"column {column}: {text!r} is not YAML ({error})")
    return Variant(name, claim, settings, row, against or None), problems
