"""The report of a study and the page of its runs."""

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from posmlp.analysis.figures.catalogue import draw, figures_from, study_inputs
from posmlp.analysis.figures.content import units
from posmlp.analysis.figures.svg import to_svg
from posmlp.analysis.main_table import tables
from posmlp.analysis.pages import figure, png
from posmlp.analysis.results_section import paragraphs
from posmlp.analysis.statistics import Evidence
from posmlp.analysis.tables import markdown_table
from posmlp.markup import escape_html, escaped
from posmlp.study import Study

MAP_SCALE = 0.6  # of learned maps, three side by side
PROVENANCE = ("code_version", "git_commit", "git_dirty", "data_digest", "num_train", "num_test")
PROVENANCE += ("python", "torch", "torchvision", "timm", "numpy", "cuda", "device", "cpu")
PROVENANCE += ("num_threads",)


def report(evidence: Evidence, folder: Path) -> str:
    """The report as Markdown: question, answers, tables, figures, checks, provenance.

    Args:
        folder: the study's results.
    """
    study, made = evidence.study, tables(evidence)
    figures = dict(study_figures(evidence, folder))
    forest, granularity = (figures.pop(name, "") for name in ("forest", "granularity"))
    asked = made["questions"].for_print().to_markdown(heading=False)
    sections = {
        "Differences in accuracy": [forest],
        "Answers": [*map(escaped, paragraphs(evidence)), "" if evidence.answers.empty else asked],
        "Accuracy and size": [made["main"].to_markdown(heading=False)],
        "Figures": figures.values(),
        "What the units learned": [learned_maps(study, folder), granularity],
        "All variants": [claims(study), made["variants"].to_markdown(heading=False)],
        "Settings of the reference": [settings(study)],
        "Checks": [(folder / "checks.md").read_text("utf-8").partition("\n")[2]],
        "Provenance": [
            provenance(evidence.runs),
            "runs.html, beside this page, has every run with its log; `make report "
            f"STUDY={study.command_name}` packs both, all networks' figures and the code into "
            "archive.html.",
        ],
    }
    texts = [question(study), "[TOC]"]
    for title, parts in sections.items():
        if any(parts):
            texts += [f"## {title}", *parts]
    return "\n\n".join(texts)


def question(study: Study) -> str:
    seeds = ", ".join(map(str, study.seeds))
    return (
        f"# {escaped(study.title)}\n\n**Question.** {escaped(study.question)}\n\n"
        f"{len(study.variants)} variants, each with the seeds {seeds}: {len(study.runs())} runs. "
        "Accuracy is that after the last epoch, never the best."
    )


def study_figures(evidence: Evidence, folder: Path) -> Iterator[tuple[str, str]]:
    """Name and HTML of each figure that is not empty."""
    inputs = study_inputs(evidence, folder)
    for entry in figures_from("study", evidence.study):
        drawn = draw(entry, inputs)
        if drawn.axes:
            caption = drawn.get_supxlabel()
            yield entry.name, figure(to_svg(drawn), entry.title, caption, drawn.get_figwidth())


def learned_maps(study: Study, folder: Path) -> str:
    """The maps of one variant per gating unit, if they have been drawn."""
    paths = [folder / f"figures/learned_maps/{name}.png" for name in units(study)]
    pictures = [png(path, MAP_SCALE) for path in paths if path.exists()]
    caption = (
        "How one query token (ring) weighs all tokens of its window, by layer and channel group. "
        "Raw weights of each unit's variant with the most groups, first seed; the archive has all "
        "variants."
    )
    return figure("\n".join(pictures), "Learned maps", caption) if pictures else ""


def claims(study: Study) -> str:
    """A table of the variants with their claims and changed settings."""
    rows = []
    for variant in study.variants:
        reference = " (reference)" if variant.name == study.reference else ""
        changes = [f"{name}={show(value)}" for name, value in variant.settings.items()]
        rows.append((f"{variant.name}{reference}", variant.claim, ", ".join(changes)))
    return markdown_table(("variant", "claim", "changes"), rows)


def settings(study: Study) -> str:
    """A table of the reference's settings."""
    reference = study.run(study.reference, study.seeds[0]).flat()
    rows = [(name, show(value)) for name, value in sorted(reference.items()) if value != {}]
    listed = markdown_table(("setting", "value"), rows)
    return f'<div class="columns" markdown="1">\n\n{listed}\n\n</div>'


def show(value: object) -> str:
    """Format a setting as in a study file."""
    return json.dumps(value, ensure_ascii=False).strip('"')


def provenance(runs: pd.DataFrame) -> str:
    """A table of code, data, versions, hardware and time.

    If runs differ, each value has its number of runs.
    """
    rows = []
    for column in PROVENANCE:
        counts = runs[column].astype(str).replace("", "unknown").value_counts(sort=False)
        values = [f"{v} ({n} runs)" if len(counts) > 1 else v for v, n in counts.items()]
        rows.append((column.replace("_", " "), ", ".join(values)))
    seconds = runs["wall_s"].sum()
    rows += [
        ("first run started", runs["started_at"].min()),
        ("last run finished", runs["finished_at"].max()),
        ("training time, all runs", f"{seconds / 3600:.2f} hours ({seconds:,.0f} s)"),
        ("energy", "not measured"),
    ]
    return markdown_table(("what", "value"), rows)


def runs_page(runs: pd.DataFrame, logs: Path) -> str:
    """Final metrics and the collapsed log of every run: <variant>-seed<k>.log in `logs`."""
    folded = []
    for run in runs.itertuples():
        path = logs / f"{run.variant}-seed{run.seed}.log"
        log = path.read_text("utf-8", "replace") if path.exists() else f"{path.name} was not kept."
        numbers = f"top-1 {run.test_top1:.2f} %, training loss {run.train_loss:.3f}"
        folded.append(
            f"<details><summary>{run.variant} seed {run.seed}: {numbers}, {run.epochs} epochs, "
            f"{run.images_per_s:,.0f} images/s, {run.wall_s:,.0f} s, key {run.key}</summary>"
            f"<pre>{escape_html(log)}</pre></details>"
        )
    return "\n\n".join(["# Runs", "\n".join(folded)])
