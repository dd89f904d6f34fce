"""The audit: every published number beside ours, with the reason where they differ.

Written as CSV, Markdown and a page for a browser, all from the same lines.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from posmlp.analysis.collect import read_frame, write_frame
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


class Ours(NamedTuple):
    """A number of ours, with the half width of its interval and the runs that it is the mean of."""

    number: float
    half_width: float = np.nan
    num_runs: int = 0


def audit(results: Path, resources: Path = RESOURCES) -> pd.DataFrame:
    """Compare everything that is published; StudyError where its files are wrong.

    Args:
        results: folder of <study>/runs.csv and curves.csv, read where they are.
        resources: folder of published.csv and counterparts.csv.

    Returns:
        A row a number: CSV_COLUMNS, in parameters, operations or per cent, "" where nothing is
        known; and published_text, ours_text and network_note for people.
    """
    published, counterparts = read_published(resources)
    numbers = {number.key: number for number in published}
    counted = {m: costs(c.network, c.arguments) for m, c in counterparts.items() if c.network}
    rows = []
    for source, model, weights in dict.fromkeys(number.key[:3] for number in published):
        for quantity in QUANTITIES[source]:
            if quantity not in COUNTED:
                ours = trained(counterparts[model], quantity, weights, results)
            else:
                ours = Ours(counted[model][quantity]) if model in counted else None
            row = dict(source=source, model=model, weights=weights, quantity=quantity)
            number = numbers.get((source, model, weights, quantity))
            rows.append(row | of_network(counterparts[model]) | compared(quantity, number, ours))
    return pd.DataFrame(rows).fillna("")


def of_network(counterpart: Counterpart) -> dict[str, str]:
    inferred = "network inferred: " if counterpart.match == "inferred" else ""
    return {
        "network": counterpart.network or "none",
        "arguments": ", ".join(f"{key}={value}" for key, value in counterpart.arguments.items()),
        "match": counterpart.match,
        "network_note": f"{inferred}{counterpart.note}",
    }


def compared(quantity: str, published: Published | None, ours: Ours | None) -> dict[str, str]:
    """Compare a published number with ours, either of which may be absent."""
    text = ours_text(quantity, published, ours)
    row = dict(published="unknown", published_text="unknown", ours=text, ours_text=text)
    row["status"] = status(published, ours) if published and ours else text
    if ours:
        row |= dict(ours=f"{ours.number:.10g}", runs=str(ours.num_runs or ""))
    if not published:
        return row | {"status": "unknown"}
    row |= published.model_dump(include={"unit", "confidence", "where"})
    row |= dict(published=published.value, why=published.note)
    row["published_text"] = published_text(published)
    if ours:
        row["difference"] = f"{ours.number - published.number:.10g}"
    return row


def status(published: Published, ours: Ours) -> str:
    """A key of STATUSES."""
    value, printed, known = published.value, published.printed, published.known_difference
    if printed(ours.number) == value or abs(ours.number - published.number) <= ours.half_width:
        return "equal"
    return "explained" if known and printed(ours.number + known) == value else "different"


def published_text(published: Published) -> str:
    value, unit = published.value, published.unit
    text = f"{int(value):,}" if unit == "1" else f"{value}{' %' if unit == '%' else unit}"
    return f"{text}†" if published.confidence == "inferred" else text


def ours_text(quantity: str, published: Published | None, ours: Ours | None) -> str:
    """Parameters exact and as published, operations in G, accuracies with their spread."""
    if ours is None:
        return "not counted" if quantity in COUNTED else "not run"
    if quantity == "params":
        rounded = published and published.unit != "1"
        short = f" = {published.printed(ours.number)}{published.unit}" if rounded else ""
        return f"{ours.number:,.0f}{short}"
    if quantity in COUNTED:
        return f"{ours.number / 1e9:.3f}G"
    spread = "" if np.isnan(ours.half_width) else f" ± {ours.half_width:.2f}"
    return f"{ours.number:.2f}{spread} % (n={ours.num_runs})"


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


def write_audit(compared: pd.DataFrame, folder: Path) -> None:
    """Write audit.csv, audit.md and audit.html."""
    folder.mkdir(parents=True, exist_ok=True)
    text, numbers = to_markdown(compared), compared[list(CSV_COLUMNS)]
    write_frame(numbers, folder / "audit.csv")
    (folder / "audit.md").write_text(text, encoding="utf-8")
    write_page(folder / "audit.html", TITLE, text, STYLE)


def to_markdown(compared: pd.DataFrame) -> str:
    """A section with a table for each source; ours is marked where it is not the published."""
    meaning = [f"- {key}{MARKS.get(key, '')}: {text}" for key, text in STATUSES.items()]
    parts = [f"# {TITLE}", summary(compared), CONVENTIONS, "\n".join(meaning)]
    for source, (title, text) in SOURCES.items():
        names = [HEADERS[quantity] for quantity in QUANTITIES[source]]
        theirs = "released" if source == "code" else "published"
        header = [f"{name}, {who}" for name in names for who in (theirs, "ours")]
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
    """Count the numbers that are equal, explained and so on."""
    found = compared["status"][compared["published"] != "unknown"].value_counts()
    counts = ", ".join(f"{found[status]} {status}" for status in STATUSES if status in found)
    return f"{found.sum()} numbers: {counts}."
