"""The fast layout against the plain einsum of the paper's equation, with its gradients."""

import pytest
import torch

from posmlp.layers import GATES, GatingUnit
from posmlp.layers.position import offset_index, over_pairs
from posmlp.layers.window import shift_mask

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 3e-2}


def randomised(unit):
    torch.manual_seed(3)
    for parameter in unit.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return unit


def by_einsum(unit, u, v):
    """Tokens (B, W, N, C) and a map for every window and group, as the released code has it."""
    mixer, groups = unit.proj, unit.proj.groups
    map_WSNN = mixer.token_map().to(v.dtype)
    map_WSNN = map_WSNN if map_WSNN.ndim == 4 else map_WSNN[None]
    map_WSNN = map_WSNN.expand(v.shape[1], groups, -1, -1)
    v = unit.norm(v.movedim(-1, 0)).movedim(0, -1).unflatten(-1, (groups, -1))
    mixed = torch.einsum("wsmn,bwnsv->bwmsv", map_WSNN, v).flatten(-2)
    return u * (mixed + mixer.token_bias()[:, None].to(mixed.dtype))


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize(
    ("window", "masked"),
    [((4, 4), False), ((4, 4), True), ((2, 5), False), ((2, 5), True), ((7,), False)],
)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_unit_and_gradients_are_the_einsum(gate, groups, window, masked, dtype):
    size = tuple(2 * side for side in window)
    mask = shift_mask(window, size, tuple(side // 2 for side in window)) if masked else None
    unit = randomised(GatingUnit(16, window, gate, groups, mask_WNN=mask)).to(dtype)
    n = torch.Size(window).numel()
    halves = [torch.randn(2, 4, n, 8).to(dtype).requires_grad_() for _ in range(2)]
    results = []
    for formulation in ("ours", "einsum"):
        unit.zero_grad()
        for half in halves:
            half.grad = None
        if formulation == "ours":
            output = unit(*(half.movedim(-1, 0) for half in halves)).movedim(0, -1)
        else:
            output = by_einsum(unit, *halves)
        output.backward(torch.ones_like(output))
        grads = [t.grad for t in (*halves, *unit.parameters())]
        results.append([output.detach(), *grads])
    for found, expected in zip(*results, strict=True):
        scale = TOLERANCE[dtype] * max(1.0, expected.abs().max().item())
        torch.testing.assert_close(found, expected, rtol=0, atol=scale)


@pytest.mark.parametrize("window", [(4, 4), (2, 5), (5, 2), (1, 3), (3, 1), (7,), (1,)])
def test_slices_give_what_the_index_names(window):
    offsets = torch.Size(2 * side - 1 for side in window).numel()
    scores = torch.randn(3, offsets, dtype=torch.float64, requires_grad=True)
    expected = scores[:, offset_index(window)]
    found = over_pairs(scores, window)
    assert torch.equal(found, expected)
    weights = torch.randn_like(found)
    by_index, by_slice = (torch.autograd.grad(p, scores, weights)[0] for p in (expected, found))
    torch.testing.assert_close(by_slice, by_index)


@pytest.mark.parametrize("gate", GATES)
def test_a_unit_reads_and_writes_channels_first_without_a_copy(gate):
    unit = GatingUnit(16, (3, 4), gate, 2)
    halves = [torch.randn(8, 5, 12) for _ in range(2)]
    assert unit(*halves).is_contiguous()
    assert unit.proj(halves[1]).is_contiguous()
