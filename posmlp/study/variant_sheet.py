"""The sheet of variants: tab-separated text, one variant a row, one setting a column."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from posmlp.study.data_settings import Data
from posmlp.study.recipe_settings import Recipe
from posmlp.study.section import NAME_RULE, is_path_name
from posmlp.study.study_error import StudyError, did_you_mean
from posmlp.study.yaml_files import parse_yaml, read_text

NAME_COLUMNS = ("variant", "claim", "against")  # the others are settings
NOTHING = "none"  # under `against`: the variant is compared with no other
_MODEL_COLUMN = re.compile(r"model\.[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Variant:
    """A row of the sheet: `settings` maps dotted keys to what the variant changes."""

    name: str
    claim: str
    settings: dict[str, Any]
    row: int  # line of the sheet, the header being 1
    against: str | None = None  # None: the reference; NOTHING: no other


def setting_keys() -> list[str]:
    """List every dotted setting that a column may hold, but for arguments of the model."""
    return [*_leaves("data", Data), "model.name", *_leaves("recipe", Recipe)]


def _leaves(prefix: str, section: type[BaseModel]) -> list[str]:
    keys = []
    for name, field in section.model_fields.items():
        nested = field.annotation
        if isinstance(nested, type) and issubclass(nested, BaseModel):
            keys += _leaves(f"{prefix}.{name}", nested)
        else:
            keys.append(f"{prefix}.{name}")
    return keys


def read_sheet(path: Path) -> list[Variant]:
    """Read the variants in the order of the sheet.

    Cells are YAML, unquoted; an empty one leaves the study file's setting. Blank lines and lines
    that begin with # are skipped.

    Raises:
        StudyError: holds every mistake in the sheet.
    """
    lines = enumerate(read_text(path).replace("\r\n", "\n").split("\n"), start=1)
    rows = [(n, line.split("\t")) for n, line in lines if line.strip() and line[0] != "#"]
    if len(rows) < 2:
        raise StudyError(
            f"{path}: no variants; the sheet needs a header (variant, claim and settings such as "
            "model.gate, separated by tabs) and a row for each variant"
        )
    header = [cell.strip() for cell in rows[0][1]]
    problems = _header_problems(header)
    variants = []
    complete = {"variant", "claim"} <= set(header)
    for row, cells in rows[1:] if complete else []:
        try:
            variants.append(_read_row(row, header, [cell.strip() for cell in cells]))
        except StudyError as error:
            problems += error.problems
    problems += _name_problems(variants)
    if problems:
        raise StudyError([f"{path}, {problem}" for problem in problems])
    return variants


def _header_problems(header: list[str]) -> list[str]:
    counts = Counter(header)
    problems = [f"row 1: the column {name} is duplicated" for name, n in counts.items() if n > 1]
    problems += [
        f"row 1: the column {name} is missing; allowed columns are variant, claim, against "
        "and settings"
        for name in ("variant", "claim")
        if name not in header
    ]
    allowed = [*NAME_COLUMNS, *setting_keys()]
    for column in header:
        if column not in allowed and not _MODEL_COLUMN.fullmatch(column):
            problems.append(
                f"row 1, column {column or '(no name)'}: no such setting; "
                f"{did_you_mean(column, allowed)}allowed: {', '.join(allowed)} and model.<argument>"
            )
    return problems


def _read_row(row: int, header: list[str], cells: list[str]) -> Variant:
    if len(cells) > len(header):
        raise StudyError(
            f"row {row}: {len(cells)} cells for {len(header)} columns; single tabs separate "
            "cells, and no text may hold one"
        )
    texts = dict(zip(header, cells, strict=False))
    name, claim, against = (texts.pop(column, "") for column in NAME_COLUMNS)
    problems, settings = [], {}
    if not is_path_name(name) or name.lower() == NOTHING:
        problems.append(
            f"row {row}, column variant: {name!r} is not a valid name; allowed: {NAME_RULE}, but "
            f"not {NOTHING}"
        )
    if not claim:
        problems.append(f"row {row}, column claim: empty; say what the variant tests")
    for column, text in texts.items():
        if not text:
            continue
        try:
            settings[column] = parse_yaml(text)
        except ValueError as error:
            problems.append(f"row {row}, column {column}: {text!r} is not YAML ({error})")
    if problems:
        raise StudyError(problems)
    return Variant(name, claim, settings, row, against or None)


def _name_problems(variants: list[Variant]) -> list[str]:
    problems, first = [], {}
    for variant in variants:
        other = first.setdefault(variant.name.lower(), variant)
        if other is not variant:
            problems.append(
                f"row {variant.row}, column variant: {variant.name} duplicates the name in row "
                f"{other.row} (case does not count); rename one"
            )
    return problems
