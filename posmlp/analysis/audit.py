"""The audit: every published number beside ours, with the reason for each difference."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from posmlp.analysis.collect import read_frame, write_frame
from posmlp.analysis.pages import write_page
from posmlp.analysis.published_costs import costs
from posmlp.analysis.statistics import over_seeds
from posmlp.analysis.tables import markdown_table, plus_minus
from posmlp.markup import Markdown, escaped
from posmlp.published import RESOURCES, Counterpart, Published, read_published

TITLE = "Published numbers and ours"
HEADERS = {
    "params": "Parameters",
    "macs": "MACs",
    "fvcore": "fvcore",
    "top1": "Top-1",
    "top5": "Top-5",
}
COUNTED = ("params", "macs", "fvcore")
# Heading, text and quantities of a source's table.
SOURCES = {
    "abstract": (
        "The paper's abstract",
        "One pair of numbers on ImageNet-1K.",
        ("params", "macs", "top1"),
    ),
    "readme": (
        "The released README",
        "Its table on ImageNet-1K, images of 224 x 224 pixels. Models that timm has are counted "
        "from timm.",
        ("params", "macs", "top1"),
    ),
    "log": (
        "The released training logs",
        "ImageNet-1K; ours at the same point of training.",
        ("top1", "top5"),
    ),
    "code": (
        "Counted with the released code",
        "These were not published: they were computed by running the released code at 654f020. "
        "Accuracies of these networks are unknown.",
        ("params", "macs", "fvcore", "top1"),
    ),
}
CONVENTIONS = (
    "MACs: multiply-accumulates of matrix products and convolutions for one image of 224 x 224 "
    "pixels, what papers print as FLOPs. fvcore: its total: these, 5 a value for LayerNorm "
    "and 2 for BatchNorm, and the released einsum that builds quadratic maps over all pairs of "
    "tokens, in whose place ours computes a table over offsets. Accuracy: after the last epoch, "
    "mean ± half width of the Student-t 95% interval over n seeds. †: inferred, neither read nor "
    "computed."
)
STATUSES = {
    "equal": "ours, rounded as published, is the published number; of accuracies, it is that or "
    "within our 95% interval",
    "explained": "ours differs by a known amount, which the last column explains to the digit",
    "different": "ours differs, and the last column says what is known of the reason",
    "unknown": "nothing is published",
    "not counted": "there is no network to count",
    "not run": "no run of ours can be compared",
}
MARKS = {"equal": "", "explained": " ≈", "different": " ≠"}
CSV_COLUMNS = [
    *("source", "model", "weights", "quantity", "published", "unit", "confidence", "where"),
    *("network", "arguments", "match", "ours", "runs", "difference", "status", "why"),
]
STYLE = """
body { max-width: 92rem; }
td:last-child { min-width: 14rem; color: #444; }
td strong { background: #c62828; color: #fff; padding: 0.1em 0.3em; }
"""


class Ours(NamedTuple):
    """A number of ours; the half width of its interval and the number of runs if it is a mean."""

    number: float
    half_width: float = np.nan
    num_runs: int = 0


def audit(results: Path, resources: Path = RESOURCES) -> pd.DataFrame:
    """Compare all published numbers with ours.

    Args:
        results: folder with <study>/runs.csv and curves.csv.
        resources: folder with published.csv and counterparts.csv.

    Returns:
        A row per number: CSV_COLUMNS, in parameters, operations or per cent, "" where unknown; and
        the texts published_text, ours_text and network_note.
    """
    published, counterparts = read_published(resources)
    numbers = {(p.source, p.model, p.weights, p.quantity): p for p in published}
    counted = {m: costs(c.network, c.arguments) for m, c in counterparts.items() if c.network}
    rows = []
    for source, model, weights in dict.fromkeys(key[:3] for key in numbers):
        counterpart = counterparts[model]
        inferred = "network inferred: " if counterpart.match == "inferred" else ""
        network = {
            "network": counterpart.network or "none",
            "arguments": ", ".join(f"{k}={value}" for k, value in counterpart.arguments.items()),
            "match": counterpart.match,
            "network_note": f"{inferred}{counterpart.note}",
        }
        for quantity in SOURCES[source][2]:
            if quantity not in COUNTED:
                ours = trained(counterpart, quantity, weights, results)
            else:
                ours = Ours(counted[model][quantity]) if model in counted else None
            row = dict(source=source, model=model, weights=weights, quantity=quantity)
            number = numbers.get((source, model, weights, quantity))
            rows.append(row | network | compared(quantity, number, ours))
    return pd.DataFrame(rows).fillna("")


def compared(quantity: str, published: Published | None, ours: Ours | None) -> dict[str, str]:
    """Compare a published number with ours; either may be missing."""
    text = ours_text(quantity, published, ours)
    row = dict(ours=text, ours_text=text, status=text)
    if ours:
        row |= dict(ours=f"{ours.number:.10g}", runs=str(ours.num_runs or ""))
    if not published:
        return row | dict.fromkeys(("published", "published_text", "status"), "unknown")
    if ours:
        row["difference"] = f"{ours.number - published.number:.10g}"
        row["status"] = status(published, ours)
    return row | {
        **{"published": published.value, "published_text": published_text(published)},
        **{"unit": published.unit, "confidence": published.confidence},
        **{"where": published.where, "why": published.note},
    }


def status(published: Published, ours: Ours) -> str:
    """A key of STATUSES."""
    value, printed, known = published.value, published.printed, published.known_difference
    if printed(ours.number) == value or abs(ours.number - published.number) <= ours.half_width:
        return "equal"
    explained = known and printed(ours.number + int(known)) == value
    return "explained" if explained else "different"


def published_text(published: Published) -> str:
    value, unit = published.value, published.unit
    text = f"{int(value):,}" if unit == "1" else f"{value}{' %' if unit == '%' else unit}"
    return f"{text}†" if published.confidence == "inferred" else text


def ours_text(quantity: str, published: Published | None, ours: Ours | None) -> str:
    """Parameters exact and as published, operations in G, accuracies with their interval."""
    if ours is None:
        return "not counted" if quantity in COUNTED else "not run"
    if quantity == "params":
        rounded = published and published.unit != "1"
        short = f" = {published.printed(ours.number)}{published.unit}" if rounded else ""
        return f"{ours.number:,.0f}{short}"
    if quantity in COUNTED:
        return f"{ours.number / 1e9:.3f}G"
    return f"{plus_minus(ours.number, ours.half_width)} % (n={ours.num_runs})"


def trained(counterpart: Counterpart, quantity: str, weights: str, results: Path) -> Ours | None:
    """Average an accuracy over the runs of a model, in per cent; None if there are no runs.

    Args:
        weights: "best raw" and "best ema" take each run's best epoch, as the released logs are
            quoted; all others take the last epoch, with raw weights unless `weights` says ema.
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


def write_audit(compared: pd.DataFrame, folder: Path) -> None:
    """Write audit.csv, audit.md and audit.html."""
    folder.mkdir(parents=True, exist_ok=True)
    text = to_markdown(compared)
    write_frame(compared[CSV_COLUMNS], folder / "audit.csv")
    (folder / "audit.md").write_text(text, encoding="utf-8")
    write_page(folder / "audit.html", TITLE, text, STYLE)


def to_markdown(compared: pd.DataFrame) -> str:
    """A section with a table for each source; numbers of ours that differ are marked."""
    meaning = [f"- {key}{MARKS.get(key, '')}: {text}" for key, text in STATUSES.items()]
    parts = [f"# {TITLE}", summary(compared), CONVENTIONS, "\n".join(meaning)]
    for source, (title, text, quantities) in SOURCES.items():
        theirs = "released" if source == "code" else "published"
        header = [f"{HEADERS[name]}, {who}" for name in quantities for who in (theirs, "ours")]
        models = compared[compared["source"] == source].groupby(["model", "weights"], sort=False)
        rows = [_cells(model, weights, rows) for (model, weights), rows in models]
        aligns = ["left", *["right"] * len(header), "left"]
        parts += [f"## {title}", text, markdown_table(["Model", *header, "Why"], rows, aligns)]
    return "\n\n".join(parts) + "\n"


def _cells(model: str, weights: str, rows: pd.DataFrame) -> list[str]:
    cells = [f"{model}, {weights}" if weights else model]
    for row in rows.itertuples():
        ours = row.ours_text + MARKS.get(row.status, "")
        different = row.status == "different"
        cells += [row.published_text, Markdown(f"**{escaped(ours)}**") if different else ours]
    notes = dict.fromkeys([rows["network_note"].iloc[0], *rows["why"]])
    return [*cells, "; ".join(filter(None, notes))]


def summary(compared: pd.DataFrame) -> str:
    """Count the numbers of each status."""
    found = compared["status"][compared["published"] != "unknown"].value_counts()
    counts = ", ".join(f"{found[status]} {status}" for status in STATUSES if status in found)
    return f"{found.sum()} numbers: {counts}."
