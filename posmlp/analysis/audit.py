"""The audit: every published number beside ours, with the reason where they differ.

Written as CSV, Markdown and a page for a browser, all from the same lines.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from posmlp.analysis.collect import read_frame
from posmlp.analysis.pages import write_page
from posmlp.analysis.published_costs import costs
from posmlp.analysis.statistics import over_seeds
from posmlp.analysis.tables import markdown_table
from posmlp.markup import Markdown, escaped
from posmlp.published import RESOURCES, Counterpart, Published, read_published

TITLE = "Published numbers and ours"
SOURCES = {
    "abstract": ("The paper's abstract", "One pair of numbers on ImageNet-1K."),
    "readme": (
        "The released README",
        "Its table on ImageNet-1K, images of 224 x 224 pixels. Models that timm has are counted "
        "from timm.",
    ),
    "log": ("The released training logs", "ImageNet-1K; ours at the same point of training."),
    "code": (
        "Counted with the released code",
        "These were not published: they were computed by running the released code at 654f020. "
        "Accuracies of these networks are unknown.",
    ),
}
HEADERS = {
    "params": "Parameters",
    "macs": "MACs",
    "fvcore": "fvcore",
    "top1": "Top-1",
    "top5": "Top-5",
}
CONVENTIONS = (
    "MACs: multiply-accumulates of matrix products and convolutions for one image of 224 x 224 "
    "pixels, what papers print as FLOPs. fvcore: its total: these, 5 a value for LayerNorm "
    "and 2 for BatchNorm, and the released einsum that builds quadratic maps over all pairs of "
    "tokens, in whose place ours computes a table over offsets. Accuracy: after the last epoch, "
    "mean ± half width of the Student-t 95% interval over n seeds. †: inferred, neither read nor "
    "computed."
)
COUNTED = ("params", "macs", "fvcore")
# Quantities that a source's table shows; what it does not say of them is unknown.
QUANTITIES = {
    "abstract": ("params", "macs", "top1"),
    "readme": ("params", "macs", "top1"),
    "log": ("top1", "top5"),
    "code": ("params", "macs", "fvcore", "top1"),
}
STATUSES = {
    "equal": "ours, rounded as published, is the published number; of accuracies, it is that or "
    "within our 95% interval",
    "explained": "ours differs by a known amount, which the last column explains to the digit",
    "different": "ours differs, and the last column says what is known of the reason",
    "unknown": "nothing is published",
    "not counted": "there is no network to count",
    "not run": "no run of ours can be compared",
}
CSV_COLUMNS = (
    *("source", "model", "weights", "quantity", "published", "unit", "confidence", "where"),
    *("network", "arguments", "match", "ours", "runs", "difference", "status", "why"),
)
MARKS = {"equal": "", "explained": " ≈", "different": " ≠"}
STYLE = """
body { max-width: 92rem; }
td:last-child { min-width: 14rem; color: #444; }
td strong { background: #c62828; color: #fff; padding: 0.1em 0.3em; }
"""


@dataclass(frozen=True)
class Ours:
    """A number of ours, with the half width of its interval and the runs that it is the mean of."""

    number: float
    half_width: float = np.nan
    num_runs: int = 0


@dataclass(frozen=True)
class Cell:
    """One quantity of one model: the published number and ours, either of which may be absent."""

    quantity: str
    published: Published | None
    ours: Ours | None

    @property
    def status(self) -> str:
        """A key of STATUSES."""
        if self.published is None:
            return "unknown"
        if self.ours is None:
            return self.ours_text
        value, printed = self.published.value, self.published.printed
        if printed(self.ours.number) == value or abs(self.difference) <= self.ours.half_width:
            return "equal"
        known = self.published.known_difference
        return "explained" if known and printed(self.ours.number + known) == value else "different"

    @property
    def difference(self) -> float:
        """Ours less the published number, in parameters, operations or per cent; NaN if unknown."""
        if self.published is None or self.ours is None:
            return np.nan
        return self.ours.number - self.published.number

    @property
    def published_text(self) -> str:
        if self.published is None:
            return "unknown"
        value, unit = self.published.value, self.published.unit
        text = f"{int(value):,}" if unit == "1" else f"{value}{' %' if unit == '%' else unit}"
        return f"{text}†" if self.published.confidence == "inferred" else text

    @property
    def ours_text(self) -> str:
        """Parameters exact and as published, operations in G, accuracies with their spread."""
        if self.ours is None:
            return "not counted" if self.quantity in COUNTED else "not run"
        number = self.ours.number
        if self.quantity == "params":
            rounded = self.published and self.published.unit != "1"
            short = f" = {self.published.printed(number)}{self.published.unit}" if rounded else ""
            return f"{number:,.0f}{short}"
        if self.quantity in COUNTED:
            return f"{number / 1e9:.3f}G"
        spread = "" if np.isnan(self.ours.half_width) else f" ± {self.ours.half_width:.2f}"
        return f"{number:.2f}{spread} % (n={self.ours.num_runs})"


@dataclass(frozen=True)
class Line:
    """One model of one source."""

    source: str
    model: str
    weights: str
    counterpart: Counterpart
    cells: tuple[Cell, ...]

    @property
    def name(self) -> str:
        return f"{self.model}, {self.weights}" if self.weights else self.model

    @property
    def why(self) -> str:
        """Notes on the model and its numbers."""
        notes = [c.published.note for c in self.cells if c.published and c.published.note]
        if self.counterpart.match == "inferred":
            notes.insert(0, f"network inferred: {self.counterpart.note}")
        elif self.counterpart.note:
            notes.insert(0, self.counterpart.note)
        return "; ".join(dict.fromkeys(notes))


def audit(results: Path, resources: Path = RESOURCES) -> list[Line]:
    """Compare everything that is published; StudyError where its files are wrong.

    Args:
        results: folder of <study>/runs.csv and curves.csv, read where they are.
        resources: folder of published.csv and counterparts.csv.
    """
    published, counterparts = read_published(resources)
    numbers = {number.key: number for number in published}
    counted = {m: costs(c.network, c.arguments) for m, c in counterparts.items() if c.network}
    lines = []
    for source, model, weights in dict.fromkeys(number.key[:3] for number in published):
        counterpart, cells = counterparts[model], []
        for quantity in QUANTITIES[source]:
            if quantity not in COUNTED:
                ours = trained(counterpart, quantity, weights, results)
            else:
                ours = Ours(counted[model][quantity]) if model in counted else None
            cells.append(Cell(quantity, numbers.get((source, model, weights, quantity)), ours))
        lines.append(Line(source, model, weights, counterpart, tuple(cells)))
    return lines


def trained(counterpart: Counterpart, quantity: str, weights: str, results: Path) -> Ours | None:
    """Average the accuracies of the model's runs, in per cent; None where there are none.

    Args:
        weights: "best raw" and "best ema" take a run's best epoch, as the released logs are quoted;
            all others take its last, raw unless `weights` says ema.
    """
    best, average = weights.startswith("best"), "ema_" if weights.endswith("ema") else ""
    path = results / counterpart.study / ("curves.csv" if best else "runs.csv")
    if not counterpart.study or not path.exists():
        return None
    frame = read_frame(path)
    rows = frame[frame["variant"] == counterpart.variant]
    values = rows.groupby("seed")[f"{average}test_{quantity}"].max().dropna()
    if values.empty:
        return None
    seeds = over_seeds(values.to_frame().T).iloc[0]
    return Ours(seeds["mean"], seeds["half_width"], len(values))


def write_audit(lines: Sequence[Line], folder: Path) -> None:
    """Write audit.csv, audit.md and audit.html."""
    folder.mkdir(parents=True, exist_ok=True)
    text = to_markdown(lines)
    (folder / "audit.csv").write_text(to_csv(lines), encoding="utf-8")
    (folder / "audit.md").write_text(text, encoding="utf-8")
    write_page(folder / "audit.html", TITLE, text, STYLE)


def to_csv(lines: Sequence[Line]) -> str:
    """One row a number, in parameters, operations or per cent, with all that is known."""
    rows = [csv_row(line, cell) for line in lines for cell in line.cells]
    return pd.DataFrame(rows, columns=CSV_COLUMNS).to_csv(index=False, lineterminator="\n")


def csv_row(line: Line, cell: Cell) -> dict[str, object]:
    """A number's row; what does not apply is left out."""
    number, found, other = cell.published, cell.ours, line.counterpart
    row = dict(source=line.source, model=line.model, weights=line.weights, quantity=cell.quantity)
    row |= dict(network=other.network or "none", match=other.match, status=cell.status)
    row["arguments"] = ", ".join(f"{key}={value}" for key, value in other.arguments.items())
    row |= dict(published="unknown", ours=cell.ours_text)
    if number:
        row |= dict(published=number.value, unit=number.unit, confidence=number.confidence)
        row |= dict(where=number.where, why=number.note)
    if found:
        row |= dict(ours=f"{found.number:.10g}", runs=str(found.num_runs or ""))
    if number and found:
        row["difference"] = f"{cell.difference:.10g}"
    return row


def to_markdown(lines: Sequence[Line]) -> str:
    """A section with a table for each source; ours is marked where it is not the published."""
    meaning = [f"- {key}{MARKS.get(key, '')}: {text}" for key, text in STATUSES.items()]
    parts = [f"# {TITLE}", summary(lines), CONVENTIONS, "\n".join(meaning)]
    for source, (title, text) in SOURCES.items():
        names = [HEADERS[quantity] for quantity in QUANTITIES[source]]
        theirs = "released" if source == "code" else "published"
        header = [f"{name}, {who}" for name in names for who in (theirs, "ours")]
        rows = [_cells(line) for line in lines if line.source == source]
        aligns = ["left", *["right"] * len(header), "left"]
        parts += [f"## {title}", text, markdown_table(["Model", *header, "Why"], rows, aligns)]
    return "\n\n".join(parts) + "\n"


def _cells(line: Line) -> list[str]:
    cells = [line.name]
    for cell in line.cells:
        ours = cell.ours_text + MARKS.get(cell.status, "")
        different = cell.status == "different"
        cells += [cell.published_text, Markdown(f"**{escaped(ours)}**") if different else ours]
    return [*cells, line.why]


def summary(lines: Sequence[Line]) -> str:
    """Count the numbers that are equal, explained and so on."""
    found = Counter(cell.status for line in lines for cell in line.cells if cell.published)
    counts = ", ".join(f"{found[status]} {status}" for status in STATUSES if found[status])
    return f"{found.total()} numbers: {counts}."
