"""Every gating unit: parameters, equation, groups, dtypes, switches."""

import pytest
import torch

from posmlp.layers import GATES, GatingUnit, SettingError, TokenMixing
from posmlp.training.cost import num_parameters

POSITIONAL = [name for name, gate in GATES.items() if gate.position]
QUADRATIC = ["qpe", "gqpe", "fc_gqpe"]


def randomised(unit):
    """Give every parameter a value of order one, so that nothing is hidden by its start."""
    torch.manual_seed(3)
    for parameter in unit.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return unit


def gated(unit, x):
    """Hand a unit tokens with both halves in their channels, (..., N, 2C)."""
    return unit(*x.movedim(-1, 0).chunk(2)).movedim(0, -1)


def position_count(gate, groups, window):
    table = groups
    for length in window:
        table *= 2 * length - 1
    dims = len(window)
    return {
        "sgu": 0,
        "lrpe": table,
        "fc_lrpe": table,
        "qpe": groups * (dims + 1),
        "gqpe": groups * (dims + dims**2),
        "fc_gqpe": groups * (dims + dims**2),
    }[gate]


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("window", [(4, 4), (3, 5), (6,)])
def test_parameter_counts_are_the_formulas(gate, groups, window):
    n = torch.Size(window).numel()
    fc = n * n * (groups if gate == "sgu" else 1) if GATES[gate].token_fc else 0
    expected = fc + position_count(gate, groups, window) + n
    assert num_parameters(TokenMixing(window, gate, groups)) == expected
    assert num_parameters(TokenMixing(window, gate, groups, bias=False)) == expected - n


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("groups", [1, 2, 8])
@pytest.mark.parametrize("window", [(4, 4), (2, 5), (7,)])
def test_output_is_the_gated_sum_over_keys(gate, groups, window):
    unit = randomised(GatingUnit(16, window, gate, groups)).double()
    x = torch.randn(2, torch.Size(window).numel(), 16, dtype=torch.float64)
    u, v = x[..., :8], unit.norm(x[..., 8:].movedim(-1, 0)).movedim(0, -1)
    A, bias = unit.proj.token_map(), unit.proj.bias
    bias = unit.proj.position_bias[:, 0] if bias is None else bias
    expected = torch.empty_like(u)
    for channel in range(8):
        group = channel // (8 // groups)
        mixed = torch.einsum("mn,bn->bm", A[group % len(A)], v[..., channel]) + bias
        expected[..., channel] = u[..., channel] * mixed
    torch.testing.assert_close(gated(unit, x), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("groups", [1, 4])
def test_every_parameter_has_a_gradient(gate, groups):
    unit = randomised(GatingUnit(16, (3, 4), gate, groups))
    gated(unit, torch.randn(2, 12, 16)).square().sum().backward()
    for name, parameter in unit.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_dtypes_give_the_float32_result(gate, dtype):
    unit, x = randomised(GatingUnit(16, (4, 4), gate, 2)), torch.randn(2, 16, 16)
    expected = gated(unit, x)
    found = gated(unit.to(dtype), x.to(dtype))
    assert found.dtype == dtype
    tolerance = 1e-5 if dtype == torch.float64 else 0.1 * expected.abs().max().item()
    torch.testing.assert_close(found.float(), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("gate", GATES)
def test_autocast_keeps_the_map_in_float32(gate):
    unit, x = randomised(GatingUnit(16, (4, 4), gate, 2)), torch.randn(2, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        found, A = gated(unit, x), unit.proj.token_map()
    assert A.dtype == torch.float32
    torch.testing.assert_close(A, unit.proj.token_map())
    scale = gated(unit, x).abs().max().item()
    torch.testing.assert_close(found.float(), gated(unit, x), rtol=0, atol=0.1 * scale)


@pytest.mark.parametrize("gate", GATES)
def test_gradients_pass_through_autocast(gate):
    unit = randomised(GatingUnit(16, (4, 4), gate, 2))
    x, gradients = torch.randn(2, 16, 16, requires_grad=True), []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            output = gated(unit, x)
        gradients.append(torch.autograd.grad(output.float().sum(), x)[0])
    scale = gradients[0].abs().max().item()
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0, atol=0.1 * scale)


@pytest.mark.parametrize("gate", GATES)
def test_groups_do_not_see_each_other(gate):
    unit = randomised(GatingUnit(16, (3, 3), gate, 4, gate_norm=False))
    x = torch.randn(1, 9, 16, requires_grad=True)
    gated(unit, x)[..., 2:4].sum().backward()  # the second of four groups of two channels
    touched = x.grad[0].any(dim=0)
    assert touched.tolist() == [False, False, True, True, *[False] * 6, True, True, *[False] * 4]


@pytest.mark.parametrize("gate", ["lrpe", "qpe", "gqpe"])
def test_rows_sum_to_one_with_softmax_only(gate):
    for softmax in (True, False):
        rows = randomised(TokenMixing((4, 5), gate, 3, softmax=softmax)).token_map().sum(-1)
        assert torch.allclose(rows, torch.ones(3, 20), atol=1e-5) == softmax


@pytest.mark.parametrize("gate", QUADRATIC)
def test_psd_bounds_the_scores_and_its_absence_does_not(gate):
    mixing = TokenMixing((5, 5), gate, 1, softmax=False, psd=False)
    with torch.no_grad():
        mixing.position.spread.neg_()  # a form that opens upwards
        if mixing.weight is not None:
            mixing.weight.zero_()
    assert mixing.token_map().argmax() != mixing.token_map()[0].diagonal().argmax()
    mixing.position.psd = True
    assert mixing.position_map().max() < 1


@pytest.mark.parametrize("gate", QUADRATIC)
def test_no_denormal_numbers_in_the_map(gate):
    """They make float32 products on CPUs several times slower."""
    mixing = TokenMixing((14, 14), gate, 4)
    with torch.no_grad():
        mixing.position.spread *= torch.tensor([0.3, 0.7, 1.0, 2.0]).view(
            -1, *[1] * (mixing.position.spread.ndim - 1)
        )
    A = mixing.position_map()
    smallest_normal = torch.finfo(torch.float32).tiny
    assert not A[(A > 0)].lt(smallest_normal).any()


def test_gate_norm_is_a_switch():
    assert isinstance(GatingUnit(8, (2, 2), "sgu").norm, torch.nn.LayerNorm)
    assert isinstance(GatingUnit(8, (2, 2), "sgu", gate_norm=False).norm, torch.nn.Identity)
    assert isinstance(GatingUnit(8, (2, 2), "gqpe").norm, torch.nn.Identity)
    assert isinstance(GatingUnit(8, (2, 2), "gqpe", gate_norm=True).norm, torch.nn.LayerNorm)


def test_sgu_starts_as_the_identity_gate():
    unit, x = GatingUnit(8, (3, 3), "sgu"), torch.randn(1, 9, 8)
    torch.testing.assert_close(gated(unit, x), x[..., :4], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "key", "hint"),
    [
        (dict(gate="gpqe"), "gate", "allowed: sgu, lrpe"),
        (dict(groups=3), "groups", "allowed: 1, 2, 4, 8"),
        (dict(groups=0), "groups", "at least 1"),
        (dict(groups=2.0), "groups", "integer"),
        (dict(gate="sgu", softmax=True), "softmax", "no scores"),
        (dict(gate="lrpe", psd=False), "psd", "no quadratic form"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(settings, key, hint):
    with pytest.raises(SettingError, match=hint) as caught:
        GatingUnit(16, (2, 2), **settings)
    assert caught.value.key == key
