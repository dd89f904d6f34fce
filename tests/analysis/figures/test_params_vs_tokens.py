import numpy as np
import pytest

from posmlp.analysis.figures.formulas import params_vs_tokens
from posmlp.analysis.figures.style import GATE_LOOKS
from posmlp.layers import GATES


@pytest.mark.parametrize(("gate", "look"), GATE_LOOKS.items())
def test_growth_that_figures_name_is_that_of_the_formulas(gate, look):
    parameters = GATES[gate].map_parameters
    ratio = parameters((400, 400)) / parameters((200, 200))  # N times 4
    assert ratio == pytest.approx({"1": 1, "N": 4, "N²": 16}[look.growth], rel=0.01)


def test_built_layers_lie_on_the_lines():
    axes = params_vs_tokens().axes[0]
    marks = [line for line in axes.lines if line.get_linestyle() == "None"]
    lines = [line for line in axes.lines if line.get_linestyle() == "-"]
    assert {line.get_label().partition(",")[0] for line in marks} <= set(GATES)
    for line, mark in zip(lines, marks, strict=True):
        on_line = np.interp(mark.get_xdata() ** 0.5, line.get_xdata() ** 0.5, line.get_ydata())
        np.testing.assert_allclose(mark.get_ydata(), on_line, rtol=0.02)
        ends = [line.get_ydata()[[0, -1]], mark.get_ydata()[[0, -1]]]
        np.testing.assert_allclose(*ends)
