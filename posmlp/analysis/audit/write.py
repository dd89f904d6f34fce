"""The audit as CSV, Markdown and a page for a browser, all from the same lines."""

import csv
import html
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from posmlp.analysis.audit.compare import QUANTITIES, STATUSES, Cell, Line
from posmlp.analysis.html_page import page

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
STYLE = """\
body { max-width: 92rem; }
th, td { white-space: nowrap; }
td { text-align: right; }
th[colspan] { border-bottom: 1px solid #bbb; text-align: center; }
th.half { text-align: right; }
td.model, td.why { text-align: left; }
td.why { white-space: normal; min-width: 14rem; max-width: 30rem; color: #444; }
td.absent { color: #777; font-style: italic; }
.different { background: #c62828; color: #fff; }
.explained { background: #fbe3b6; }
.equal { background: #e3f1e3; }
ul { list-style: none; padding: 0; }
li { margin: 0.2rem 0; }
li span { display: inline-block; min-width: 6.5rem; padding: 0 0.45rem; }
.unknown, .not-counted, .not-run { color: #777; font-style: italic; }
"""


def write_audit(lines: Sequence[Line], folder: Path) -> None:
    """Write audit.csv, audit.md and audit.html."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("csv", to_csv), ("md", to_markdown), ("html", to_html)):
        (folder / f"audit.{name}").write_text(text(lines), encoding="utf-8")


def to_csv(lines: Sequence[Line]) -> str:
    """Return one row a number, in parameters, operations or per cent, with all that is known."""
    file = io.StringIO()
    writer = csv.DictWriter(file, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(csv_row(line, cell) for line in lines for cell in line.cells)
    return file.getvalue()


def csv_row(line: Line, cell: Cell) -> dict[str, object]:
    """Return a number's row; what does not apply is empty."""
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
    """Return a section with a table for each source."""
    meaning = [f"- {key}{MARKS.get(key, '')}: {text}" for key, text in STATUSES.items()]
    parts = [f"# {TITLE}", summary(lines), CONVENTIONS, "\n".join(meaning)]
    for source, (title, text) in SOURCES.items():
        names = [HEADERS[quantity] for quantity in QUANTITIES[source]]
        header = [f"{name}, {who}" for name in names for who in (theirs(source), "ours")]
        rows = [["Model", *header, "Why"], [":---", *["---:"] * len(header), ":---"]]
        rows += [markdown_row(line) for line in lines if line.source == source]
        table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
        parts += [f"## {title}", text, table]
    return "\n\n".join(parts) + "\n"


def markdown_row(line: Line) -> list[str]:
    """Return a model's row; a number of ours that is not the published one is marked."""
    row = [line.name]
    for cell in line.cells:
        ours = cell.ours_text + MARKS.get(cell.status, "")
        row += [cell.published_text, f"**{ours}**" if cell.status == "different" else ours]
    return [*row, line.why]


def to_html(lines: Sequence[Line]) -> str:
    """Return one page that needs nothing else; cells that differ are red."""
    meaning = "".join(
        f'<li><span class="{name.replace(" ", "-")}">{name}</span> {html.escape(text)}</li>'
        for name, text in STATUSES.items()
    )
    body = [f"<h1>{TITLE}</h1>", f"<p>{html.escape(summary(lines))}</p>"]
    body += [f"<ul>{meaning}</ul>", f"<p>{html.escape(CONVENTIONS)}</p>"]
    for source, (title, text) in SOURCES.items():
        here = [line for line in lines if line.source == source]
        body += [f"<h2>{title}</h2>", f"<p>{html.escape(text)}</p>", html_table(source, here)]
    return page(TITLE, "\n".join(body), STYLE)


def html_table(source: str, lines: Sequence[Line]) -> str:
    """Return a source's table: two columns a quantity, the published number and ours."""
    names = [HEADERS[quantity] for quantity in QUANTITIES[source]]
    groups = "".join(f'<th colspan="2">{name}</th>' for name in names)
    model, why = (f'<th rowspan="2">{name}</th>' for name in ("Model", "Why"))
    halves = "".join(f'<th class="half">{who}</th>' for who in (theirs(source), "ours"))
    halves *= len(names)
    rows = "\n".join(html_row(line) for line in lines)
    return (
        f"<table>\n<thead>\n<tr>{model}{groups}{why}</tr>\n<tr>{halves}</tr>\n"
        f"</thead>\n<tbody>\n{rows}\n</tbody>\n</table>"
    )


def html_row(line: Line) -> str:
    """Return a model's row; where a published number stands is its tooltip."""
    cells = [("model", "", line.name)]
    for cell in line.cells:
        where = cell.published.where if cell.published else ""
        compared = cell.published and cell.ours
        cells.append(("" if cell.published else "absent", where, cell.published_text))
        cells.append(
            (cell.status if compared else "" if cell.ours else "absent", "", cell.ours_text)
        )
    cells.append(("why", "", line.why))
    return "<tr>" + "".join(html_cell(*cell) for cell in cells) + "</tr>"


def html_cell(kind: str, tooltip: str, text: str) -> str:
    kind = f' class="{kind}"' if kind else ""
    tooltip = f' title="{html.escape(tooltip, quote=True)}"' if tooltip else ""
    return f"<td{kind}{tooltip}>{html.escape(text)}</td>"


def theirs(source: str) -> str:
    """Return the heading of the numbers that are not ours."""
    return "released" if source == "code" else "published"


def summary(lines: Sequence[Line]) -> str:
    """Say how many numbers are equal, explained and so on."""
    found = Counter(cell.status for line in lines for cell in line.cells if cell.published)
    counts = ", ".join(f"{found[status]} {status}" for status in STATUSES if found[status])
    return f"{found.total()} numbers: {counts}."
