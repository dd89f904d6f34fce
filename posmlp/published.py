"""Published numbers as data, and the networks of ours that they are set beside.

workflow/resources/published.csv holds one number a row, with its source and how sure it is;
counterparts.csv holds one model a row: the network that we count for it and the study of ours that
trains it. What is in neither file is unknown.
"""

import csv
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, StringConstraints, ValidationError, field_validator

from posmlp.study.section import PathName, Section, Text
from posmlp.study.study_error import StudyError, faults
from posmlp.study.yaml_files import parse_yaml, read_text

RESOURCES = Path("workflow/resources")
SCALES = {"1": 1.0, "M": 1e6, "G": 1e9, "%": 1.0}
UNITS = {"params": "1M", "macs": "G", "fvcore": "G", "top1": "%", "top5": "%"}


class Published(Section):
    """A row of published.csv: one number of one model in one source.

    `code` as a source is counted by running the released code, which is no publication.
    """

    source: Literal["abstract", "readme", "log", "code"]
    model: Text  # of counterparts.csv
    # Epoch and weights that an accuracy belongs to; empty: the source is silent.
    weights: Literal["", "best raw", "best ema", "last raw", "last ema"] = ""
    quantity: Literal["params", "macs", "fvcore", "top1", "top5"]
    value: Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)?$")] = Field(
        description="a plain number, with the digits as printed"
    )
    unit: Literal["1", "M", "G", "%"]
    # Read in the source, computed with the released code, or concluded.
    confidence: Literal["verbatim", "computed", "inferred"]
    where: Text  # in the source
    # Published less ours, where the note explains it to the digit.
    known_difference: Annotated[int, Field(strict=False)] = 0
    note: str = ""

    @field_validator("unit")
    @classmethod
    def _unit_fits(cls, unit: str, info: Any) -> str:
        quantity = info.data.get("quantity")
        if quantity and unit not in UNITS[quantity]:
            raise ValueError(f"{quantity} is given in {' or '.join(UNITS[quantity])}")
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

    model: Text
    network: str = ""  # the timm model that is counted; empty: none
    arguments: dict[str, Any] = Field({})  # of the network, as {gate: sgu, groups: 1}
    study: PathName | Literal[""] = ""  # of ours that trains it
    variant: PathName | Literal[""] = ""
    match: Literal["stated", "inferred", "none"]  # whether the source says that it is this network
    note: str = ""

    @field_validator("arguments", mode="before")
    @classmethod
    def _read_arguments(cls, text: Any) -> Any:
        return parse_yaml(text) if isinstance(text, str) else text

    @property
    def key(self) -> tuple[str, ...]:
        return (self.model,)


Row = TypeVar("Row", Published, Counterpart)


def read_published(folder: Path = RESOURCES) -> tuple[list[Published], dict[str, Counterpart]]:
    """Read both files; StudyError naming file, row and column of everything that is wrong."""
    published = read_rows(folder / "published.csv", Published)
    known = {row.model: row for row in read_rows(folder / "counterparts.csv", Counterpart)}
    if unknown := {number.model for number in published} - known.keys():
        raise StudyError(
            f"{folder / 'published.csv'}, column model: {', '.join(sorted(unknown))} not in "
            f"{folder / 'counterparts.csv'}; add a row there"
        )
    return published, known


def read_rows(path: Path, kind: type[Row]) -> list[Row]:
    """Read a CSV file as checked rows; an empty cell is the default."""
    reader = csv.DictReader(read_text(path).splitlines(), strict=True)
    if set(reader.fieldnames or ()) != set(kind.model_fields):
        raise StudyError(f"{path}, row 1: the columns should be {', '.join(kind.model_fields)}")
    rows: dict[tuple[str, ...], Row] = {}
    problems = []
    try:
        for number, cells in enumerate(reader, start=2):
            where = f"{path}, row {number}"
            if None in cells or None in cells.values():
                problems.append(f"{where}: should have {len(kind.model_fields)} cells")
                continue
            try:
                row = kind.model_validate({k: v for k, v in cells.items() if v})
            except ValidationError as error:
                problems += [f"{where}, column {fault}" for fault in faults(error, kind)]
                continue
            if rows.setdefault(row.key, row) is not row:
                words = ", ".join(filter(None, row.key))
                problems.append(f"{where}: {words} is a duplicate; keep one")
    except csv.Error as error:
        raise StudyError(f"{path}: not CSV ({error})") from None
    if problems:
        raise StudyError(problems)
    return list(rows.values())
