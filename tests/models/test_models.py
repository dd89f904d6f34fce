"""Every registered backbone with every gating unit; exact counts; timm's conventions."""

import json
from pathlib import Path

import pytest
import timm
import torch
from timm.models import is_model_in_modules

import posmlp.models  # noqa: F401  registers the backbones
from posmlp.layers import GATES, SettingError
from posmlp.models.gated_mlp import GatedMlp, positional_parameters
from posmlp.training.cost import multiply_accumulates, num_parameters

MODELS = sorted(
    name
    for name in timm.list_models()
    if is_model_in_modules(name, ["posmlp"]) or is_model_in_modules(name, ["gmlp"])
)
SMALL = [name for name in MODELS if not name.endswith("224")]
COUNTS = [  # paper.md 2.1 and 2.3
    (19_422_656, "gmlp_posgu_s16_224", dict(gate="sgu")),
    (18_229_856, "gmlp_posgu_s16_224", dict(gate="gqpe", groups=32)),
    (18_224_276, "gmlp_posgu_s16_224", dict(gate="gqpe", groups=1)),
    (18_245_966, "gmlp_posgu_s16_224", dict(gate="lrpe", groups=1)),
    (19_398_446, "gmlp_posgu_s16_224", dict(gate="fc_lrpe", groups=1)),
    (20_925_538, "posmlp_tiny_224", dict()),
    (20_923_282, "posmlp_tiny_224", dict(gate="qpe")),
    (21_397_554, "posmlp_tiny_224", dict(gate="lrpe")),
    (21_804_004, "posmlp_tiny_224", dict(gate="sgu")),
    (22_247_508, "posmlp_tiny_224", dict(gate="fc_lrpe")),
    (36_816_450, "posmlp_small_224", dict()),
    (81_976_834, "posmlp_base_224", dict()),
]


def image(name, batch=2):
    size = timm.get_pretrained_cfg_value(name, "input_size")
    return torch.randn(batch, *size)


def randomised(model):
    """timm zeroes gMLP's head, which would hide every other gradient."""
    torch.manual_seed(5)
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def test_the_registry_holds_what_the_readme_names():
    assert {"posmlp_tiny_224", "posmlp_small_224", "posmlp_base_224", "gmlp_posgu_s16_224"} < set(
        MODELS
    )
    assert len(SMALL) >= 6


@pytest.mark.parametrize(("count", "name", "settings"), COUNTS)
def test_published_and_computed_parameter_counts(count, name, settings):
    with torch.device("meta"):
        assert num_parameters(timm.create_model(name, **settings)) == count


@pytest.mark.parametrize(
    ("name", "gigamacs"),
    [("posmlp_tiny_224", 5.056), ("posmlp_small_224", 8.584), ("posmlp_base_224", 18.406)],
)
def test_multiply_accumulates_are_the_analytic_figures(name, gigamacs):
    with torch.device("meta"):
        model = timm.create_model(name)
        assert multiply_accumulates(model, (3, 224, 224)) / 1e9 == pytest.approx(gigamacs, rel=5e-3)


