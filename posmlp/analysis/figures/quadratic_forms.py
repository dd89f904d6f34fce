"""How the centres and widths of quadratic encodings move over training."""

import copy
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from posmlp.analysis.figures.marks import add_caption, evenly_spaced, format_positive_axis
from posmlp.analysis.figures.style import MAX_LAYERS, figure_style, width_of_layers
from posmlp.analysis.learned import LearnedRun
from posmlp.layers.position import Quadratic

MAX_GROUPS = 16  # drawn at most
SHADES = ListedColormap(colormaps["viridis"](np.linspace(0, 0.9, 256)))  # from first group to last


class Trajectory(NamedTuple):
    """A layer's centres (moments, S, D) and widths (moments, S), in tokens; moment 0 the start."""

    centres: np.ndarray
    widths: np.ndarray


@figure_style()
def trajectories(run: LearnedRun) -> Figure | None:
    """Draw where each group's centre went, and how its width changed by epoch; a column a layer.

    None for a run without quadratic encodings, or without a record of their values.
    """
    found = read_trajectories(run)
    if not found:
        return None
    numbers = [list(found)[i] for i in evenly_spaced(len(found), MAX_LAYERS)]
    figure = Figure(figsize=(width_of_layers(len(numbers)), 4.2), layout="constrained")
    grid = figure.subplots(2, len(numbers), squeeze=False, sharey="row")
    for number, (centre, spread) in zip(numbers, grid.T, strict=True):
        draw_centres(centre, found[number])
        draw_widths(spread, found[number])
        centre.set(title=f"layer {number}", xlabel="right (tokens)")
        spread.set(title=f"layer {number}", xlabel="epoch")
    widths = np.concatenate([found[number].widths.ravel() for number in numbers])
    format_positive_axis(grid[1, 0].yaxis, widths, StrMethodFormatter("{x:g}"))
    reach = max(np.nanmax(np.abs(found[number].centres)) for number in numbers) * 1.1
    for axes in grid[0]:
        axes.set(xlim=(-reach, reach), ylim=(reach, -reach), box_aspect=1)
    grid[0, 0].set_ylabel("down (tokens)")
    grid[1, 0].set_ylabel("width (tokens)")
    if any(found[number].widths.shape[1] > 1 for number in numbers):
        draw_key(figure, grid)
    caption = (
        f"{run.title}. Top: centres from the start (grey dot) to the end, as offsets from the "
        "query in tokens. Bottom: width, the geometric mean of the standard deviations along the "
        "axes of the quadratic form; a gap where the form has none."
    )
    add_caption(figure, caption)
    return figure


def read_trajectories(run: LearnedRun) -> dict[int, Trajectory]:
    """{number of the layer, from 1: trajectory} of the layers that have one on record."""
    found = {}
    for number, (name, layer) in enumerate(run.layers.items(), start=1):
        values = [run.trajectory.get(f"{name}.position.{part}") for part in ("center", "spread")]
        if isinstance(layer.position, Quadratic) and all(value is not None for value in values):
            found[number] = trajectory_of(layer.position, *values)
    return found


def trajectory_of(encoding: Quadratic, centres_ESD: np.ndarray, spreads: np.ndarray) -> Trajectory:
    """Trajectory that the recorded centres and spreads of an encoding describe.

    The encoding itself says what precision matrix P a spread means; the width is det(P)^(-1/2D),
    which is 1 for a Gaussian of standard deviation 1 along all axes.
    """
    num_epochs, groups, _ = centres_ESD.shape
    every = copy.deepcopy(encoding)  # one "group" for each moment and group
    every.center = torch.nn.Parameter(torch.from_numpy(centres_ESD).flatten(0, 1))
    every.spread = torch.nn.Parameter(torch.from_numpy(spreads).flatten(0, 1))
    precision = every.precision().detach().double()
    precision = (precision + precision.mT) / 2  # a score depends on the symmetric part alone
    variances = 1 / torch.linalg.eigvalsh(precision)  # of a negative one the logarithm is NaN
    widths = variances.log().mean(dim=-1).div(2).exp()
    return Trajectory(centres_ESD, widths.reshape(num_epochs, groups).numpy())


def drawn_groups(trajectory: Trajectory) -> Iterator[tuple[int, tuple[float, ...]]]:
    """Yield the groups that are drawn, each with its colour in both panels."""
    groups = evenly_spaced(trajectory.centres.shape[1], MAX_GROUPS)
    shades = SHADES(np.linspace(0, 1, len(groups)))
    return zip(groups, map(tuple, shades), strict=True)


def draw_centres(axes: Axes, trajectory: Trajectory) -> None:
    """Draw the path of each centre, with a dot at the end."""
    for group, colour in drawn_groups(trajectory):
        down_E, right_E = trajectory.centres[:, group].T
        axes.plot(right_E, down_E, linewidth=0.7, color=colour)
        axes.plot(right_E[-1], down_E[-1], "o", markersize=2.2, color=colour)
    axes.plot(0, 0, "o", markersize=3, color="#777777", zorder=0.5)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(3, integer=True))


def draw_widths(axes: Axes, trajectory: Trajectory) -> None:
    """Draw the width of each group by epoch."""
    for group, colour in drawn_groups(trajectory):
        axes.plot(trajectory.widths[:, group], linewidth=0.7, color=colour)
    axes.axhline(1, color="#777777", linewidth=0.5, linestyle=":", zorder=0.5)
    axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))


def draw_key(figure: Figure, grid: np.ndarray) -> None:
    """Draw which colour is which channel group."""
    key = ScalarMappable(cmap=SHADES)
    bar = figure.colorbar(key, ax=grid, location="bottom", aspect=80, pad=0.03)
    bar.set_ticks([0, 0.5, 1], labels=["first", "channel group", "last"])
    for label, side in zip(bar.ax.get_xticklabels(), ("left", "center", "right"), strict=True):
        label.set_horizontalalignment(side)
    bar.ax.tick_params(length=0)
