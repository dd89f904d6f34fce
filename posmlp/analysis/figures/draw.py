"""Draw registered figures: hand each function what its parameters name, save what it returns."""

from __future__ import annotations

import hashlib
import inspect
import shutil
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from posmlp.analysis.figures.registry import Entry, Source, figures_from
from posmlp.analysis.figures.style import save, save_for_screen
from posmlp.code_version import analysis_code_digest


def draw(entry: Entry, inputs: Mapping[str, Any]) -> Figure | None:
    """Draw a figure from those of the inputs that its function's parameters name."""
    function = getattr(import_module(f"posmlp.analysis.figures.{entry.module}"), entry.name)
    return function(**{name: inputs[name] for name in inspect.signature(function).parameters})


def draw_figures(source: Source, inputs: Mapping[str, Any], folder: str | Path) -> None:
    """Draw and save the figures of a whole study, or of the project, that come from a source."""
    for entry in figures_from(source):
        save(draw(entry, inputs), folder, entry.name)


def draw_networks(
    run_folders: Iterable[str | Path],
    summary: pd.DataFrame,
    folder: str | Path,
    others: Iterable[str | Path] = (),
) -> pd.DataFrame:
    """Draw and save all figures of trained networks; return the granularities of all runs.

    Networks are read one after the other: maps of a large study do not fit into memory together.
    The PNG of a run's figure lies in its folder as well, from where MLflow shows it.

    Args:
        run_folders: one finished run a variant.
        folder: where figures go; those of each variant into a folder named for the figure.
        others: runs whose granularities count as well; `draw_run` draws their figures.
    """
    from posmlp.analysis.granularity import granularities
    from posmlp.analysis.networks import load_learned

    frames = []
    each_variant = figures_from("networks", each_variant=True)
    for entry in each_variant:
        (Path(folder) / entry.name).mkdir(parents=True, exist_ok=True)
    for run_folder in map(Path, run_folders):
        run = load_learned(run_folder)
        frames.append(granularities(run))
        for entry in each_variant:
            figure = draw(entry, {"run": run})
            if figure:
                png = save(figure, Path(folder) / entry.name, run.variant)[-1]
                (run_folder / "figures").mkdir(exist_ok=True)
                shutil.copy(png, run_folder / "figures" / f"{entry.name}.png")
    frames += [granularities(load_learned(run_folder)) for run_folder in others]
    all_granularities = pd.concat(frames, ignore_index=True)
    inputs = {"summary": summary, "granularities": all_granularities}
    draw_figures("networks", inputs, folder)
    return all_granularities


def draw_run(run_folder: Path) -> None:
    """Draw a run's figures into its folder, unless they are of this run and this code already."""
    figures = run_folder / "figures"
    mark, content = figures / ".drawn", (run_folder / "metrics.json").read_text("utf-8")
    drawn = hashlib.sha256(f"{analysis_code_digest()} {content}".encode()).hexdigest()
    if mark.exists() and mark.read_text() == drawn:
        return
    from posmlp.analysis.networks import load_learned

    figures.mkdir(exist_ok=True)
    run = load_learned(run_folder)
    for entry in figures_from("networks", each_variant=True):
        figure = draw(entry, {"run": run})
        if figure:
            save_for_screen(figure, figures / f"{entry.name}.png")
    mark.write_text(drawn)
