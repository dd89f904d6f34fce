"""Pages for a browser, complete in themselves: those of a study's report, written as Markdown."""

import base64
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import markdown
import pandas as pd

from posmlp.analysis.tables import markdown_table
from posmlp.markup import Markdown, escape_html, escaped
from posmlp.study import Study

SCREEN_SCALE = 0.8  # of a printed figure's 200 pixels an inch
MOST_LOG_LINES = 400  # of a run; the middle of a longer log is left out
PROVENANCE = {
    "Code": ("code_version", "git_commit", "git_dirty"),
    "Data": ("data_digest", "num_train", "num_test"),
    "Versions": ("python", "torch", "torchvision", "timm", "numpy", "cuda"),
    "Hardware": ("device", "cpu", "num_threads"),
    "Seeds": ("seed",),
}
STYLE = """\
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, Helvetica, Arial, "DejaVu Sans", sans-serif; color: #1b1b1b;
  max-width: 76em; margin: 2em auto; padding: 0 1.5em; }
h1 { font-size: 1.5em; }
h2 { font-size: 1.15em; margin-top: 2em; }
p, li { max-width: 60em; }
table { border-collapse: collapse; font-size: 0.9em; margin: 1em 0; display: block;
  overflow-x: auto; font-variant-numeric: tabular-nums; }
th, td { padding: 0.25em 0.65em; border-bottom: 1px solid #e3e3e3; vertical-align: top; }
th { border-bottom: 2px solid #888; text-align: left; vertical-align: bottom; white-space: nowrap; }
td[style*="right"] { white-space: nowrap; }
pre { background: #f6f6f6; padding: 0.8em; overflow-x: auto; font-size: 0.9em; }
summary { cursor: pointer; padding: 0.15em 0; }
figure { margin: 2em 0 3em; }
figure img { max-width: 100%; }
figcaption { max-width: 52em; color: #444; margin-top: 0.6em; }
"""
# Pages may show pictures that they contain, and run or load nothing.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


def write_page(path: str | Path, title: str, text: str, style: str = "") -> None:
    """Write Markdown as a page; its HTML stays, so text of others must have been escaped.

    Args:
        style: CSS of this page alone.
    """
    body = markdown.markdown(text, extensions=["tables", "md_in_html"])
    page = PAGE.format(policy=POLICY, title=escape_html(title), style=STYLE + style, body=body)
    Path(path).write_text(page, encoding="utf-8")


def study_page(study: Study) -> str:
    """The question, the settings that all runs share, and the variants with their claims."""
    reference = study.run(study.reference, study.seeds[0])
    settings = {name: value for name, value in reference.flat().items() if value != {}}
    variants = [
        (
            Markdown(f"**{variant.name}**" + (" (reference)" * (variant.name == study.reference))),
            variant.claim,
            Markdown(
                ", ".join(
                    f"<code>{escaped(name)}={escaped(show(value))}</code>"
                    for name, value in variant.settings.items()
                )
            ),
        )
        for variant in study.variants
    ]
    seeds = ", ".join(map(str, study.seeds))
    return "\n\n".join(
        [
            f"# {escaped(study.title)}",
            f"**Question.** {escaped(study.question)}",
            f"{len(study.variants)} variants, each with the seeds {seeds}: "
            f"{len(study.runs())} runs. Accuracy is that after the last epoch, never the best.",
            "## Variants",
            table(("variant", "claim", "changes"), variants),
            "## Settings of the reference",
            "Every variant has these settings apart from its changes.",
            table(("setting", "value"), [(k, show(v)) for k, v in sorted(settings.items())]),
        ]
    )


def results_page(section: str, table: str, pictures: Iterable[tuple[Path, str]]) -> str:
    """The results section, the main table, and figures with their captions.

    Args:
        section, table: Markdown.
        pictures: PNG files and captions, in the order of the page.
    """
    return "\n\n".join([section, table, *(figure(*picture) for picture in pictures)])


