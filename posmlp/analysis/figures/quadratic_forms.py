"""How the centres and widths of quadratic encodings move over training.

Shape letters: E epochs, the start being epoch 0; S channel groups, G those drawn; D axes.
"""

import copy
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
    """A layer's centres (E, S, D) and widths (E, S) in tokens."""

    centres: np.ndarray
    widths: np.ndarray


@figure_style()
def trajectories(run: LearnedRun) -> Figure | None:
    """Draw the path of each group's centre, and its width by epoch; a column per layer.

    None for a run without quadratic encodings, or without a record of their values.
    """
    found = read_trajectories(run)
    if not found:
        return None
    found = {n: found[n] for n in np.array(list(found))[evenly_spaced(len(found), MAX_LAYERS)]}
    figure = Figure(figsize=(width_of_layers(len(found)), 4.2), layout="constrained")
    grid = figure.subplots(2, len(found), squeeze=False, sharey="row")
    for column, (number, trajectory) in zip(grid.T, found.items(), strict=True):
        draw_layer(*column, trajectory)
        column[0].set(title=f"layer {number}", xlabel="right (tokens)")
        column[1].set(title=f"layer {number}", xlabel="epoch")
    widths = np.concatenate([trajectory.widths.ravel() for trajectory in found.values()])
    format_positive_axis(grid[1, 0].yaxis, widths, StrMethodFormatter("{x:g}"))
    reach = 1.1 * max(np.nanmax(np.abs(t.centres)) for t in found.values())
    for axes in grid[0]:
        axes.set(xlim=(-reach, reach), ylim=(reach, -reach), box_aspect=1)
    grid[0, 0].set_ylabel("down (tokens)")
    grid[1, 0].set_ylabel("width (tokens)")
    if any(trajectory.widths.shape[1] > 1 for trajectory in found.values()):
        draw_key(figure, grid)
    add_caption(
        figure,
        f"{run.title}.",
        "Top: centres from the start (grey dot) to the end, as offsets from the query.",
        "Bottom: width, the geometric mean of the standard deviations along the axes of the "
        "quadratic form; a gap where the form has none.",
    )
    return figure


def read_trajectories(run: LearnedRun) -> dict[int, Trajectory]:
    """{number of the layer, from 1: trajectory} for the layers that have one on record."""
    found = {}
    for number, (name, layer) in enumerate(run.layers.items(), start=1):
        values = [run.trajectory.get(f"{name}.position.{part}") for part in ("center", "spread")]
        if isinstance(layer.position, Quadratic) and all(value is not None for value in values):
            found[number] = trajectory_of(layer.position, *values)
    return found


def trajectory_of(encoding: Quadratic, centres_ESD: np.ndarray, spreads: np.ndarray) -> Trajectory:
    """The trajectory given by the recorded centres and spreads of an encoding.

    The encoding defines the precision matrix P of a spread; the width is det(P)^(-1/2D), which is 1
    for a Gaussian of standard deviation 1 along all axes.
    """
    num_epochs, groups, _ = centres_ESD.shape
    every = copy.deepcopy(encoding)  # as if each epoch's groups were groups of one encoding
    every.center = torch.nn.Parameter(torch.from_numpy(centres_ESD).flatten(0, 1))
    every.spread = torch.nn.Parameter(torch.from_numpy(spreads).flatten(0, 1))
    precision = every.precision().detach().double()
    precision = (precision + precision.mT) / 2  # a score depends on the symmetric part alone
    variances = 1 / torch.linalg.eigvalsh(precision)  # the logarithm of a negative one is NaN
    widths = variances.log().mean(dim=-1).div(2).exp()
    return Trajectory(centres_ESD, widths.reshape(num_epochs, groups).numpy())


def draw_layer(top: Axes, bottom: Axes, trajectory: Trajectory) -> None:
    """Draw the path of each centre, with a dot at its end, and below it the width by epoch."""
    groups = evenly_spaced(trajectory.widths.shape[1], MAX_GROUPS)
    for axes in (top, bottom):
        axes.set_prop_cycle(color=SHADES(np.linspace(0, 1, len(groups))))
    down_EG, right_EG = np.moveaxis(trajectory.centres[:, groups], -1, 0)
    top.plot(right_EG, down_EG, linewidth=0.7)
    top.plot(right_EG[-1:], down_EG[-1:], "o", markersize=2.2)
    top.plot(0, 0, "o", markersize=3, color="#777777", zorder=0.5)
    bottom.plot(trajectory.widths[:, groups], linewidth=0.7)
    bottom.axhline(1, color="#777777", linewidth=0.5, linestyle=":", zorder=0.5)
    for axis in (top.xaxis, top.yaxis, bottom.xaxis):
        axis.set_major_locator(MaxNLocator(3, integer=True))


def draw_key(figure: Figure, grid: np.ndarray) -> None:
    """Draw which colour is which channel group."""
    key = ScalarMappable(cmap=SHADES)
    bar = figure.colorbar(key, ax=grid, location="bottom", aspect=80, pad=0.03)
    bar.set_ticks([0, 0.5, 1], labels=["first", "channel group", "last"])
    for label, side in zip(bar.ax.get_xticklabels(), ("left", "center", "right"), strict=True):
        label.set_horizontalalignment(side)
    bar.ax.tick_params(length=0)
