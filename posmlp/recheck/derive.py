"""What comes from a study's tables of runs, made anew by the functions that the workflow calls."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from posmlp.analysis import results_section
from posmlp.analysis.audit import audit, write_audit
from posmlp.analysis.checks import Results, run_checks
from posmlp.analysis.collect import CURVE_COLUMNS, RUN_COLUMNS, ResultsError, read_frame
from posmlp.analysis.comparison import write_comparison
from posmlp.analysis.documents import documents, renew
from posmlp.analysis.figures.draw import draw, draw_figures
from posmlp.analysis.figures.registry import FIGURES, Entry
from posmlp.analysis.figures.released_logs import read_released_logs
from posmlp.analysis.figures.style import save
from posmlp.analysis.granularity import COLUMNS
from posmlp.analysis.main_table import write_main_table
from posmlp.analysis.networks import LearnedRun
from posmlp.analysis.questions import answer
from posmlp.analysis.statistics import rule_of, summarise
from posmlp.published import RESOURCES
from posmlp.recheck.files import CheckedFile, compare_folders
from posmlp.study import Study

PROJECT = "no study"  # stands where a study would
RELEASED_LOGS = RESOURCES / "released_logs"
ENTRIES: dict[str, Entry] = {entry.name: entry for entry in FIGURES}
# Of the figures of networks, those that need no weights: tables have all that they show.
RUN_CURVES, GRANULARITY = ENTRIES["run_curves"], ENTRIES["granularity"]


@dataclass(frozen=True)
class Collected:
    """A study, the folder of its results, and its tables of runs and of epochs."""

    study: Study
    folder: Path
    runs: pd.DataFrame
    curves: pd.DataFrame

    @property
    def finished(self) -> pd.DataFrame:
        """The runs that have figures."""
        return self.runs[self.runs["test_top1"].notna()]

    @classmethod
    def read(cls, study: Study, results: Path) -> Self:
        """Read results/<study>; ResultsError where a table is not there or lacks columns."""
        folder = results / study.name
        runs = read_table(folder / "runs.csv", RUN_COLUMNS)
        return cls(study, folder, runs, read_table(folder / "curves.csv", CURVE_COLUMNS))


def read_table(path: Path, columns: Iterable[str]) -> pd.DataFrame:
    """Read a table; ResultsError where it is not there or lacks one of the columns."""
    frame = read_frame(path)
    if missing := [column for column in columns if column not in frame]:
        raise ResultsError(
            f"{path}: lacks {', '.join(missing)}, so another version wrote it; `snakemake` writes "
            "it again"
        )
    return frame


@dataclass(frozen=True)
class Part:
    """Files of one origin: how they are counted, which they are, and what makes them anew.

    Attributes:
        patterns: globs of the files below a folder.
        make: writes them, from Collected or a folder of results, to the same places of another.
    """

    kind: str
    patterns: tuple[str, ...]
    make: Callable[[Any, Path], None]


def tables(collected: Collected, into: Path) -> None:
    study = collected.study
    generator = np.random.default_rng(0)
    summary = summarise(collected.runs, study.reference, rule_of(study), generator)
    write_main_table(summary, rule_of(study), study.title, into / "tables")


def comparison(collected: Collected, into: Path) -> None:
    paths = into / "comparison.json", into / "model_card.md"
    write_comparison(collected.study, collected.runs, *paths)


def sentences(collected: Collected, into: Path) -> None:
    study = collected.study
    summary = summarise(collected.runs, study.reference, rule_of(study))
    answers = answer(collected.runs, study.questions, rule_of(study))
    results_section.write(summary, answers, rule_of(study), study.title, into)


def checks(collected: Collected, into: Path) -> None:
    report = run_checks(Results(collected.study, collected.runs, collected.curves))
    (into / "checks.md").write_text(report, encoding="utf-8")


def figures(collected: Collected, into: Path) -> None:
    """Draw what the whole study shows, the granularity from the numbers in granularity.csv."""
    study = collected.study
    inputs = {
        "summary": summarise(collected.runs, study.reference),
        "curves": collected.curves,
        "overlay": read_released_logs(RELEASED_LOGS) if study.data_sets == ["imagenet"] else {},
        "granularities": read_table(collected.folder / "granularity.csv", COLUMNS),
    }
    draw_figures("runs", inputs, into / "figures")
    save(draw(GRANULARITY, inputs), into / "figures", GRANULARITY.name)
    run_curves(collected, into / "figures" / RUN_CURVES.name)


def run_curves(collected: Collected, into: Path) -> None:
    """Draw the curves of every variant's first seed."""
    first = collected.curves[collected.curves["seed"] == collected.study.seeds[0]]
    for variant, rows in first.groupby("variant", sort=False):
        history = rows.drop(columns=["variant", "seed"]).to_dict("records")
        run = LearnedRun(variant, collected.study.seeds[0], {}, {}, {}, history)
        save(draw(RUN_CURVES, {"run": run}), into, variant)


def published_and_ours(results: Path, into: Path) -> None:
    write_audit(audit(results), into / "audit")


def project_figures(results: Path, into: Path) -> None:
    logs = read_released_logs(RELEASED_LOGS)
    draw_figures("project", {"released": logs}, into / "figures")


def pages(results: Path, into: Path) -> None:
    for path in documents(Path()):
        page = into / path
        page.parent.mkdir(parents=True, exist_ok=True)
        text = renew(path.read_text(encoding="utf-8"), results, Path("config/studies"))
        page.write_text(text, encoding="utf-8")


STUDY_PARTS = (
    Part("tables", ("tables/*",), tables),
    Part("texts", ("comparison.json", "model_card.md"), comparison),
    Part("texts", ("results.md", "results.tex"), sentences),
    Part("texts", ("checks.md",), checks),
    Part("figures of runs", ("figures/*", f"figures/{RUN_CURVES.name}/*"), figures),
)
RESULTS_PARTS = (
    Part("published numbers", ("audit/*",), published_and_ours),
    Part("figures without runs", ("figures/*",), project_figures),
)
PAGES = Part("README and docs", ("README.md", "docs/**/*.md"), pages)


def derive_study(collected: Collected, into: Path) -> list[CheckedFile]:
    """Make all that comes from a study's tables into a folder; compare it with the study's own."""
    name, folder = collected.study.name, collected.folder
    return [f for part in STUDY_PARTS for f in made_anew(name, part, collected, folder, into)]


def derive_project(results: Path, into: Path) -> list[CheckedFile]:
    """Do so with what belongs to no study: the audit, figures, what README and docs say of results.

    The latter two are those of the folder that this runs in.
    """
    parts = [part for part in RESULTS_PARTS if any(results.glob(part.patterns[0]))]
    files = [f for part in parts for f in made_anew(PROJECT, part, results, results, into)]
    return files + made_anew(PROJECT, PAGES, results, Path(), into)


def made_anew(
    study: str, part: Part, source: Any, committed: Path, into: Path
) -> list[CheckedFile]:
    """Make a part's files and compare them; where that fails, the error is the fault of each."""
    into.mkdir(parents=True, exist_ok=True)
    failure = ""
    try:
        part.make(source, into)
    except ValueError as error:  # all that are a user's to mend
        failure = f"cannot be made: {error}"
    files = [
        file
        for pattern in part.patterns
        for file in compare_folders(study, part.kind, pattern, committed, into)
    ]
    if not failure:
        return files
    files = files or [CheckedFile(study, part.kind, committed / part.patterns[0])]
    return [replace(file, fault=failure) for file in files]
