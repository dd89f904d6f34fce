"""Pages of the report as Markdown: the study, its results, where they come from, its runs."""

import base64
import html
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from posmlp.study import Study

SCREEN_SCALE = 0.8  # of a printed figure's 200 pixels an inch
MOST_LOG_LINES = 400  # of a run; the middle of a longer log is left out
CODE = ("code_version", "git_commit", "git_dirty")
DATA = ("data_digest", "num_train", "num_test")
VERSIONS = ("python", "torch", "torchvision", "timm", "numpy", "cuda")
HARDWARE = ("device", "cpu", "num_threads")


def study_page(study: Study) -> str:
    """Return the question, what every run has in common, and the variants with their claims."""
    reference = study.run(study.reference, study.seeds[0])
    settings = {name: value for name, value in reference.flat().items() if value != {}}
    variants = [
        {
            "variant": f"**{variant.name}**" + (" (reference)" * (variant.name == study.reference)),
            "claim": variant.claim,
            "changes": ", ".join(f"`{k}={show(v)}`" for k, v in variant.settings.items()),
        }
        for variant in study.variants
    ]
    seeds = ", ".join(map(str, study.seeds))
    return "\n\n".join(
        [
            f"# {study.title}",
            f"**Question.** {study.question}",
            f"{len(study.variants)} variants, each with the seeds {seeds}: "
            f"{len(study.runs())} runs. Accuracy is that after the last epoch, never the best.",
            "## Variants",
            table(variants),
            "## Settings of the reference",
            "Every variant has these but for its changes.",
            table([{"setting": f"`{k}`", "value": show(v)} for k, v in sorted(settings.items())]),
        ]
    )


def results_page(sentences: str, table: str, pictures: Iterable[tuple[Path, str]]) -> str:
    """Return the results in sentences, the main table, and figures with their captions.

    Args:
        sentences, table: Markdown.
        pictures: PNG files and captions, in the order of the page.
    """
    return "\n\n".join([sentences, table, *(figure(*picture) for picture in pictures)])


def figure(png: Path, caption: str) -> str:
    """Return a picture that stands in the page itself, larger than in print, above its caption."""
    content = png.read_bytes()
    width = int.from_bytes(content[16:20], "big") * SCREEN_SCALE  # as PNG's header has it
    source = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    words = html.escape(" ".join(caption.split()))
    return (
        f'<figure>\n<img src="{source}" style="width: {width:.0f}px" alt="{png.stem}">\n'
        f"<figcaption>{words}</figcaption>\n</figure>"
    )


def provenance_page(runs: pd.DataFrame) -> str:
    """Return where the numbers come from: code, data, versions, hardware, seeds, time, energy."""
    hours = runs["wall_s"].sum() / 3600
    time = {
        "first run started": runs["started_at"].min(),
        "last run finished": runs["finished_at"].max(),
        "training time, all runs": f"{hours:.2f} hours ({runs['wall_s'].sum():,.0f} s)",
        "energy": "not measured",
    }
    by_variant = runs.groupby("variant", sort=False)["wall_s"].agg(["sum", "median"])
    times = [
        {
            "variant": name,
            "all seeds (s)": f"{row['sum']:,.0f}",
            "median (s)": f"{row['median']:,.0f}",
        }
        for name, row in by_variant.iterrows()
    ]
    return "\n\n".join(
        [
            "# Provenance",
            "Values that differ between runs stand beside each other, with the number of runs.",
            *("## Code", values_table(runs, CODE)),
            *("## Data", values_table(runs, DATA)),
            *("## Versions", values_table(runs, VERSIONS)),
            *("## Hardware", values_table(runs, HARDWARE)),
            *("## Seeds", values_table(runs, ("seed",))),
            *("## Time and energy", table([{"what": k, "value": v} for k, v in time.items()])),
            table(times, align_right=True),
        ]
    )


def runs_page(runs: pd.DataFrame, logs: Path) -> str:
    """Return every run's final figures, and its log folded up: <variant>-seed<k>.log in `logs`."""
    rows = [
        {
            "run": f"[{row.variant} seed {row.seed}](#{anchor(row)})",
            "top-1 (%)": f"{row.test_top1:.2f}",
            "training loss": f"{row.train_loss:.3f}",
            "epochs": f"{row.epochs}",
            "images/s": f"{row.images_per_s:,.0f}",
            "time (s)": f"{row.wall_s:,.0f}",
            "key": f"`{row.key}`",
        }
        for row in runs.itertuples()
    ]
    folded = []
    for name in map(anchor, runs.itertuples()):
        log = html.escape(read_log(logs / f"{name}.log"))
        folded.append(f'<details id="{name}"><summary>{name}</summary><pre>{log}</pre></details>')
    return "\n\n".join(["# Runs", table(rows, align_right=True), "## Logs", "\n".join(folded)])


def anchor(run: Any) -> str:
    """Return the name of a run's log and of its place on the page."""
    return f"{run.variant}-seed{run.seed}"


def read_log(path: Path) -> str:
    """Return a log; of a long one the first and the last lines."""
    if not path.exists():
        return f"{path.name} has not been kept."
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    if len(lines) > MOST_LOG_LINES:
        half = MOST_LOG_LINES // 2
        left_out = f"... {len(lines) - 2 * half} lines left out ..."
        lines = [*lines[:half], left_out, *lines[-half:]]
    return "\n".join(lines)


def values_table(runs: pd.DataFrame, columns: Iterable[str]) -> str:
    """Return a table of columns with their distinct values."""
    rows = []
    for column in columns:
        counts = runs[column].astype(str).replace("", "unknown").value_counts(sort=False)
        values = [f"{v} ({n} runs)" if len(counts) > 1 else v for v, n in counts.items()]
        rows.append({"what": column.replace("_", " "), "value": ", ".join(values)})
    return table(rows)


def table(rows: list[dict[str, str]], align_right: bool = False) -> str:
    """Return a Markdown table; the first column is text, the others may be numbers."""
    header = list(rows[0])
    rule = [":---"] + ["---:" if align_right else ":---"] * (len(header) - 1)
    cells = [[str(cell).replace("|", r"\|") for cell in row.values()] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, rule, *cells])


def show(value: object) -> str:
    """Return a setting's value as a reader expects it."""
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    if isinstance(value, list):
        return f"[{', '.join(map(show, value))}]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
