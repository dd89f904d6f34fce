"""Mixing by convolution equals mixing with the map, wherever the centre is."""

import copy
import itertools
import warnings

import pytest
import torch

from posmlp.layers import TokenMixing
from posmlp.layers.convolution import fast_length
from posmlp.layers.window import shift_mask

CASES = [
    (gate, softmax, window, far)
    for gate, softmax, window, far in itertools.product(
        ["lrpe", "qpe", "gqpe"], [True, False], [(9, 13), (30,), (17, 16)], [0.0, 4.0, 40.0]
    )
    if gate != "lrpe" or not far
]


def layer(gate, softmax, window, far):
    torch.manual_seed(0)
    made = TokenMixing(window, gate, 3, softmax=softmax)
    with torch.no_grad():
        if gate == "lrpe":
            made.position.table.normal_()
        else:
            made.position.center += far
            made.position.spread *= 0.6
            made.position.spread += 0.1 * torch.randn_like(made.position.spread)
    return made


def run(made, dtype, convolves):
    """Output and gradients by the map or by the convolution."""
    made = copy.deepcopy(made).to(dtype)
    made.convolves = convolves
    n = torch.Size(made.window).numel()
    numbers = torch.Generator().manual_seed(1)
    tokens = torch.randn(6, 2, n, generator=numbers).to(dtype).requires_grad_()
    output = made(tokens)
    output.backward(torch.randn(output.shape, generator=numbers).to(dtype))
    return [output.detach(), tokens.grad, *(p.grad for p in made.parameters())]


@pytest.mark.parametrize(("gate", "softmax", "window", "far"), CASES)
def test_values_and_gradients_match_the_map(gate, softmax, window, far):
    made = layer(gate, softmax, window, far)
    expected = run(made, torch.float64, False)
    for found, value in zip(run(made, torch.float64, True), expected, strict=True):
        torch.testing.assert_close(found, value, rtol=0, atol=1e-9 * float(value.abs().max()))
    single = run(made, torch.float32, True)
    for found, value in zip(single[:2], expected[:2], strict=True):
        error = (found.double() - value).norm(dim=-1) / value.norm(dim=-1).clamp(min=1e-3)
        assert error.max() < 1e-4


def test_bfloat16_tokens_keep_their_type():
    made = layer("gqpe", True, (9, 13), 1.0)
    found, *_ = run(made, torch.bfloat16, True)
    assert found.dtype == torch.bfloat16
    expected, *_ = run(made, torch.bfloat16, False)
    torch.testing.assert_close(found, expected, rtol=2e-2, atol=2e-2)


def test_purely_positional_units_without_a_mask_convolve_from_1024_tokens():
    with torch.device("meta"):
        for gate in ("lrpe", "qpe", "gqpe"):
            assert TokenMixing((32, 32), gate).convolves
            assert TokenMixing((1024,), gate).convolves
            assert not TokenMixing((31, 33), gate).convolves
        for gate in ("sgu", "fc_lrpe", "fc_gqpe"):
            assert not TokenMixing((32, 32), gate).convolves
    mask = shift_mask((32, 32), (64, 32), (16, 0))
    assert not TokenMixing((32, 32), "gqpe", mask_WNN=mask).convolves


def test_recorded_layers_use_the_map():
    made, v = TokenMixing((32, 32), "gqpe"), torch.randn(4, 1, 1024)
    convolved = made(v)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        recorded = [torch.jit.trace(made, v), torch.jit.script(made), torch.fx.symbolic_trace(made)]
    made.convolves = False
    expected = made(v)
    assert not torch.equal(convolved, expected)  # otherwise the test below would prove nothing
    for network in recorded:
        assert torch.equal(network(v), expected)


@pytest.mark.parametrize("length", [1, 7, 14, 56, 80, 112, 300])
def test_transforms_are_long_enough_and_have_small_factors(length):
    size = fast_length(length)
    assert size >= 2 * length - 1
    for factor in (2, 3, 5, 7):
        while size % factor == 0:
            size //= factor
    assert size == 1
