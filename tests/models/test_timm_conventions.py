"""The requirements of timm's own tests (tests/test_models.py of timm 1.0) for our networks."""

import warnings

import pytest
import timm
import torch
from test_models import MODELS, SMALLEST, image, randomised
from timm.models import create_model
from timm.optim import create_optimizer_v2
from torchvision.models.feature_extraction import create_feature_extractor

RECORDED = [(name, {}) for name in SMALLEST] + [("posmlp_xs_32", dict(shift=True))]
OTHER_SHAPE = {"gmlp_posgu_xs1_8": (4, 16), "posmlp_xxs_28": (14, 56)}


@pytest.mark.parametrize("name", MODELS)
def test_default_cfg(name):
    with torch.device("meta"):
        model = create_model(name, num_classes=7)
        cfg, x = model.default_cfg, image(name).to("meta")
        head = model.get_classifier()
        assert head.out_features == 7
        assert cfg["classifier"] in {n for n, m in model.named_modules() if m is head}
        assert dict(model.named_modules())[cfg["first_conv"]].in_channels == 3
        features = model.forward_features(x)
        if name.startswith("posmlp"):
            assert features.shape[1:] == (model.num_features, *cfg["pool_size"])
        assert model.forward_head(features, pre_logits=True).shape == (2, model.num_features)
        model.reset_classifier(5)
        assert model(x).shape == (2, 5)
        model.reset_classifier(0)
        assert model(x).shape == (2, model.num_features)
        if name.startswith("posmlp"):
            model.reset_classifier(0, "")
            assert model(x).shape[2:] == cfg["pool_size"]


@pytest.mark.parametrize("name", MODELS)
def test_features_and_pruning(name):
    with torch.device("meta"):
        x = image(name).to("meta")
        model = create_model(name, features_only=True)
        outputs = model(x)
        for out, channels, reduction in zip(
            outputs, model.feature_info.channels(), model.feature_info.reduction(), strict=True
        ):
            assert out.shape[1:] == (channels, *(side // reduction for side in x.shape[2:]))
        model = create_model(name)
        taken = model.prune_intermediate_layers([0, 1], prune_norm=True)
        assert list(taken) == [0, 1]
        assert len(model.forward_intermediates(x, taken, intermediates_only=True)) == 2
        assert num_blocks(model) < num_blocks(create_model(name)) or name.endswith("_28")


def num_blocks(model) -> int:
    return sum(type(module).__name__ == "SpatialGatingBlock" for module in model.modules())


@pytest.mark.parametrize("name", SMALLEST)
def test_intermediates_match_the_forward_pass(name):
    model, x = randomised(create_model(name, num_classes=5)).eval(), image(name)
    parts = model.stages if name.startswith("posmlp") else model.blocks
    expected = [model.stem(x)]
    for part in parts:
        expected.append(part(expected[-1]))
    final, found = model.forward_intermediates(x)
    torch.testing.assert_close(final, model.forward_features(x))
    torch.testing.assert_close(model.forward_head(final), model(x))
    assert len(found) == len(parts)
    for ours, theirs in zip(found, expected[1:], strict=True):
        torch.testing.assert_close(ours.flatten(), as_map(theirs, ours).flatten())
    early, (first,) = model.forward_intermediates(x, [0], stop_early=True)
    torch.testing.assert_close(first, found[0])
    assert early.shape[0] == 2
    *_, last = model.forward_intermediates(x, norm=True, intermediates_only=True)
    torch.testing.assert_close(last, as_map(final, last))


def as_map(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Tokens (B, N, C) as a map (B, C, H, W)."""
    return x if x.ndim == 4 else x.mT.unflatten(2, like.shape[2:])


def test_features_in_another_layout_are_refused():
    model = create_model("posmlp_xxs_28")
    with pytest.raises(ValueError, match="NCHW only"):
        model.forward_intermediates(image("posmlp_xxs_28"), output_fmt="NHWC")


@pytest.mark.parametrize(("name", "settings"), RECORDED)
def test_script_trace_and_fx(name, settings):
    model, x = randomised(create_model(name, num_classes=5, **settings)).eval(), image(name)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated
        expected = model(x)
        extractor = create_feature_extractor(model, {"norm": "features"})
        torch.testing.assert_close(extractor(x)["features"], model.forward_features(x))
        graph = torch.fx.symbolic_trace(model)
        scripted, traced = torch.jit.script(model), torch.jit.trace(model, x)
        for network in (graph, scripted, traced, torch.jit.script(graph)):
            torch.testing.assert_close(network(x), expected)


@pytest.mark.parametrize("name", SMALLEST)
def test_a_graph_trains_every_parameter(name):
    graph = torch.fx.symbolic_trace(randomised(create_model(name, num_classes=5)))
    graph(image(name)).square().mean().backward()
    assert all(parameter.grad is not None for parameter in graph.parameters())


@pytest.mark.parametrize("name", OTHER_SHAPE)
def test_an_image_of_another_size_is_refused(name):
    """Also with equally many tokens or windows, for features only, and in recorded networks."""
    model, x = create_model(name).eval(), image(name)
    height, width = OTHER_SHAPE[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        recorded = [torch.jit.script(model), torch.export.export(model, (x,)).module()]
        if name.startswith("posmlp"):
            recorded.append(torch.jit.trace(model, x))
    for size in ((height, width), (width, height), (height + 1, height + 1)):
        with pytest.raises(AssertionError, match=rf"{size[0]}.*{x.shape[2]}"):
            model(torch.randn(1, 3, *size))
        with pytest.raises(AssertionError, match=rf"{size[0]}.*{x.shape[2]}"):
            create_model(name, features_only=True)(torch.randn(1, 3, *size))
        for network in recorded:
            with pytest.raises((AssertionError, RuntimeError, torch.jit.Error)):
                network(torch.randn(1, 3, *size))


@pytest.mark.parametrize("name", MODELS)
def test_layer_decay_gives_every_parameter_a_rate(name):
    with torch.device("meta"):
        model = create_model(name)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    optimizer = create_optimizer_v2(model, "adamw", lr=1.0, weight_decay=0.05, layer_decay=0.75)
    scales = {names[id(p)]: g["lr_scale"] for g in optimizer.param_groups for p in g["params"]}
    assert scales.keys() == set(names.values())
    assert scales[model.default_cfg["classifier"] + ".weight"] == 1
    assert scales[model.default_cfg["first_conv"] + ".weight"] == min(scales.values())
    for coarse in (False, True):
        groups = timm.models.group_parameters(model, model.group_matcher(coarse), reverse=False)
        assert sum(map(len, groups.values())) == len(names)


@pytest.mark.parametrize("name", SMALLEST)
def test_gradient_checkpointing_changes_nothing(name):
    model = randomised(create_model(name, num_classes=3))
    x, gradients = image(name), []
    for enable in (False, True):
        model.set_grad_checkpointing(enable)
        model.zero_grad()
        model(x).square().sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(recomputed, plain, rtol=1e-4, atol=1e-5)
