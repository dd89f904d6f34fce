"""torch.compile takes models and units whole: one graph, the same numbers."""

import pytest
import timm
import torch

import posmlp.models  # noqa: F401  registers the backbones
from posmlp.layers import GATES, GatingUnit
from posmlp.models.posmlp import Stage

# Of each family the smallest: the others differ in numbers only, and tracing takes seconds a block.
MODELS = ["gmlp_posgu_xs1_8", "posmlp_xs_28"]


@pytest.fixture(autouse=True)
def _no_graphs_of_other_tests():
    torch.compiler.reset()


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_one_graph(name):
    with torch.device("meta"):
        model = timm.create_model(name, num_classes=3)
        size = timm.get_pretrained_cfg_value(name, "input_size")
        compiled = torch.compile(model, backend="eager", fullgraph=True)
        assert compiled(torch.empty(2, *size)).shape == (2, 3)


@pytest.mark.parametrize("gate", GATES)
def test_shifted_windows_are_one_graph(gate):
    unit = dict(gate=gate, groups=2)
    with torch.device("meta"):
        stage = Stage(torch.nn.Identity(), 8, (8, 8), (4, 4), 2, [0.0, 0.0], 0.0, True, unit)
        compiled = torch.compile(stage, backend="eager", fullgraph=True)
        assert compiled(torch.empty(2, 8, 8, 8)).shape == (2, 8, 8, 8)


@pytest.mark.parametrize("gate", GATES)
def test_a_compiled_unit_gives_the_same_numbers_and_gradients(gate):
    torch.manual_seed(0)
    unit = GatingUnit(16, (3, 4), gate, 2)
    halves = [torch.randn(8, 5, 12, requires_grad=True) for _ in range(2)]
    leaves = [*halves, *unit.parameters()]
    plain = unit(*halves)
    expected = torch.autograd.grad(plain.square().sum(), leaves)
    compiled = torch.compile(unit, backend="aot_eager", fullgraph=True)(*halves)
    torch.testing.assert_close(compiled, plain)
    found = torch.autograd.grad(compiled.square().sum(), leaves)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
