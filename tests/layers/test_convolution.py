"""Mixing as a correlation gives what the map gives, wherever the centre is."""

import copy
import itertools

import pytest
import torch

from posmlp.layers import TokenMixing, mixing
from posmlp.layers.convolution import fast_length

EVERYWHERE = {("cpu", dtype): 1 for dtype in (torch.float32, torch.float64, torch.bfloat16)}
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


def run(made, dtype, choice, monkeypatch):
    """Return output and gradients by the map or by the convolution."""
    monkeypatch.setattr(mixing, "CONVOLVE_FROM", choice)
    made = copy.deepcopy(made).to(dtype)
    n = torch.Size(made.window).numel()
    numbers = torch.Generator().manual_seed(1)
    tokens = torch.randn(6, 2, n, generator=numbers).to(dtype).requires_grad_()
    output = made(tokens)
    output.backward(torch.randn(output.shape, generator=numbers).to(dtype))
    return [output.detach(), tokens.grad, *(p.grad for p in made.parameters())]


@pytest.mark.parametrize(("gate", "softmax", "window", "far"), CASES)
def test_values_and_gradients_are_those_of_the_map(gate, softmax, window, far, monkeypatch):
    made = layer(gate, softmax, window, far)
    expected = run(made, torch.float64, {}, monkeypatch)
    exact = run(made, torch.float64, EVERYWHERE, monkeypatch)
    for found, value in zip(exact, expected, strict=True):
        torch.testing.assert_close(found, value, rtol=0, atol=1e-9 * float(value.abs().max()))
    single = run(made, torch.float32, EVERYWHERE, monkeypatch)
    for found, value in zip(single[:2], expected[:2], strict=True):
        error = (found.double() - value).norm(dim=-1) / value.norm(dim=-1).clamp(min=1e-3)
        assert error.max() < 1e-4


def test_bfloat16_tokens_come_out_as_they_went_in(monkeypatch):
    monkeypatch.setattr(mixing, "CONVOLVE_FROM", EVERYWHERE)
    made = layer("gqpe", True, (9, 13), 1.0)
    tokens = torch.randn(6, 2, 117).bfloat16()
    found = made(tokens)
    monkeypatch.setattr(mixing, "CONVOLVE_FROM", {})
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, made(tokens), rtol=2e-2, atol=2e-2)


def test_only_large_windows_without_a_free_matrix_or_a_mask_are_convolved():
    def convolves(window, gate, tokens):
        with torch.device(tokens.device):
            layer = TokenMixing(window, gate)
        return layer.way(tokens, None) == layer.by_convolution

    tokens = torch.empty(4, 1, 1600)
    assert convolves((40, 40), "gqpe", tokens)
    assert not convolves((40, 40), "gqpe", tokens.double())  # not measured
    assert not convolves((14, 14), "gqpe", torch.empty(4, 1, 196))
    for gate in ("fc_gqpe", "sgu", "gqpe"):
        assert not convolves((40, 40), gate, tokens.to("meta"))


def test_a_traced_layer_records_the_product_with_its_map():
    layer = TokenMixing((32, 32), "gqpe")
    traced = torch.jit.trace(layer, torch.randn(4, 1, 1024))
    assert "^Product" in str(traced.inlined_graph)
    assert "^Correlation" not in str(traced.inlined_graph)
    v = torch.randn(4, 1, 1024)
    torch.testing.assert_close(traced(v), layer.by_map(v, None))


@pytest.mark.parametrize("length", [1, 7, 14, 56, 80, 112, 300])
def test_transforms_are_long_enough_and_have_small_factors(length):
    size = fast_length(length)
    assert size >= 2 * length - 1
    for factor in (2, 3, 5, 7):
        while size % factor == 0:
            size //= factor
    assert size == 1
