import numpy as np

from posmlp.analysis.figures.map_sizes import params_vs_tokens
from posmlp.layers import GATES


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
