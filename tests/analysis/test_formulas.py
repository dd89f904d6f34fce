import pytest

from posmlp.analysis.formulas import MAPS, layer_parameters, map_parameters
from posmlp.layers import GATES, TokenMixing


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("window", [(2, 2), (3, 5), (7,)])
@pytest.mark.parametrize("bias", [True, False])
def test_formulas_count_the_layers_as_built(gate, groups, window, bias):
    layer = TokenMixing(window, gate, groups, bias=bias)
    built = sum(parameter.numel() for parameter in layer.parameters())
    assert layer_parameters(gate, window, groups, bias) == built
    assert set(MAPS) == set(GATES)


@pytest.mark.parametrize(
    ("gate", "groups", "expected"),
    [("sgu", 1, 38_416), ("lrpe", 1, 729), ("gqpe", 1, 6), ("gqpe", 32, 192), ("qpe", 1, 3)],
)
def test_numbers_of_the_paper_for_14_by_14_tokens(gate, groups, expected):
    assert map_parameters(gate, (14, 14), groups) == expected
