"""The audit as CSV, Markdown and a page for a browser, all from the same lines."""

import csv
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from posmlp.analysis.audit.compare import QUANTITIES, STATUSES, Cell, Line
from posmlp.analysis.pages import write_page
from posmlp.analysis.tables import markdown_table
from posmlp.markup import Markdown, escaped

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


def write_audit(lines: Sequence[Line], folder: Path) -> None:
    """Write audit.csv, audit.md and audit.html."""
    folder.mkdir(parents=True, exist_ok=True)
    text = to_markdown(lines)
    (folder / "audit.csv").write_text(to_csv(lines), encoding="utf-8")
    (folder / "audit.md").write_text(text, encoding="utf-8")
    write_page(folder / "audit.html", TITLE, text, STYLE)


def to_csv(lines: Sequence[Line]) -> str:
    """One row a number, in parameters, operations or per cent, with all that is known."""
    file = io.StringIO()
    writer = csv.DictWriter(file, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(csv_row(line, cell) for line in lines for cell in line.cells)
    return file.getvalue()


def csv_row(line: Line, cell: Cell) -> dict[str, object]:
    """A number's row; what does not apply is empty."""
    number, found, other = cell.published, cell.ours, line.counterpart
    row: dict[str, object] = dict(source=line.source, model=line.model, weights=line.weights)
    row |= dict(quantity=cell.quantity, published="unknown", ours=cell.ours_text)
    row |= dict(network=other.network or "none", match=other.match, status=cell.status)
    row["arguments"] = ", ".join(f"{key}={value}" for key, value in other.arguments.items())
    if number:
        row |= dict(published=number.value, unit=number.unit, confidence=number.confidence)
        row |= dict(where=number.where, why=number.note)
    if found:
        row |= dict(ours=f"{found.number:.10g}", runs=found.num_runs or "")
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
