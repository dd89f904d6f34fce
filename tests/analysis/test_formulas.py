import numpy as np
import pytest

from posmlp.analysis.figures.formulas import params_vs_tokens
from posmlp.analysis.figures.style import GATE_LOOKS
from posmlp.analysis.formulas import MAPS
from posmlp.layers import GATES, TokenMixing


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("window", [(2, 2), (3, 5)])
def test_formulas_count_the_layers_as_built(gate, groups, window):
    layer = TokenMixing(window, gate, groups)
    built = sum(parameter.numel() for parameter in layer.parameters())
    assert MAPS[gate](window, groups) + window[0] * window[1] == built


@pytest.mark.parametrize(
    ("gate", "groups", "expected"),
    [("sgu", 1, 38_416), ("lrpe", 1, 729), ("gqpe", 1, 6), ("gqpe", 32, 192), ("qpe", 1, 3)],
)
def test_numbers_of_the_paper_for_14_by_14_tokens(gate, groups, expected):
    assert MAPS[gate]((14, 14), groups) == expected


@pytest.mark.parametrize(("gate", "look"), GATE_LOOKS.items())
def test_growth_that_figures_name_is_that_of_the_formulas(gate, look):
    ratio = MAPS[gate]((400, 400), 1) / MAPS[gate]((200, 200), 1)  # N times 4
    assert ratio == pytest.approx({"1": 1, "N": 4, "N²": 16}[look.growth], rel=0.01)


def test_built_layers_lie_on_the_lines():
    axes = params_vs_tokens().axes[0]
    marks = [line for line in axes.lines if line.get_linestyle() == "None"]
    lines = [line for line in axes.lines if line.get_linestyle() == "-"]
    assert {line.get_label().partition(",")[0] for line in marks} == set(GATES)
    for line, mark in zip(lines, marks, strict=True):
        on_line = np.interp(mark.get_xdata() ** 0.5, line.get_xdata() ** 0.5, line.get_ydata())
        np.testing.assert_allclose(mark.get_ydata(), on_line, rtol=0.02)
        ends = [line.get_ydata()[[0, -1]], mark.get_ydata()[[0, -1]]]
        np.testing.assert_allclose(*ends)
