"""What the layers of a trained network mix tokens with: maps, their parts, and biases.

Shape letters: S channel groups, h and w the window; the first h, w are the query, the last the key.
"""

import math

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from posmlp.analysis.figures.grid import (
    DIVERGING,
    MAX_COLUMNS,
    Grid,
    colours_of,
    draw_ring,
    evenly_spaced,
)
from posmlp.analysis.figures.style import figure_style, gate_look
from posmlp.analysis.learned import LearnedRun, by_window, window_bias

MAX_GROUPS = 6  # drawn at most
# The layers, counted from 0, that the released plotting code draws of a network of 24.
RELEASED_LAYERS = (1, 3, 8, 12, 16, 20, 22)
MAX_BIAS_COLUMNS = 6
PLOT = 1.5  # inches of the plots under the maps
PART_COLOURS = {"matrix": gate_look("sgu").colour, "position": gate_look("lrpe").colour}
PART_COLOURS |= {"sum": gate_look("gqpe").colour}
PART_DASHES = {"matrix": "-", "position": "-", "sum": (0, (2, 1))}


@figure_style()
def learned_maps(run: LearnedRun) -> Figure | None:
    """Draw how one query token weighs the tokens of its window, in each layer and group.

    Layers are columns, groups rows. Each layer has a colour scale of its own, which diverges from
    zero where a map has negative weights. The ring marks the query. At most as many layers as the
    grid has columns, and MAX_GROUPS groups, evenly spaced; None for a network without such layers.
    """
    maps = {number: run.maps[name] for number, name in drawn_layers(run).items()}
    if not maps:
        return None
    num_groups = [len(map_ShwHW) for map_ShwHW in maps.values()]
    alike = len(set(num_groups)) == 1
    grid = Grid(min(MAX_GROUPS, max(num_groups)), len(maps), maps_title(run, maps))
    for column, (number, map_ShwHW) in enumerate(maps.items()):
        query = query_token(map_ShwHW)
        keys_Shw = map_ShwHW[:, *query]
        colours = colours_of(keys_Shw)
        for row, group in enumerate(evenly_spaced(len(keys_Shw), MAX_GROUPS)):
            axes = grid.panels[row, column]  # a layer with fewer groups leaves the last rows empty
            image = axes.imshow(keys_Shw[group], **colours)
            draw_ring(axes, *query)
            if not alike:
                box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
                corner = {"transform": axes.transAxes, "va": "top", "bbox": box}
                axes.text(0.04, 0.95, str(group + 1), **corner)
            elif column == 0:
                axes.set_ylabel(f"group {group + 1}", labelpad=2)
        grid.panels[0, column].set_title(f"layer {number}", pad=3)
        grid.draw_bar(image, column)
    return grid.figure


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
    """{number counted from 1: name} of layers: the released choice of 24, or evenly spaced."""
    names = list(run.layers)
    spaced = evenly_spaced(len(names), MAX_COLUMNS) if names else []
    chosen = RELEASED_LAYERS if len(names) == 24 else spaced
    return {index + 1: names[index] for index in chosen}


def query_token(map_ShwHW: np.ndarray) -> tuple[int, int]:
    """Row and column of the query that is drawn.

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
    names = {
        number: name
        for number, name in drawn_layers(run).items()
        if run.layers[name].position is not None and run.layers[name].weight is not None
    }
    if not names:
        return None
    grid = Grid(3, len(names), f"{run.title}: maps of N×N tokens, a row per query", below=PLOT)
    for column, (number, name) in enumerate(names.items()):
        parts, query = map_parts(run, name)
        colours = colours_of(np.stack(list(parts.values())))
        plot = grid.add_axes(column, 0.55, grid.cell - 0.36, PLOT - 0.8, indent=0.36)
        for row, (part, map_NN) in enumerate(parts.items()):
            axes = grid.panels[row, column]
            image = axes.imshow(map_NN, **colours, interpolation="nearest")
            line = {"color": PART_COLOURS[part], "linestyle": PART_DASHES[part], "linewidth": 0.7}
            plot.plot(np.arange(1, len(map_NN) + 1), map_NN[query], label=part, **line)
            if column == 0:
                axes.set_ylabel(part, labelpad=2)
        grid.panels[0, column].set_title(f"layer {number}", pad=3)
        plot.set_title(f"query {query + 1}", pad=2)
        plot.set_xlabel("key", labelpad=1)
        plot.xaxis.set_major_locator(MaxNLocator(1, integer=True))
        plot.yaxis.set_major_locator(MaxNLocator(2))
        plot.tick_params(length=2, pad=1)
        grid.draw_bar(image, column)
    grid.figure.legend(*plot.get_legend_handles_labels(), loc="lower center", ncols=3)
    return grid.figure


def map_parts(run: LearnedRun, name: str) -> tuple[dict[str, np.ndarray], int]:
    """The first group's free matrix, positional map and sum (N, N), and the query drawn."""
    layer, whole_ShwHW = run.layers[name], run.maps[name]
    position_ShwHW = by_window(layer, layer.position_map())
    query = int(np.ravel_multi_index(query_token(whole_ShwHW), layer.window))
    parts = {"matrix": whole_ShwHW - position_ShwHW, "position": position_ShwHW, "sum": whole_ShwHW}
    num_tokens = math.prod(layer.window)
    return {part: map_[0].reshape(num_tokens, -1) for part, map_ in parts.items()}, query


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
    start = layers[min(biases)].bias_init
    limit = max(float(np.abs(bias_hw - start).max()) for bias_hw in biases.values()) or 1.0
    num_columns = min(MAX_BIAS_COLUMNS, len(biases))
    num_rows = math.ceil(len(biases) / num_columns)
    title = f"{run.title}: bias of every token of the window ({start:g} at the start)"
    grid = Grid(num_rows, num_columns, title, titles_in_rows=True)
    for axes, (number, bias_hw) in zip(grid.panels.flat, biases.items(), strict=False):
        image = axes.imshow(bias_hw, cmap=DIVERGING, vmin=start - limit, vmax=start + limit)
        axes.set_title(f"layer {number}", pad=3)
    grid.draw_bar(image)
    return grid.figure
