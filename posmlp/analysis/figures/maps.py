"""What the layers of a trained network mix tokens with: maps, their parts, and biases.

Shape letters: S channel groups, h and w the window; the first h, w are the query, the last the key.
"""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from posmlp.analysis.figures.grid import (
    MAX_COLUMNS,
    Grid,
    colours_of,
    draw_ring,
    evenly_spaced,
)
from posmlp.analysis.figures.style import figure_style, gate_look
from posmlp.analysis.networks import LearnedRun, position_map, window_bias, window_map
from posmlp.layers import TokenMixing

MAX_GROUPS = 6  # drawn at most
# What the released plotting code drew of a network of 24 layers, counted from 0.
RELEASED_LAYERS = (1, 3, 8, 12, 16, 20, 22)
MAX_BIAS_COLUMNS = 6
PLOT = 1.4  # inches of the plots under the maps
PART_COLOURS = {"matrix": gate_look("sgu").colour, "position": gate_look("lrpe").colour}
PART_COLOURS |= {"sum": gate_look("gqpe").colour}
PART_DASHES = {"matrix": "-", "position": "-", "sum": (0, (2, 1))}


@figure_style()
def learned_maps(run: LearnedRun) -> Figure | None:
    """Draw how one query token weighs the tokens of its window, in each layer and group.

    Layers are columns, groups rows; each layer has a colour scale of its own, which diverges from
    zero where a map has negative weights. The ring marks the query. As many layers as the grid has
    columns and MAX_GROUPS groups at most, evenly spaced; None for a network without such layers.
    """
    maps = {number: window_map(layer) for number, layer in drawn_layers(run).items()}
    if not maps:
        return None
    grid = Grid(min(MAX_GROUPS, max(map(len, maps.values()))), len(maps), maps_title(run, maps))
    first = len(next(iter(maps.values())))
    for column, (number, map_ShwHW) in enumerate(maps.items()):
        query = query_token(map_ShwHW)
        keys_Shw = map_ShwHW[:, *query]
        colours = colours_of(keys_Shw)
        for row, group in enumerate(evenly_spaced(len(keys_Shw), MAX_GROUPS)):
            axes = grid.panels[row, column]  # a layer with fewer groups leaves the last rows empty
            image = axes.imshow(keys_Shw[group], **colours)
            draw_ring(axes, *query)
            if column == 0:
                axes.set_ylabel(f"group {group + 1}", labelpad=2)
            elif len(keys_Shw) != first:  # other groups than the row's label says
                write_number(axes, group + 1)
        grid.panels[0, column].set_title(f"layer {number}", pad=3)
        grid.draw_bar(column, image)
    return grid.figure


def maps_title(run: LearnedRun, maps: dict[int, np.ndarray]) -> str:
    """Name the run and the query tokens whose weights are drawn."""
    places = dict.fromkeys(
        "row {}, column {} of {}×{}".format(*query_token(map_ShwHW), *map_ShwHW.shape[1:3])
        for map_ShwHW in maps.values()
    )
    differ = len(set(map(len, maps.values()))) > 1
    numbers = "; numbers: groups, where layers differ" if differ else ""
    where = " and ".join(places)
    return f"{run.title}: weights for the query token in {where} (counted from 0){numbers}"


def write_number(axes: Axes, number: int) -> None:
    """Write a number into the corner of a map."""
    text = axes.text(0.04, 0.95, str(number), transform=axes.transAxes, va="top", fontsize=5)
    text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.8})


def drawn_layers(run: LearnedRun) -> dict[int, TokenMixing]:
    """Return {number counted from 1: layer}: the released choice of 24, or evenly spaced."""
    layers = list(run.layers.values())
    spaced = evenly_spaced(len(layers), MAX_COLUMNS) if layers else []
    chosen = RELEASED_LAYERS if len(layers) == 24 else spaced
    return {index + 1: layers[index] for index in chosen}


