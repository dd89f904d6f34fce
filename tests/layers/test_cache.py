"""Maps kept while testing are never stale, and those of a step are computed once for all parts."""

import copy
import io

import pytest
import timm
import torch
from timm.utils import ModelEmaV3

import posmlp.models  # noqa: F401  registers the backbones
from posmlp.layers import GATES, GatingUnit, TokenMixing
from posmlp.layers.cache import share_maps

NAME = "gmlp_posgu_xs1_8"


def layer(gate="gqpe"):
    torch.manual_seed(0)
    return TokenMixing((3, 4), gate, 2).eval()


def tokens():
    return torch.randn(8, 2, 12, generator=torch.Generator().manual_seed(1))


def counting(mixing, counts):
    """Count how often a layer computes its map."""
    compute = mixing.token_map

    def token_map():
        counts.append(mixing)
        return compute()

    mixing.token_map = token_map
    return mixing


def optimiser_step(mixing):
    mixing(tokens()).square().sum().backward()
    torch.optim.AdamW(mixing.parameters(), 0.1, fused=True).step()
    mixing.zero_grad()


def ema_swap(mixing):
    average = ModelEmaV3(mixing, decay=0.5)
    with torch.no_grad():
        for parameter in mixing.parameters():
            parameter.add_(1.0)
        average.update(mixing)
        for parameter, averaged in zip(
            mixing.parameters(), average.module.parameters(), strict=True
        ):
            parameter.copy_(averaged)


def swap_data(mixing):
    for parameter in mixing.parameters():
        parameter.data = parameter.data + 1.0


def through_data(mixing):
    for parameter in mixing.parameters():
        parameter.data.add_(1.0)
    mixing.eval()  # torch itself does not see this change


CHANGES = {
    "load_state_dict": lambda m: m.load_state_dict({k: v + 1.0 for k, v in m.state_dict().items()}),
    "load_state_dict, assigned": lambda m: m.load_state_dict(
        {k: v + 1.0 for k, v in m.state_dict().items()}, assign=True
    ),
    "optimiser step": optimiser_step,
    "average of weights": ema_swap,
    "other data": swap_data,
    "through data": through_data,
    "another dtype and back": lambda m: [swap_data(m), m.to(torch.float64), m.to(torch.float32)],
}


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("change", CHANGES)
def test_no_map_is_stale(gate, change):
    mixing = layer(gate)
    with torch.inference_mode():
        before = mixing(tokens())
    CHANGES[change](mixing)
    with torch.no_grad():
        found = mixing(tokens())
    expected = mixing(tokens()).detach()  # with gradients the map is always computed
    assert not torch.equal(found, before)
    assert torch.equal(found, expected)


def test_a_map_is_computed_once_while_nothing_changes():
    counts = []
    mixing = counting(layer(), counts)
    with torch.inference_mode():
        for _ in range(3):
            mixing(tokens())
    assert len(counts) == 1
    with torch.inference_mode():
        mixing(tokens().bfloat16())
    assert len(counts) == 2


def test_training_and_gradients_never_use_a_kept_map():
    counts = []
    mixing = counting(layer(), counts)
    mixing(tokens())
    mixing(tokens())
    mixing.train()
    with torch.no_grad():
        mixing(tokens())
    assert len(counts) == 3
    mixing(tokens()).sum().backward()
    assert mixing.position.center.grad is not None


def test_copies_and_files_hold_no_map():
    mixing = layer()
    with torch.no_grad():
        mixing(tokens())
    assert mixing.cache.map is not None
    assert copy.deepcopy(mixing).cache.map is None
    file = io.BytesIO()
    torch.save(mixing, file)
    file.seek(0)
    assert torch.load(file, weights_only=False).cache.map is None
    assert not any("cache" in name for name in mixing.state_dict())


def test_a_compiled_or_exported_network_follows_its_weights():
    unit = GatingUnit(16, (3, 4), "gqpe", 2).eval()
    halves = torch.randn(8, 2, 12), torch.randn(8, 2, 12)
    compiled = torch.compile(unit, backend="aot_eager", fullgraph=True)
    exported = torch.export.export(unit, halves).module()
    with torch.no_grad():
        unit(*halves), compiled(*halves)
        for network in (unit, exported):
            for parameter in network.parameters():
                parameter.add_(0.5)
        expected = unit(*halves)
        torch.testing.assert_close(compiled(*halves), expected)
        torch.testing.assert_close(exported(*halves), expected)


@pytest.mark.parametrize("gate", GATES)
def test_maps_of_a_step_are_computed_once_and_give_the_same_gradients(gate):
    torch.manual_seed(0)
    model = timm.create_model(NAME, gate=gate, num_classes=3)
    torch.nn.init.normal_(model.head.weight)
    counts, gradients = [], []
    mixers = [counting(m, counts) for m in model.modules() if isinstance(m, TokenMixing)]
    parts = torch.randn(6, 3, 8, 8).chunk(3)
    for shared in (False, True):
        model.zero_grad()
        counts.clear()
        for number, images in enumerate(parts):
            if shared:
                share_maps(model, number, len(parts))
            model(images).square().sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
        assert len(counts) == len(mixers) * (1 if shared else len(parts))
    for plain, once in zip(*gradients, strict=True):
        torch.testing.assert_close(once, plain, rtol=1e-4, atol=1e-5)
