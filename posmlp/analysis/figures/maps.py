"""What a trained network has learned: how each channel group weighs the tokens of its window.

Shape letters: S channel groups, h and w the window; the first h, w are the query, the last the key.
"""

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure

from posmlp.analysis.figures.marks import evenly_spaced
from posmlp.analysis.figures.style import (
    CHARACTERS,
    LINE,
    MAX_LAYERS,
    figure_style,
    width_of_layers,
)
from posmlp.analysis.learned import LearnedRun

MAX_GROUPS = 6  # drawn at most
# The layers, counted from 0, that the released plotting code draws of a network of 24.
RELEASED_LAYERS = (1, 3, 8, 12, 16, 20, 22)
# Inches
LARGEST_PANEL = 1.2
GAP = 0.06  # between panels
LEFT = 0.22  # for the names of the groups
TITLES = 0.25  # for the layers' titles and space around the figure's
BAR, TICKS = 0.05, 0.19  # colour bars and the numbers below them


@figure_style()
def learned_maps(run: LearnedRun) -> Figure | None:
    """Draw how one query token weighs the tokens of its window, in each layer and group.

    Layers are columns, groups rows: at most MAX_LAYERS and MAX_GROUPS, evenly spaced. Each layer
    has its own colour scale, which diverges from zero where a map has negative weights. A ring
    marks the query. None for a network without token-mixing layers.
    """
    maps = {number: run.maps[name] for number, name in drawn_layers(run).items()}
    if not maps:
        return None
    num_groups = [len(map_ShwHW) for map_ShwHW in maps.values()]
    alike = len(set(num_groups)) == 1
    figure, grid = panels(min(MAX_GROUPS, max(num_groups)), len(maps), maps_title(run, maps))
    for column, (number, map_ShwHW) in enumerate(maps.items()):
        query = query_token(map_ShwHW)
        keys_Shw = map_ShwHW[:, *query]
        limit = float(np.abs(keys_Shw).max()) or 1.0
        low, colours = (-limit, "RdBu_r") if keys_Shw.min() < 0 else (0.0, "cividis")
        for row, group in enumerate(evenly_spaced(len(keys_Shw), MAX_GROUPS)):
            axes = grid[row, column]  # a layer with fewer groups leaves the last rows empty
            image = axes.imshow(keys_Shw[group], cmap=colours, vmin=low, vmax=limit)
            draw_ring(axes, *query)
            if not alike:
                box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
                corner = {"transform": axes.transAxes, "va": "top", "bbox": box}
                axes.text(0.04, 0.95, str(group + 1), **corner)
            elif column == 0:
                axes.set_ylabel(f"group {group + 1}", labelpad=2)
        grid[0, column].set_title(f"layer {number}", pad=3)
        label_ends(figure.colorbar(image, cax=grid[-1, column], orientation="horizontal"))
    return figure


def panels(num_rows: int, num_columns: int, title: str) -> tuple[Figure, np.ndarray]:
    """Square panels under a title; the last row of axes is for colour bars.

    Placed by arithmetic: a layout engine doubles the time a figure takes.
    """
    width = width_of_layers(num_columns)
    side = min(LARGEST_PANEL, (width - LEFT) / num_columns - GAP)
    heights = [side] * num_rows + [BAR]
    title = textwrap.fill(title, int(width * CHARACTERS))
    across, down = num_columns * (side + GAP) - GAP, sum(heights) + num_rows * GAP
    height = TICKS + down + TITLES + LINE * len(title.splitlines())
    left, bottom = (width + LEFT - GAP - across) / 2, TICKS
    place = {"left": left / width, "right": (left + across) / width}
    place |= {"bottom": bottom / height, "top": (bottom + down) / height}
    place |= {"wspace": GAP / side, "hspace": GAP / np.mean(heights)}
    figure = Figure(figsize=(width, height))
    figure.suptitle(title, y=1 - 0.04 / height, va="top")
    grid = figure.subplots(
        num_rows + 1,
        num_columns,
        squeeze=False,
        subplot_kw={"xticks": [], "yticks": [], "frame_on": False},
        gridspec_kw={"height_ratios": heights} | place,
    )
    return figure, grid


def draw_ring(axes: Axes, row: int, column: int) -> None:
    """Mark a token, visible on any colour."""
    for colour, linewidth in (("white", 1.8), ("black", 0.8)):
        ring = {"markerfacecolor": "none", "markeredgewidth": linewidth, "color": colour}
        axes.plot(column, row, marker="o", markersize=4, **ring)


def label_ends(bar: Colorbar) -> None:
    """Write the limits of a colour scale under its ends, or 0 ± limit in the middle."""
    if bar.vmin < 0:
        bar.set_ticks([0], labels=[f"0 ± {bar.vmax:.2g}"])
    else:
        bar.set_ticks([0, bar.vmax], labels=["0", f"{bar.vmax:.2g}"])
        for label, side in zip(bar.ax.get_xticklabels(), ("left", "right"), strict=True):
            label.set_horizontalalignment(side)
    bar.ax.tick_params(length=2, pad=1)


def maps_title(run: LearnedRun, maps: dict[int, np.ndarray]) -> str:
    """Name the run and the query tokens whose weights are drawn."""
    tokens = dict.fromkeys(
        "row {}, column {} of {}×{}".format(*query_token(m) + np.array(1), *m.shape[1:3])
        for m in maps.values()
    )
    numbers = "; numbers: groups" if len(set(map(len, maps.values()))) > 1 else ""
    where = " and ".join(tokens)
    return f"{run.title}: weights for the query token in {where} (ring){numbers}"


def drawn_layers(run: LearnedRun) -> dict[int, str]:
    """{number, from 1: name} of the layers drawn: the released choice of 24, or evenly spaced."""
    names = list(run.layers)
    chosen = RELEASED_LAYERS if len(names) == 24 else evenly_spaced(len(names), MAX_LAYERS)
    return {index + 1: names[index] for index in chosen}


def query_token(map_ShwHW: np.ndarray) -> tuple[int, int]:
    """Row and column of the query that is drawn.

    As in the released plotting code: token 100 of 14 × 14, in row 7 and column 2, which shows
    whether a map follows its query and ends at the border; the centre of 7 × 7 and smaller.
    """
    h, w = map_ShwHW.shape[1:3]
    return h // 2, w // 7 if w > 7 else w // 2
