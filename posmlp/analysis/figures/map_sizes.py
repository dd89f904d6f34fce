"""Parameters of a token-mixing layer against its tokens: formulas, and the layers as built."""

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from posmlp.analysis.figures.marks import add_caption
from posmlp.analysis.figures.style import ONE_COLUMN, figure_style, gate_look, tint
from posmlp.layers import GATES, TokenMixing

SIDES = (4, 7, 8, 14, 16, 28, 32, 56)  # of the square windows that are built and counted
TICKS = (16, 49, 196, 784, 3136)  # of these, without the near ones
# Groups, each with how much white is in its line's colour: the more, the darker, as in the curves.
LINES = {gate: {1: 0.0} for gate in ("sgu", "fc_lrpe", "fc_gqpe")}
LINES |= {gate: {1: 0.5, 32: 0.0} for gate in ("lrpe", "qpe", "gqpe")}


@figure_style()
def params_vs_tokens() -> Figure:
    """Draw the parameters of one layer's map against N: formulas as lines, built layers as marks.

    The bias, one number a token whatever the unit, is a line of its own.
    """
    figure = Figure(figsize=(ONE_COLUMN, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for gate, shades in LINES.items():
        for groups, whiteness in shades.items():
            draw_line(axes, gate, groups, whiteness)
    tokens = np.array([side**2 for side in SIDES])
    axes.plot(tokens, tokens, color="#777777", linestyle=":", label="bias: N (all units)")
    axes.set(xscale="log", yscale="log", ylabel="parameters of a layer's map")
    axes.set_xlabel("tokens of the window, N")
    axes.set_xticks(TICKS, labels=[str(n) for n in TICKS])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(EngFormatter(sep=""))
    figure.legend(loc="outside upper center", ncols=3, columnspacing=1.0)
    caption = (
        "Lines: closed forms. Marks: layers as built and counted, on square windows. s: channel "
        "groups. fc_lrpe and fc_gqpe nearly coincide with sgu."
    )
    add_caption(figure, caption)
    return figure


def draw_line(axes: Axes, gate: str, groups: int, whiteness: float) -> None:
    """Draw a unit's formula and the layers that it is about."""
    look = gate_look(gate)
    sides = np.geomspace(SIDES[0], SIDES[-1], 50)
    lines = [GATES[gate].map_parameters((side, side), groups) for side in sides]
    built = [count_built(gate, (side, side), groups) for side in SIDES]
    colour = tint(look.colour, whiteness)
    axes.plot(sides**2, lines, color=colour, linewidth=0.8)
    mark = {"marker": look.mark, "markersize": 3.5 * look.scale, "color": colour}
    axes.plot(np.square(SIDES), built, linestyle="", label=f"{gate}, s={groups}", **mark)


def count_built(gate: str, window: tuple[int, int], groups: int) -> int:
    """Build a real layer, without memory for its numbers, and count them; its bias apart."""
    with torch.device("meta"):
        layer = TokenMixing(window, gate, groups, bias=False)
    return sum(parameter.numel() for parameter in layer.parameters())
