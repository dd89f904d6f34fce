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
    """A figure.

    `function` is "module:function" in this package; its parameters name what it is given, which
    is, by `source`:
        project: released (logs); no run is needed.
        runs: summary, curves (see posmlp.analysis), overlay (released logs to compare with).
        networks: summary, granularities; for each variant: run (a LearnedRun).
    Of a figure for each variant `name` is a folder with a file per variant, and the function
    returns None where it has nothing to show.
    """

    name: str
    title: str
    function: str
    source: Source
    each_variant: bool = False


FIGURES = (
    Entry("params_vs_tokens", "Parameters against tokens", "formulas:params_vs_tokens", "project"),
    Entry("released_curves", "Released training logs", "released_logs:released_curves", "project"),
    Entry("accuracy_vs_params", "Accuracy, parameters", "accuracy:accuracy_vs_params", "runs"),
    Entry("accuracy_vs_mixing", "Accuracy, token mixing", "accuracy:accuracy_vs_mixing", "runs"),
    Entry("accuracy_vs_groups", "Accuracy and size, groups", "groups:accuracy_vs_groups", "runs"),
    Entry("training_curves", "Training curves", "curves:training_curves", "runs"),
    Entry("granularity", "Granularity of groups", "granularity:granularity", "networks"),
    Entry("maps", "Learned maps", "maps:learned_maps", "networks", each_variant=True),
    Entry("token_maps", "Matrix and table", "maps:token_maps", "networks", each_variant=True),
    Entry("position_bias", "Position bias", "maps:position_bias", "networks", each_variant=True),
    Entry("trajectories", "Centres, widths", "trajectories:trajectories", "networks", True),
)


def figures_from(source: Source, *, each_variant: bool = False) -> list[Entry]:
    """Return the figures drawn from a source: those of the whole study, or of each variant."""
    return [
        entry for entry in FIGURES if entry.source == source and entry.each_variant == each_variant
    ]
