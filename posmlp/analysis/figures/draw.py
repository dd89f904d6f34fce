"""Draw the catalogue's figures: pass each function what its parameters name, save the result."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posmlp.analysis.figures.catalogue import Entry, Source, figures_from
from posmlp.analysis.figures.style import save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from posmlp.analysis.learned import LearnedRun


def draw(entry: Entry, inputs: Mapping[str, Any]) -> Figure | None:
    """Draw a figure from those inputs that its function's parameters name."""
    function = getattr(import_module(f"posmlp.analysis.figures.{entry.module}"), entry.name)
    return function(**{name: inputs[name] for name in inspect.signature(function).parameters})


def draw_figures(source: Source, inputs: Mapping[str, Any], folder: str | Path) -> None:
    """Draw the figures of a study or of the project as folder/<figure>.png and .pdf."""
    for entry in figures_from(source):
        save(draw(entry, inputs), folder, entry.name, ("png", "pdf"))


def draw_network(run: LearnedRun, folder: str | Path) -> None:
    """Draw a network's figures as folder/<figure>/<variant>.png.

    Copies go into the run's own folder, from where MLflow shows them.
    """
    for entry in figures_from("network"):
        into = Path(folder) / entry.name
        into.mkdir(parents=True, exist_ok=True)  # also where there is nothing to show
        if figure := draw(entry, {"run": run}):
            save(figure, into, run.variant, ("png",))
            own = run.folder / "figures" / f"{entry.name}.png"
            own.parent.mkdir(exist_ok=True)
            shutil.copy(into / f"{run.variant}.png", own)
