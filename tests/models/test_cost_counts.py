"""What a block's forward and backward pass cost, counted: it must not grow unnoticed.

Times depend on the machine; kernels, copies, bytes and operations do not.
"""

from collections import Counter

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from posmlp.layers import GATES
from posmlp.models.gated_mlp import GatedMlp

DIM, HIDDEN, TOKENS, BATCH, GROUPS = 32, 128, 36, 4, 8
HALF = 4 * (HIDDEN // 2) * TOKENS * BATCH  # bytes of the half that is mixed
COPIES = ("copy_", "clone", "_to_copy", "cat", "constant_pad_nd")
# Kernels, copies of a half's size or more (for the norm of sgu), bytes allocated in halves.
LIMITS = {
    "sgu": (31, 1, 18.9),
    "lrpe": (51, 0, 19.1),
    "qpe": (75, 0, 22.6),
    "gqpe": (72, 0, 22.6),
    "fc_lrpe": (53, 0, 20.4),
    "fc_gqpe": (74, 0, 23.9),
}


class Counts(TorchDispatchMode):
    """Count kernels, large copies, and bytes in memory that was not there before."""

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
    mlp, tokens = block(gate)
    with Counts() as counts:
        passes(mlp, tokens)
    kernels, copies, halves = LIMITS[gate]
    assert sum(counts.kernels.values()) <= kernels, counts.kernels
    assert sum(counts.copies.values()) <= copies, counts.copies
    assert counts.bytes / HALF <= halves


@pytest.mark.parametrize("gate", GATES)
def test_operations_are_the_products_and_nothing_else(gate):
    mlp, tokens = block(gate)
    with FlopCounterMode(display=False) as counter:
        passes(mlp, tokens)
    per_token = DIM * HIDDEN + DIM * HIDDEN // 2 + TOKENS * HIDDEN // 2
    products = 3 * 2 * BATCH * TOKENS * per_token
    assert products <= counter.get_total_flops() <= 1.01 * products
