"""The catalogue of figures: name, function, place in the report.

A new figure is a function that returns a matplotlib Figure, an entry here, and a caption in
workflow/report/<name>.rst. Rules, the final target and the report read this list. It imports
nothing large, so that the workflow starts without matplotlib.
"""

from dataclasses import dataclass
from typing import Literal

Source = Literal["project", "study", "network"]


@dataclass(frozen=True)
class Entry:
    """A figure, drawn by the function of its name in `module` of this package.

    Attributes:
        category, title: where the report files it.
        source: what the function's parameters may name:
            project: released (logs); no run is needed.
            study: summary, curves and granularities (see posmlp.analysis), margin (points of
                top-1, or None), overlay (released logs to compare with).
            network: run (a LearnedRun). Drawn for each variant, as PNG, into a folder of the
                figure's name; the function returns None where a network has nothing to show.
    """

    name: str
    category: str
    title: str
    module: str
    source: Source


FIGURES = (
    Entry("forest", "Accuracy", "differences", "forest", "study"),
    Entry("accuracy_vs_params", "Accuracy", "by parameters", "accuracy", "study"),
    Entry("accuracy_vs_groups", "Accuracy", "and parameters by groups", "group_sweep", "study"),
    Entry("params_vs_tokens", "Size", "parameters by tokens", "map_sizes", "project"),
    Entry("training_curves", "Training", "curves of this study", "curves", "study"),
    Entry("run_curves", "Training", "curves of a run", "curves", "network"),
    Entry("released_curves", "Training", "released logs", "released_logs", "project"),
    Entry("granularity", "Granularity", "of all groups", "context_widths", "study"),
    Entry("learned_maps", "Learned maps", "by layer and group", "maps", "network"),
    Entry("token_maps", "Matrix and position", "maps and their sum", "maps", "network"),
    Entry("position_bias", "Position bias", "of every token", "maps", "network"),
    Entry("trajectories", "Centres and widths", "by epoch", "quadratic_forms", "network"),
)


def figures_from(source: Source) -> list[Entry]:
    """The figures of a source, in the order of the report."""
    return [entry for entry in FIGURES if entry.source == source]