def figure(png: Path, caption: str) -> str:
    """A picture, contained in the page and larger than in print, above its caption."""
    content = png.read_bytes()
    width = int.from_bytes(content[16:20], "big") * SCREEN_SCALE  # as PNG's header has it
    source = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    words = escape_html(" ".join(caption.split()))
    return (
        f'<figure>\n<img src="{source}" style="width: {width:.0f}px" alt="{png.stem}">\n'
        f"<figcaption>{words}</figcaption>\n</figure>"
    )


def provenance_page(runs: pd.DataFrame) -> str:
    """Where the metrics come from: code, data, versions, hardware, seeds, time."""
    hours = runs["wall_s"].sum() / 3600
    time = [
        ("first run started", runs["started_at"].min()),
        ("last run finished", runs["finished_at"].max()),
        ("training time, all runs", f"{hours:.2f} hours ({runs['wall_s'].sum():,.0f} s)"),
        ("energy", "not measured"),
    ]
    by_variant = runs.groupby("variant", sort=False)["wall_s"].agg(["sum", "median"])
    times = [(name, f"{s:,.0f}", f"{m:,.0f}") for name, s, m in by_variant.itertuples()]
    parts = [
        "# Provenance",
        "Where runs differ, each value is followed by its number of runs.",
    ]
    for title, columns in PROVENANCE.items():
        parts += [f"## {title}", table(("what", "value"), distinct_values(runs, columns))]
    parts += ["## Time and energy", table(("what", "value"), time)]
    return "\n\n".join([*parts, table(("variant", "all seeds (s)", "median (s)"), times, "right")])


def runs_page(runs: pd.DataFrame, logs: Path) -> str:
    """Every run's final metrics, and its log folded up: <variant>-seed<k>.log in `logs`."""
    headers = ("run", "top-1 (%)", "training loss", "epochs", "images/s", "time (s)", "key")
    rows = [
        (
            Markdown(f"[{row.variant} seed {row.seed}](#{anchor(row)})"),
            f"{row.test_top1:.2f}",
            f"{row.train_loss:.3f}",
            f"{row.epochs}",
            f"{row.images_per_s:,.0f}",
            f"{row.wall_s:,.0f}",
            row.key,
        )
        for row in runs.itertuples()
    ]
    folded = [
        f'<details id="{name}"><summary>{name}</summary><pre>'
        f"{escape_html(read_log(logs / f'{name}.log'))}</pre></details>"
        for name in map(anchor, runs.itertuples())
    ]
    return "\n\n".join(["# Runs", table(headers, rows, "right"), "## Logs", "\n".join(folded)])


def anchor(run: Any) -> str:
    """Name a run's log and its position on the page."""
    return f"{run.variant}-seed{run.seed}"


def read_log(path: Path) -> str:
    """The text of a log; of a long one the first and the last lines."""
    if not path.exists():
        return f"{path.name} was not kept."
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    if len(lines) > MOST_LOG_LINES:
        half = MOST_LOG_LINES // 2
        left_out = f"... {len(lines) - 2 * half} lines left out ..."
        lines = [*lines[:half], left_out, *lines[-half:]]
    return "\n".join(lines)


def distinct_values(runs: pd.DataFrame, columns: Iterable[str]) -> list[tuple[str, str]]:
    """Each column with its distinct values."""
    rows = []
    for column in columns:
        counts = runs[column].astype(str).replace("", "unknown").value_counts(sort=False)
        values = [f"{v} ({n} runs)" if len(counts) > 1 else v for v, n in counts.items()]
        rows.append((column.replace("_", " "), ", ".join(values)))
    return rows


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], align: str = "left") -> str:
    """A Markdown table; the first column is text, `align` is for the others."""
    return markdown_table(headers, rows, ["left", *[align] * (len(headers) - 1)])


def show(value: object) -> str:
    """A setting's value as a reader expects it."""
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    if isinstance(value, list):
        return f"[{', '.join(map(show, value))}]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
