"""Every gating unit: parameters, equations, gradients, groups, dtypes, switches, recording."""

import warnings

import pytest
import torch

from posmlp.layers import GATES, GatingUnit, SettingError, TokenMixing
from posmlp.layers.window import shift_mask
from posmlp.training.cost import num_parameters

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 3e-2}
WINDOWS = [(4, 4), (2, 5), (7,)]
QUADRATIC = ["qpe", "gqpe", "fc_gqpe"]


def randomised(unit):
    """Give every parameter a value of order one, so that its initial value hides no fault."""
    torch.manual_seed(3)
    for parameter in unit.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return unit


def gated(unit, x):
    """Call a unit on tokens (..., N, 2C) that hold both halves."""
    return unit(*x.movedim(-1, 0).chunk(2)).movedim(0, -1)


def by_einsum(unit, u, v):
    """Reference on tokens (B, W, N, C), with an einsum as in the released code."""
    mixer, groups = unit.proj, unit.proj.groups
    map_WSNN = mixer.token_map().to(v.dtype)
    map_WSNN = map_WSNN if map_WSNN.ndim == 4 else map_WSNN[None]
    map_WSNN = map_WSNN.expand(v.shape[1], groups, -1, -1)
    v = unit.norm(v.movedim(-1, 0)).movedim(0, -1).unflatten(-1, (groups, -1))
    mixed = torch.einsum("wsmn,bwnsv->bwmsv", map_WSNN, v).flatten(-2)
    return u * (mixed + mixer.token_bias()[:, None].to(mixed.dtype))


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("window", WINDOWS)
def test_parameter_counts_match_the_closed_form(gate, groups, window):
    for bias in (True, False):
        built = num_parameters(TokenMixing(window, gate, groups, bias=bias))
        assert GATES[gate].layer_parameters(window, groups, bias) == built


@pytest.mark.parametrize(
    ("gate", "groups", "expected"),
    [("sgu", 1, 38_416), ("lrpe", 1, 729), ("gqpe", 1, 6), ("gqpe", 32, 192), ("qpe", 1, 3)],
)
def test_parameter_counts_of_the_paper_for_14_by_14_tokens(gate, groups, expected):
    assert GATES[gate].map_parameters((14, 14), groups) == expected


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("masked", [False, True])
def test_outputs_and_gradients_match_the_equations(gate, groups, window, masked):
    if masked and len(window) == 1:
        window = (1, *window)
    size = tuple(2 * side for side in window)
    mask = shift_mask(window, size, tuple(side // 2 for side in window)) if masked else None
    n = torch.Size(window).numel()
    for dtype, tolerance in TOLERANCE.items():
        unit = randomised(GatingUnit(16, window, gate, groups, mask_WNN=mask)).to(dtype)
        halves = [torch.randn(2, 4, n, 8).to(dtype).requires_grad_() for _ in range(2)]
        leaves = [*halves, *unit.parameters()]
        outputs = [
            unit(*(half.movedim(-1, 0) for half in halves)).movedim(0, -1),
            by_einsum(unit, *halves),
        ]
        assert outputs[0].dtype == dtype
        results = [[out.detach(), *torch.autograd.grad(out.sum(), leaves)] for out in outputs]
        for found, expected in zip(*results, strict=True):
            scale = tolerance * max(1.0, expected.abs().max().item())
            torch.testing.assert_close(found, expected, rtol=0, atol=scale)


@pytest.mark.parametrize("gate", GATES)
def test_autocast_keeps_the_map_in_float32_and_passes_gradients(gate):
    unit, gradients = randomised(GatingUnit(16, (4, 4), gate, 2)), []
    x = torch.randn(2, 16, 16, requires_grad=True)
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            output, A = gated(unit, x), unit.proj.token_map()
        assert A.dtype == torch.float32
        torch.testing.assert_close(A, unit.proj.token_map())
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


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("masked", [False, True])
def test_script_trace_and_fx_give_equal_outputs(gate, masked):
    mask = shift_mask((3, 4), (6, 8), (1, 2)) if masked else None
    unit = randomised(GatingUnit(16, (3, 4), gate, 2, mask_WNN=mask))
    halves = torch.randn(8, 5, 4, 12), torch.randn(8, 5, 4, 12)
    expected = unit(*halves)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated; timm's users still script
        recorded = [
            torch.jit.script(unit),
            torch.jit.trace(unit, halves),
            torch.fx.symbolic_trace(unit),
        ]
    for network in recorded:
        torch.testing.assert_close(network(*halves), expected)


@pytest.mark.parametrize("gate", QUADRATIC)
def test_only_psd_bounds_the_scores(gate):
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
    """Denormal numbers make float32 products several times slower on CPUs."""
    mixing = TokenMixing((14, 14), gate, 4)
    with torch.no_grad():
        mixing.position.spread *= torch.tensor([0.3, 0.7, 1.0, 2.0]).view(
            -1, *[1] * (mixing.position.spread.ndim - 1)
        )
    A = mixing.position_map()
    smallest_normal = torch.finfo(torch.float32).tiny
    assert not A[(A > 0)].lt(smallest_normal).any()


def test_gate_norm_is_a_switch():
    for gate, default in (("sgu", True), ("gqpe", False)):
        for gate_norm, expected in ((None, default), (True, True), (False, False)):
            norm = GatingUnit(8, (2, 2), gate, gate_norm=gate_norm).norm
            assert isinstance(norm, torch.nn.LayerNorm) == expected


@pytest.mark.parametrize("gate", QUADRATIC)
def test_initial_centres_spreads_and_bias_can_be_set(gate):
    torch.manual_seed(0)
    settings = dict(center_init=1.5, spread_init=0.5, bias_init=2.0)
    mixing = TokenMixing((4, 4), gate, groups=400, **settings)
    assert mixing.position.center.std().item() == pytest.approx(1.5, rel=0.1)
    spread = mixing.position.spread
    assert torch.allclose(spread, 0.5 * mixing.position.unit_spread(), atol=0.06)
    assert mixing.position_bias.eq(2.0).all()


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
        (dict(gate="sgu", softmax=True), "softmax", "no effect.*: lrpe, qpe, gqpe, fc_lrpe, fc_g"),
        (dict(gate="lrpe", psd=False), "psd", "no effect.*'lrpe'.*: qpe, gqpe, fc_gqpe"),
        (dict(gate="sgu", center_init=1.5), "center_init", "no effect.*: qpe, gqpe, fc_gqpe"),
        (dict(gate="lrpe", spread_init=1.0), "spread_init", "no effect.*: qpe, gqpe, fc_gqpe"),
        (dict(center_init=-1.0), "center_init", "at least 0"),
        (dict(spread_init="wide"), "spread_init", "found 'wide'; it must be a number"),
        (dict(bias=False, bias_init=1.0), "bias_init", "no effect without a bias"),
    ],
)
def test_invalid_settings_are_refused_by_name(settings, key, hint):
    with pytest.raises(SettingError, match=hint) as caught:
        GatingUnit(16, (2, 2), **settings)
    assert caught.value.key == key