def test_a_large_window_counts_as_the_product_with_its_map_though_it_is_convolved():
    tokens, dim, hidden = 1024, 8, 32
    mlp = GatedMlp(dim, hidden, torch.nn.GELU, 0.0, dict(window=(32, 32), gate="gqpe", groups=2))
    expected = tokens * (dim * hidden + hidden // 2 * (tokens + dim))
    assert multiply_accumulates(mlp, (tokens, dim)) == pytest.approx(expected, rel=5e-3)


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("name", MODELS)
def test_every_model_builds_with_every_gate(name, gate):
    with torch.device("meta"):
        assert timm.create_model(name, gate=gate)(image(name).to("meta")).shape == (2, 1000)


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("name", SMALL)
def test_every_parameter_has_a_gradient(name, gate):
    model = randomised(timm.create_model(name, gate=gate, num_classes=10))
    logits = model(image(name))
    assert logits.shape == (2, 10)
    logits.square().mean().backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name


def test_sgu_is_timms_gmlp_to_the_logit():
    torch.manual_seed(0)
    theirs = randomised(timm.create_model("gmlp_s16_224")).eval()
    ours = timm.create_model("gmlp_posgu_s16_224", gate="sgu").eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = image("gmlp_s16_224", batch=1)
    with torch.no_grad():
        expected, found = theirs(x), ours(x)
    assert expected.std() > 1e-3
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", SMALL)
def test_timms_conventions(name):
    model = timm.create_model(name, num_classes=7).eval()
    x = image(name)
    torch.testing.assert_close(model.forward_head(model.forward_features(x)), model(x))
    head = model.get_classifier()
    assert head.out_features == 7
    assert model.default_cfg["classifier"] in {n for n, m in model.named_modules() if m is head}
    assert dict(model.named_modules())[model.default_cfg["first_conv"]].in_channels == 3
    model.reset_classifier(5)
    assert model(x).shape == (2, 5)
    model.reset_classifier(0)
    assert model(x).shape == (2, model.num_features)


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("name", SMALL)
def test_no_weight_decay_names_exactly_the_positional_parameters(name, gate):
    model = timm.create_model(name, gate=gate)
    names = dict(model.named_parameters())
    assert model.no_weight_decay() == positional_parameters(model) <= set(names)
    for endings in (".center", ".spread", ".table", ".position_bias"):
        assert {n for n in names if n.endswith(endings)} <= model.no_weight_decay()
    assert not any(n.endswith((".weight", ".bias")) for n in model.no_weight_decay())
    assert timm.create_model(name, gate=gate, decay_position=True).no_weight_decay() == set()


@pytest.mark.parametrize("name", SMALL)
def test_gradient_checkpointing_changes_nothing(name):
    model = randomised(timm.create_model(name, num_classes=3))
    x, gradients = image(name), []
    for enable in (False, True):
        model.set_grad_checkpointing(enable)
        model.zero_grad()
        model(x).square().sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(recomputed, plain, rtol=1e-4, atol=1e-5)


def test_features_of_every_stage():
    model = timm.create_model("posmlp_xs_32", features_only=True)
    shapes = [tuple(f.shape[1:]) for f in model(torch.randn(2, 3, 32, 32))]
    assert shapes == [(48, 16, 16), (96, 8, 8), (192, 4, 4)]
    assert model.feature_info.reduction() == [2, 4, 8]
    model = timm.create_model("gmlp_posgu_xs2_28", features_only=True, out_indices=(3, 7))
    assert [tuple(f.shape[1:]) for f in model(torch.randn(2, 3, 28, 28))] == [(64, 14, 14)] * 2


def test_tokens_see_their_window_only_and_more_with_shift():
    """Proved through gradients at the end of the first stage."""
    reach = {}
    for shift in (False, True):
        model = timm.create_model("posmlp_xs_32", shift=shift, gate="lrpe")
        stage = randomised(model).stages[0]
        x = torch.randn(1, 48, 16, 16, requires_grad=True)
        stage(x)[0, :, 0, 0].sum().backward()
        rows, columns = x.grad[0].abs().sum(0).nonzero().T
        reach[shift] = (rows.max().item(), columns.max().item())
    assert reach[False] == (7, 7)
    assert reach[True] == (7, 7)  # the corner keeps to its own side of the image
    model = randomised(timm.create_model("posmlp_xs_32", shift=True, gate="lrpe"))
    x = torch.randn(1, 48, 16, 16, requires_grad=True)
    model.stages[0](x)[0, :, 7, 7].sum().backward()
    assert x.grad[0].abs().sum(0).nonzero().max() == 15  # across the first windows' border


@pytest.mark.parametrize(
    ("name", "settings", "key", "hint"),
    [
        ("posmlp_tiny_224", dict(img_size=256), "img_size", "works: .*224"),
        ("posmlp_tiny_224", dict(groups=(8, 16)), "groups", "4 entries"),
        ("posmlp_tiny_224", dict(groups=7), "groups", "allowed: 1, 2, 3"),
        ("gmlp_posgu_s16_224", dict(groups=7), "groups", "allowed: 1, 2, 3"),
        ("gmlp_posgu_s16_224", dict(img_size=220), "img_size", "multiple of patch 16"),
        ("gmlp_posgu_s16_224", dict(gate="gpe"), "gate", "allowed: sgu"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(name, settings, key, hint):
    with pytest.raises(SettingError, match=hint) as caught, torch.device("meta"):
        timm.create_model(name, **settings)
    assert caught.value.key == key


@pytest.mark.parametrize("name", MODELS)
def test_an_unknown_argument_fails(name):
    with pytest.raises(TypeError, match="gatte"):
        timm.create_model(name, gatte="sgu")


@pytest.mark.parametrize("size", [448, (224, 448)])
def test_other_sizes_that_windows_divide_work(size):
    with torch.device("meta"):
        model = timm.create_model("posmlp_tiny_224", img_size=size)
        height, width = (size, size) if isinstance(size, int) else size
        assert model(torch.zeros(1, 3, height, width)).shape == (1, 1000)


def test_released_key_lists_have_our_counts():
    """Shapes of the authors' checkpoints; buffers are no parameters."""
    for name, count in (("posmlp_t", 20_925_538), ("posmlp_s", 36_816_450)):
        path = Path(__file__).parents[1] / "golden" / f"{name}.keys.json"
        shapes = json.loads(path.read_text())
        buffers = ("rel_indices", "running_mean", "running_var", "num_batches_tracked")
        total = sum(
            torch.Size(shape).numel() for key, shape in shapes.items() if not key.endswith(buffers)
        )
        assert total == count
