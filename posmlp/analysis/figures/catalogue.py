"""The catalogue of figures: name, title, function; and how they are drawn.

A new figure is a function that returns a matplotlib Figure with a caption, and an entry here. A
figure of networks has its caption in workflow/report/<name>.rst instead. The workflow's rules and
the report read this list. Importing it does not import matplotlib, which would delay every start.
"""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from posmlp.analysis.figures.content import (
    compares,
    compares_epochs,
    compares_networks,
    settings_of,
    sweeps_numbers,
    units,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from posmlp.analysis.learned import LearnedRun
    from posmlp.analysis.statistics import Evidence
    from posmlp.study import Study

Source = Literal["studies", "study", "network"]


@dataclass(frozen=True)
class Entry:
    """A figure, drawn by the function of its name in `module` of this package.

    Attributes:
        title: its name in the report.
        source: what the function's parameters may be:
            studies: studies (pairs of study.json's content and tables/main.csv).
            study: the keys of `study_inputs`.
            network: run (a LearnedRun). Drawn for each variant, as PNG, into a folder of the
                figure's name; the function returns None where a network has nothing to show.
        shows: whether a study has anything to show in it; None: every study has.
    """

    name: str
    title: str
    module: str
    source: Source
    shows: Callable[[Study], bool] | None = None

    @property
    def function(self) -> Callable[..., Figure | None]:
        return getattr(import_module(f"posmlp.analysis.figures.{self.module}"), self.name)


FIGURES = (
    Entry("all_studies", "Accuracy differences, all studies", "forest", "studies"),
    Entry("forest", "Accuracy differences", "forest", "study", compares),
    Entry("accuracy_vs_params", "Accuracy by size", "accuracy", "study", compares_networks),
    Entry("sweeps", "Accuracy by setting", "sweeps", "study", sweeps_numbers),
    Entry("learning", "Training by epoch", "learning", "study", compares_epochs),
    Entry("granularity", "Granularity of all groups", "context_widths", "study"),
    Entry("learned_maps", "Learned maps", "maps", "network"),
    Entry("trajectories", "Centres and widths", "quadratic_forms", "network"),
)


def figures_from(source: Source, study: Study | None = None) -> list[Entry]:
    """The figures of a source in the report's order; given a study, those that show some of it."""
    entries = [entry for entry in FIGURES if entry.source == source]
    return [e for e in entries if study is None or e.shows is None or e.shows(study)]


def study_inputs(evidence: Evidence, folder: Path) -> dict[str, Any]:
    """What the figures of a study may ask for, read from the study's folder."""
    from posmlp.analysis.collect import read_frame
    from posmlp.analysis.figures.learning import DRAWN_COLUMNS

    return {
        "summary": evidence.summary,
        "margin": evidence.study.margin,
        "settings": settings_of(evidence.study),
        "units": units(evidence.study),
        "curves": read_frame(folder / "curves.csv", DRAWN_COLUMNS),
        "granularities": read_frame(folder / "granularity.csv"),
    }


def draw(entry: Entry, inputs: Mapping[str, Any]) -> Figure | None:
    """Draw a figure from the inputs named by its function's parameters."""
    names = inspect.signature(entry.function).parameters
    return entry.function(**{name: inputs[name] for name in names})


def draw_figures(entries: Iterable[Entry], inputs: Mapping[str, Any], folder: str | Path) -> None:
    """Draw figures of one or all studies as folder/<figure>.png and .pdf."""
    from posmlp.analysis.figures.style import save

    for entry in entries:
        save(draw(entry, inputs), folder, entry.name, ("png", "pdf"))


def draw_network(run: LearnedRun, folder: str | Path) -> None:
    """Draw a network's figures as folder/<figure>/<variant>.png.

    MLflow shows the copies in the run's own folder.
    """
    from posmlp.analysis.figures.style import save

    for entry in figures_from("network"):
        into = Path(folder) / entry.name
        into.mkdir(parents=True, exist_ok=True)  # a rule's output, even if empty
        if figure := draw(entry, {"run": run}):
            save(figure, into, run.variant, ("png",))
            own = run.folder / "figures" / f"{entry.name}.png"
            own.parent.mkdir(exist_ok=True)
            shutil.copy(into / f"{run.variant}.png", own)
