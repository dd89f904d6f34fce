"""torch.compile: every network is one graph, with unchanged outputs and gradients."""

import pytest
import timm
import torch

import posmlp.models  # noqa: F401  registers the backbones
from posmlp.layers import GATES, GatingUnit

# Few blocks: tracing takes seconds per block, and further blocks are alike.
NETWORKS = {
    "gmlp_posgu_xs1_8": dict(num_blocks=1),
    "posmlp_xs_32": dict(depths=(2, 1, 1), shift=True),
}


@pytest.fixture(autouse=True)
def _no_graphs_of_other_tests():
    torch.compiler.reset()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_one_graph(name):
    with torch.device("meta"):
        model = timm.create_model(name, num_classes=3, **NETWORKS[name])
        size = timm.get_pretrained_cfg_value(name, "input_size")
        compiled = torch.compile(model, backend="eager", fullgraph=True)
        assert compiled(torch.empty(2, *size)).shape == (2, 3)


@pytest.mark.parametrize("gate", GATES)
def test_a_compiled_unit_gives_equal_outputs_and_gradients(gate):
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
