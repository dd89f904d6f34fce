"""Every published number beside ours: which are equal, which are not, and what is not known."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from posmlp.analysis.audit.counts import costs
from posmlp.analysis.collect import read_frame
from posmlp.analysis.statistics import over_seeds
from posmlp.published import RESOURCES, Counterpart, Published, read_published

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
            return "not counted" if self.quantity in COUNTED else "not run"
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