def query_token(map_ShwHW: np.ndarray) -> tuple[int, int]:
    """Return the row and column of the query that is drawn.

    As in the released plotting code: of 14 x 14 tokens number 100, in row 7 and column 2, where
    one sees that a map follows its query and ends at the border; of 7 x 7 and less the centre.
    """
    h, w = map_ShwHW.shape[1:3]
    return h // 2, w // 7 if w > 7 else w // 2


@figure_style()
def token_maps(run: LearnedRun) -> Figure | None:
    """Draw, of units with a free matrix beside an encoding, both parts, their sum, and one row.

    Maps are N x N, of the first group: queries down, keys to the right. The curves below are the
    three maps' rows of the query that learned_maps draws. None where no layer has both parts.
    """
    layers = {
        number: layer
        for number, layer in drawn_layers(run).items()
        if layer.position is not None and layer.weight is not None
    }
    if not layers:
        return None
    title = f"{run.title}: maps of N×N tokens, a row per query"
    grid = Grid(3, len(layers), title, below=PLOT)
    for column, (number, layer) in enumerate(layers.items()):
        parts, query = map_parts(layer)
        colours = colours_of(np.stack(list(parts.values())))
        plot = grid.add_axes(column, 0.5, grid.cell - 0.26, PLOT - 0.7, indent=0.26)
        for row, (name, map_NN) in enumerate(parts.items()):
            axes = grid.panels[row, column]
            image = axes.imshow(map_NN, **colours, interpolation="nearest")
            line = {"color": PART_COLOURS[name], "linestyle": PART_DASHES[name], "linewidth": 0.8}
            plot.plot(map_NN[query], label=name, **line)
            if column == 0:
                axes.set_ylabel(name, labelpad=2)
        grid.panels[0, column].set_title(f"layer {number}", pad=3)
        plot.set_title(f"row {query}", pad=2)
        plot.set_xlabel("key", labelpad=1)
        plot.tick_params(labelsize=5, length=2, pad=1)
        grid.draw_bar(column, image)
    grid.figure.legend(*plot.get_legend_handles_labels(), loc="lower center", ncols=3)
    return grid.figure


def map_parts(layer: TokenMixing) -> tuple[dict[str, np.ndarray], int]:
    """Return the first group's free matrix, positional map and sum (N, N), and the query drawn."""
    whole_ShwHW, position_ShwHW = window_map(layer), position_map(layer)
    query = int(np.ravel_multi_index(query_token(whole_ShwHW), layer.window))
    parts = {"matrix": whole_ShwHW - position_ShwHW, "position": position_ShwHW}
    parts |= {"sum": whole_ShwHW}
    num_tokens = int(np.prod(layer.window))
    return {name: part[0].reshape(num_tokens, -1) for name, part in parts.items()}, query


@figure_style()
def position_bias(run: LearnedRun) -> Figure | None:
    """Draw the bias that each layer adds to every token, one panel of its window a layer.

    All layers share a colour scale around the unit's initial value, 1 for sgu and else 0. None
    where no layer has a bias.
    """
    layers = dict(enumerate(run.layers.values(), start=1))
    biases = {number: window_bias(layer) for number, layer in layers.items()}
    biases = {number: bias_hw for number, bias_hw in biases.items() if bias_hw is not None}
    if not biases:
        return None
    start = layers[next(iter(biases))].bias_init
    limit = max(float(np.abs(bias_hw - start).max()) for bias_hw in biases.values()) or 1.0
    num_columns = min(MAX_BIAS_COLUMNS, len(biases))
    num_rows = math.ceil(len(biases) / num_columns)
    title = f"{run.title}: bias of every token of the window ({start:g} at the start)"
    grid = Grid(num_rows, num_columns, title, titles_in_rows=True)
    for axes, (number, bias_hw) in zip(grid.panels.flat, biases.items(), strict=False):
        image = axes.imshow(bias_hw, cmap="RdBu_r", vmin=start - limit, vmax=start + limit)
        axes.set_title(f"layer {number}", pad=3)
    grid.draw_bar(0, image)
    return grid.figure
