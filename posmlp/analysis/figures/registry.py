"""Every figure: its name, the function that draws it, what it is drawn from.

A new figure is one function that returns a matplotlib Figure, one entry here, and one caption in
workflow/report/<name>.rst. The rules, the final target and the report take it from this list.
Nothing is imported here, so that the workflow can read the list without matplotlib.
"""

from dataclasses import dataclass
from typing import Literal

Source = Literal["project", "runs", "networks"]


@dataclass(frozen=True)
class Entry:
    """A figure, drawn by the function of its name in `module` of this package.

    The function's parameters name what it is given, which is, by `source`:
        project: released (logs); no run is needed.
        runs: summary, curves (see posmlp.analysis), overlay (released logs to compare with).
        networks: summary, granularities; for each variant: run (a LearnedRun).
    A figure of each variant is a folder with a file per variant, and its function returns None
    where a network has nothing to show. The report files a figure under category and title.
    """

    name: str
    category: str
    title: str
    module: str
    source: Source
    each_variant: bool = False


FIGURES = (
    Entry("accuracy_vs_params", "Accuracy", "by parameters", "accuracy", "runs"),
    Entry("accuracy_vs_mixing", "Accuracy", "by token-mixing parameters", "accuracy", "runs"),
    Entry("accuracy_vs_groups", "Accuracy", "and parameters by groups", "groups", "runs"),
    Entry("params_vs_tokens", "Size", "parameters by tokens", "formulas", "project"),
    Entry("training_curves", "Training", "curves of this study", "curves", "runs"),
    Entry("run_curves", "Training", "curves of a run", "curves", "networks", True),
    Entry("released_curves", "Training", "released logs", "released_logs", "project"),
    Entry("granularity", "Granularity", "of all groups", "granularity", "networks"),
    Entry("learned_maps", "Learned maps", "by layer and group", "maps", "networks", True),
    Entry("token_maps", "Matrix and position", "maps and their sum", "maps", "networks", True),
    Entry("position_bias", "Position bias", "of every token", "maps", "networks", True),
    Entry("trajectories", "Centres and widths", "by epoch", "trajectories", "networks", True),
)


def figures_from(source: Source, *, each_variant: bool = False) -> list[Entry]:
    """Return the figures drawn from a source: those of the whole study, or of each variant."""
    return [
        entry for entry in FIGURES if entry.source == source and entry.each_variant == each_variant
    ]
