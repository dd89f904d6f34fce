"""Published numbers as data, and the networks of ours that they are set beside.

workflow/resources/published.csv holds one number a row, with its source and how sure it is;
counterparts.csv holds one model a row: the network that we count for it and the study of ours that
trains it. What is in neither file is unknown.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, ValidationError, field_validator

from posmlp.study.section import PathName, Section, Text
from posmlp.study.study_error import StudyError, did_you_mean, faults
from posmlp.study.yaml_files import parse_yaml, read_text

RESOURCES = Path("workflow/resources")
SCALES = {"1": 1.0, "M": 1e6, "G": 1e9, "%": 1.0}
UNITS = {
    "params": ("1", "M"),
    "macs": ("G",),
    "fvcore": ("G",),
    "top1": ("%",),
    "top5": ("%",),
}


def _plain_number(text: str) -> str:
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        raise ValueError("should be a plain number with the printed digits, such as 82.10")
    return text


class Published(Section):
    """A row of published.csv: one number of one model in one source."""

    source: Literal["abstract", "readme", "log", "code"] = Field(
        description="the paper's abstract, the released README, its training logs, or counted by "
        "running the released code, which is no publication"
    )
    model: Text = Field(description="a model of counterparts.csv")
    weights: Literal["", "best raw", "best ema", "last raw", "last ema"] = Field(
        "", description="epoch and weights that an accuracy belongs to; empty: the source is silent"
    )
    quantity: Literal["params", "macs", "fvcore", "top1", "top5"] = Field(
        description="learnable numbers, multiply-accumulates of matrix products and convolutions, "
        "fvcore's total for one image, or accuracy on ImageNet-1K's validation images"
    )
    value: Annotated[str, AfterValidator(_plain_number)] = Field(
        description="the number with the digits that the source prints"
    )
    unit: Literal["1", "M", "G", "%"] = Field(description="what the number counts")
    confidence: Literal["verbatim", "computed", "inferred"] = Field(
        description="read in the source, computed with the released code, or concluded"
    )
    where: Text = Field(description="place in the source")
    known_difference: Annotated[int, Field(strict=False)] = Field(
        0, description="published less ours, where `note` explains it to the digit"
    )
    note: str = Field("", description="why ours differs, or what a reader should know")

    @field_validator("unit")
    @classmethod
    def _unit_fits(cls, unit: str, info: Any) -> str:
        allowed = UNITS.get(info.data.get("quantity"), (unit,))
        if unit not in allowed:
            raise ValueError(f"{info.data['quantity']} is given in {' or '.join(allowed)}")
        return unit

    @property
    def key(self) -> tuple[str, ...]:
        return (self.source, self.model, self.weights, self.quantity)

    @property
    def number(self) -> float:
        """The value in parameters, operations or per cent."""
        return float(self.value) * SCALES[self.unit]

    def printed(self, number: float) -> str:
        """Write a number of ours in the unit and with the digits of this one."""
        digits = len(self.value.partition(".")[2])
        return f"{number / SCALES[self.unit]:.{digits}f}"


class Counterpart(Section):
    """A row of counterparts.csv: what of ours a published model is compared with."""

    model: Text = Field(description="name of a published model")
    network: str = Field("", description="name of the timm model that is counted; empty: none")
    arguments: dict[str, Any] = Field({}, description="its arguments, as {gate: sgu, groups: 1}")
    study: PathName | Literal[""] = Field("", description="study of ours that trains it")
    variant: PathName | Literal[""] = Field("", description="its variant there")
    match: Literal["stated", "inferred", "none"] = Field(
        description="whether the source says that it is this network"
    )
    note: str = Field("", description="why it is taken for this network, or why there is none")

    @field_validator("arguments", mode="before")
    @classmethod
    def _read_arguments(cls, text: Any) -> Any:
        return parse_yaml(text) if isinstance(text, str) else text

    @field_validator("match")
    @classmethod
    def _match_fits(cls, match: str, info: Any) -> str:
        if (match == "none") == bool(info.data.get("network")):
            raise ValueError("should be none where no network is named, and only there")
        return match

    @property
    def key(self) -> tuple[str, ...]:
        return (self.model,)


Row = TypeVar("Row", Published, Counterpart)


def read_published(folder: Path = RESOURCES) -> tuple[list[Published], dict[str, Counterpart]]:
    """Read both files; StudyError naming file, row and column of everything that is wrong."""
    published = read_rows(folder / "published.csv", Published)
    counterparts = read_rows(folder / "counterparts.csv", Counterpart)
    known = {counterpart.model: counterpart for _, counterpart in counterparts}
    problems = [
        f"{folder / 'published.csv'}, row {row}, column model: {number.model!r} is not in "
        f"{folder / 'counterparts.csv'}; {did_you_mean(number.model, known)}add it there"
        for row, number in published
        if number.model not in known
    ]
    if problems:
        raise StudyError(problems)
    return [number for _, number in published], known


def read_rows(path: Path, kind: type[Row]) -> list[tuple[int, Row]]:
    """Read a CSV file as checked rows with their line numbers; an empty cell is the default."""
    try:
        lines = list(csv.reader(read_text(path).splitlines(), strict=True))
    except csv.Error as error:
        raise StudyError(f"{path}: not CSV ({error})") from None
    header = lines[0] if lines else []
    problems = list(header_problems(header, list(kind.model_fields)))
    rows: list[tuple[int, Row]] = []
    first: dict[tuple[str, ...], int] = {}
    for number, cells in enumerate(lines[1:] if not problems else [], start=2):
        if len(cells) != len(header):
            problems.append(f"row {number}: {len(cells)} cells for {len(header)} columns")
            continue
        try:
            values = {k: v for k, v in zip(header, cells, strict=True) if v}
            row = kind.model_validate(values)
        except ValidationError as error:
            problems += [
                f"row {number}, column {f.key[0] if f.key else '?'}: {f.text}"
                for f in faults(error, kind)
            ]
            continue
        if (other := first.setdefault(row.key, number)) != number:
            words = ", ".join(filter(None, row.key))
            problems.append(f"row {number}: {words} is a duplicate of row {other}; keep one")
        rows.append((number, row))
    if problems:
        raise StudyError([f"{path}, {problem}" for problem in problems])
    return rows


def header_problems(header: Sequence[str], known: list[str]) -> Iterator[str]:
    """Name columns that are unknown, absent or doubled."""
    for column in dict.fromkeys(header):
        if column not in known:
            hint = did_you_mean(column, known)
            yield f"row 1: unknown column {column!r}; {hint}allowed: {', '.join(known)}"
        elif header.count(column) > 1:
            yield f"row 1: the column {column} is duplicated"
    if absent := [column for column in known if column not in header]:
        yield f"row 1: missing: {', '.join(absent)}"
