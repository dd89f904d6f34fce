"""A block's MLP: operations, copies, memory, and tools that hook, replace or trace layers."""

from collections import Counter

import pytest
import timm
import torch
from test_models import SMALLEST, image, randomised
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from posmlp.layers import GATES
from posmlp.models.gated_mlp import GatedMlp
from posmlp.training.cost import multiply_accumulates

DIM, HIDDEN, TOKENS, BATCH, GROUPS = 32, 128, 36, 8, 8  # a half is larger than the maps
HALF = 4 * (HIDDEN // 2) * TOKENS * BATCH  # bytes of the half that is mixed
COPIES = ("copy_", "clone", "_to_copy", "cat", "constant_pad_nd")
MOST_KERNELS, MOST_HALVES = 80, 24.5  # bytes allocated in a forward and backward pass, in halves


class Counts(TorchDispatchMode):
    """Count kernels, large copies and newly allocated bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels, self.copies, self.bytes = Counter(), Counter(), 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        known = {t.untyped_storage().data_ptr() for t in tree_leaves(args) if isinstance(t, Tensor)}
        outputs = [t for t in tree_leaves(result) if isinstance(t, Tensor)]
        new = [t for t in outputs if t.untyped_storage().data_ptr() not in known]
        self.bytes += sum(t.untyped_storage().nbytes() for t in new)
        if not func.is_view and not name.startswith("empty") and name != "detach":
            self.kernels[name] += 1
        if name in COPIES and any(t.nbytes >= HALF for t in outputs):
            self.copies[name] += 1
        return result


def block(gate: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    groups = 1 if gate == "sgu" else GROUPS
    mlp = GatedMlp(DIM, HIDDEN, nn.GELU, 0.0, dict(window=(6, 6), gate=gate, groups=groups))
    return mlp, torch.randn(BATCH, TOKENS, DIM, requires_grad=True)


def passes(mlp: nn.Module, tokens: Tensor) -> None:
    output = mlp(tokens)
    output.backward(torch.ones_like(output))


@pytest.mark.parametrize("gate", GATES)
def test_kernels_copies_and_bytes(gate):
    """Unlike times, these counts do not depend on the machine; they must not grow unnoticed."""
    mlp, tokens = block(gate)
    with Counts() as counts:
        passes(mlp, tokens)
    assert sum(counts.kernels.values()) <= MOST_KERNELS, counts.kernels
    assert sum(counts.copies.values()) <= GATES[gate].norm, counts.copies  # for the norm
    assert counts.bytes / HALF <= MOST_HALVES


@pytest.mark.parametrize("gate", GATES)
def test_operations_are_the_matrix_products_only(gate):
    mlp, tokens = block(gate)
    with FlopCounterMode(display=False) as counter:
        passes(mlp, tokens)
    per_token = DIM * HIDDEN + DIM * HIDDEN // 2 + TOKENS * HIDDEN // 2
    products = 3 * 2 * BATCH * TOKENS * per_token
    assert products <= counter.get_total_flops() <= 1.01 * products


def test_a_convolved_window_is_counted_as_the_product_with_its_map():
    tokens, dim, hidden = 1024, 8, 32
    mlp = GatedMlp(dim, hidden, nn.GELU, 0.0, dict(window=(32, 32), gate="gqpe", groups=2))
    assert mlp.gate.proj.convolves
    expected = tokens * (dim * hidden + hidden // 2 * (tokens + dim))
    assert multiply_accumulates(mlp, (tokens, dim)) == expected


@pytest.mark.parametrize("name", SMALLEST)
def test_both_layouts_give_equal_outputs_and_hooks_see_every_linear_layer(name):
    model, x = randomised(timm.create_model(name, num_classes=5)), image(name)
    results, seen = [], set()
    for hooked in (False, True):
        if hooked:
            for layer_name, layer in model.named_modules():
                if isinstance(layer, nn.Linear):
                    layer.register_forward_hook(lambda *_, name=layer_name: seen.add(name))
        model.zero_grad()
        output = model(x)
        output.square().sum().backward()
        results.append([output.detach(), *(p.grad.clone() for p in model.parameters())])
    assert seen == {n for n, m in model.named_modules() if isinstance(m, nn.Linear)}
    assert len(seen) > 4
    for plain, called in zip(*results, strict=True):
        torch.testing.assert_close(called, plain, rtol=1e-4, atol=1e-5)


class Adapter(nn.Module):
    """LoRA: a frozen linear layer plus a low-rank product."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer = layer.requires_grad_(False)
        self.down = nn.Linear(layer.in_features, 2, bias=False)
        self.up = nn.Linear(2, layer.out_features, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + self.up(self.down(x))


@pytest.mark.parametrize("name", SMALLEST)
def test_adapters_of_linear_layers_have_gradients(name):
    model = randomised(timm.create_model(name, num_classes=5))
    for module in list(model.modules()):
        if isinstance(module, GatedMlp):
            module.fc1, module.fc2 = Adapter(module.fc1), Adapter(module.fc2)
    model(image(name)).square().sum().backward()
    for adapter in (m for m in model.modules() if isinstance(m, Adapter)):
        assert adapter.up.weight.grad.any()
        assert adapter.down.weight.grad.any()


@pytest.mark.parametrize("name", SMALLEST)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_dynamic_quantisation_replaces_every_linear_layer(name):
    model, x = randomised(timm.create_model(name, num_classes=5)).eval(), image(name)
    quantised = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, torch.qint8)
    assert not any(type(module) is nn.Linear for module in quantised.modules())
    with torch.no_grad():
        expected, found = model(x), quantised(x)
    assert 0 < (found - expected).norm() / expected.norm() < 0.1


def test_a_trace_records_all_products_of_gmlp_s():
    """Tools that read traces, such as fvcore, find every matrix product."""
    model = timm.create_model("gmlp_posgu_s16_224", gate="sgu").eval()
    traced = torch.jit.trace(model.blocks[:1], torch.randn(1, 196, 256), check_trace=False)
    kinds = Counter(node.kind() for node in traced.inlined_graph.nodes())
    assert (kinds["aten::linear"], kinds["aten::bmm"]) == (2, 1)
    assert not any("Python" in kind for kind in kinds)
