"""Published numbers as data, and the networks of ours that they are compared with.

workflow/resources/published.csv has a row per number, with its source and how sure it is;
counterparts.csv has a row per model: the network that we count for it and the study that trains it.
Whatever neither file states is unknown.
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posmlp.study.yaml_files import parse_yaml, read_text

RESOURCES = Path("workflow/resources")
SCALES = {"1": 1.0, "M": 1e6, "G": 1e9, "%": 1.0}


@dataclass(frozen=True, kw_only=True)
class Published:
    """A row of published.csv: one number of one model in one source."""

    source: str  # abstract, readme or log; code: counted by running the released code
    model: str  # of counterparts.csv
    weights: str = ""  # epoch and weights of an accuracy, such as "best ema"; "": not stated
    quantity: str  # params, macs, fvcore, top1 or top5
    value: str  # with the digits as printed
    unit: str  # of SCALES
    confidence: str  # verbatim in the source, computed with the released code, or inferred
    where: str  # in the source
    known_difference: str = ""  # published minus ours, where the note explains it exactly
    note: str = ""

    @property
    def number(self) -> float:
        """The value in parameters, operations or per cent."""
        return float(self.value) * SCALES[self.unit]

    def printed(self, number: float) -> str:
        """Format a number of ours in the unit and with the digits of this one."""
        digits = len(self.value.partition(".")[2])
        return f"{number / SCALES[self.unit]:.{digits}f}"


@dataclass(frozen=True)
class Counterpart:
    """A row of counterparts.csv: what a published model is compared with."""

    model: str
    network: str  # the timm model that is counted; "": none
    arguments: dict[str, Any]  # of the network, such as {gate: sgu, groups: 1}
    study: str  # that trains it; "": none
    variant: str
    match: str  # whether this is the published network: stated, inferred or none
    note: str = ""


def read_published(folder: Path = RESOURCES) -> tuple[list[Published], dict[str, Counterpart]]:
    """Read both files; tests/test_published.py checks their content."""
    published, counterparts = (
        list(csv.DictReader(read_text(folder / name).splitlines()))
        for name in ("published.csv", "counterparts.csv")
    )
    for row in counterparts:
        row["arguments"] = parse_yaml(row["arguments"]) or {}
    known = {row["model"]: Counterpart(**row) for row in counterparts}
    return [Published(**row) for row in published], known
