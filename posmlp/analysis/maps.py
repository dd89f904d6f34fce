"""The maps that a trained network mixes tokens with: read from a run folder, and drawn.

Shape letters: S channel groups, h and w the window; the first h, w are the query, the last the key.
"""

import textwrap
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import timm
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import LinearLocator
from safetensors.torch import load_file

import posmlp.models  # noqa: F401  registers them with timm
from posmlp.analysis.style import ONE_COLUMN, TWO_COLUMNS, figure_style
from posmlp.layers import TokenMixing
from posmlp.study import RunConfig

MAX_LAYERS, MAX_GROUPS = 7, 6  # drawn at most
LABEL_WIDTH = 0.2  # inches that the label of a map takes


def load_maps(run_folder: str | Path) -> dict[str, np.ndarray]:
    """Return {layer: map} of a run's raw (not averaged) network, in network order.

    A layer is named by its path in the network; its map has the shape (S, h, w, h, w), float32.
    Of a layer with shifted windows it is the map of the first window.
    """
    run_folder = Path(run_folder)
    run = RunConfig.read(run_folder / "config.yaml")
    model = timm.create_model(**run.model_arguments())
    model.load_state_dict(load_file(run_folder / "model.safetensors"))
    mixers = {n: m for n, m in model.named_modules() if isinstance(m, TokenMixing)}
    with torch.no_grad():
        return {name: window_map(mixer) for name, mixer in mixers.items()}


def window_map(mixer: TokenMixing) -> np.ndarray:
    """Return a layer's map (S, h, w, h, w)."""
    map_SNN = mixer.token_map()
    if map_SNN.ndim == 4:  # one map per window
        map_SNN = map_SNN[0]
    return map_SNN.reshape(-1, *mixer.window, *mixer.window).float().numpy()


@figure_style()
def learned_maps(
    maps: Mapping[str, np.ndarray], title: str, query: tuple[float, float] = (0.5, 0.5)
) -> Figure:
    """Draw how one query token weighs the tokens of its window, in each layer and group.

    Layers are columns, groups rows; each layer has a colour scale of its own, which diverges from
    zero where a map has negative weights. The ring marks the query.

    Args:
        maps: {layer: (S, h, w, h, w)} in network order, from load_maps. MAX_LAYERS layers and
            MAX_GROUPS groups at most are drawn, evenly spaced.
        title: names the run.
        query: the query token, as fractions of the window's height and width.
    """
    names = list(maps)
    layers = evenly_spaced(len(maps), MAX_LAYERS)
    num_rows = min(MAX_GROUPS, max(len(maps[names[layer]]) for layer in layers))
    width = max(ONE_COLUMN, TWO_COLUMNS / MAX_LAYERS * len(layers))
    height = 0.7 + num_rows * (width / len(layers) - LABEL_WIDTH)
    figure = Figure(figsize=(width, height), layout="compressed")
    panels = figure.subplots(num_rows, len(layers), squeeze=False)
    places = []
    for layer, column in zip(layers, panels.T, strict=True):
        map_ShwHW = maps[names[layer]]
        h, w = map_ShwHW.shape[1:3]
        row, col = int(query[0] * h), int(query[1] * w)
        places.append(f"row {row}, column {col} of {h}×{w}")
        draw_layer(figure, column, map_ShwHW[:, row, col], (row, col))
        column[0].set_title(f"layer {layer + 1}")
    where = " and ".join(dict.fromkeys(places))
    text = f"{title}: weights for the query token in {where} (from 0)"
    figure.suptitle("\n".join(textwrap.wrap(text, int(width * 18))))
    return figure


def draw_layer(
    figure: Figure, column: np.ndarray, keys_Shw: np.ndarray, query: tuple[int, int]
) -> None:
    """Draw the keys' weights of one layer in a column of axes with one colour bar."""
    limit = np.abs(keys_Shw).max()
    signed = keys_Shw.min() < 0
    colours = {"cmap": "RdBu_r" if signed else "cividis", "vmin": -limit if signed else 0}
    for axes in column:
        axes.set(xticks=[], yticks=[], frame_on=False)
    groups = evenly_spaced(len(keys_Shw), MAX_GROUPS)
    for axes, group in zip(column, groups, strict=False):  # layers may have fewer groups
        image = axes.imshow(keys_Shw[group], **colours, vmax=limit)
        row, col = query
        for colour, linewidth in (("white", 1.8), ("black", 0.8)):  # seen on any colour
            ring = {"markerfacecolor": "none", "markeredgewidth": linewidth, "color": colour}
            axes.plot(col, row, marker="o", markersize=4, **ring)
        axes.set_ylabel(f"group {group + 1}", labelpad=1)
    bar = figure.colorbar(image, ax=list(column), location="bottom", aspect=12, format="%.2g")
    bar.locator = LinearLocator(2)
    bar.update_ticks()


def evenly_spaced(length: int, most: int) -> list[int]:
    """Return at most `most` positions below length, from first to last."""
    return np.linspace(0, length - 1, min(most, length)).round().astype(int).tolist()
