"""Registered backbones: gating units, parameter counts, windows and arguments."""

import inspect

import pytest
import timm
import torch
from timm.models import is_model_in_modules

from posmlp.layers import GATES, SettingError, TokenMixing
from posmlp.models import PosGmlp, PosMlp
from posmlp.models.gated_mlp import positional_parameters
from posmlp.training.cost import multiply_accumulates, num_parameters, token_mixing_parameters

MODELS = sorted(
    name
    for name in timm.list_models()
    if is_model_in_modules(name, ["posmlp"]) or is_model_in_modules(name, ["gmlp"])
)
SMALL = [name for name in MODELS if not name.endswith("224")]
SMALLEST = ["gmlp_posgu_xs1_8", "posmlp_xxs_28"]  # one of each family
COUNTS = [
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
    (191_850, "gmlp_posgu_xxs4_32", dict(gate="sgu", num_classes=10)),
    (174_698, "gmlp_posgu_xxs4_32", dict(gate="gqpe", groups=16, num_classes=10)),
    (181_938, "gmlp_posgu_xxs4_32", dict(gate="sgu", num_classes=10, img_size=28, in_chans=1)),
    (1_278_792, "gmlp_posgu_xs4_32", dict(gate="sgu", num_classes=200)),
    (1_225_800, "gmlp_posgu_xs4_32", dict(gate="gqpe", groups=32, num_classes=200)),
    (36_816_450, "posmlp_small_224", dict()),
    (81_976_834, "posmlp_base_224", dict()),
]
GIGAMACS = {
    "gmlp_posgu_s16_224": 4.39,
    "posmlp_tiny_224": 5.056,
    "posmlp_small_224": 8.584,
    "posmlp_base_224": 18.406,
}
ARGUMENTS = dict(  # a non-default value that every network accepts
    num_classes=7,
    in_chans=1,
    gate="lrpe",
    groups=2,
    grouped=4,
    softmax=False,
    psd=False,
    bias=False,
    gate_norm=True,
    center_init=1.5,
    spread_init=0.5,
    bias_init=1.0,
    decay_position=True,
    drop_rate=0.1,
    proj_drop_rate=0.1,
    drop_path_rate=0.1,
    global_pool="",
)
GMLP = dict(num_blocks=2, embed_dim=160, mlp_ratio=1, patch_size=(4, 2), img_size=(48, 32))
STAGES = dict(dims=64, depths=1, windows=1, mlp_ratios=1, stem_strides=1, shift=True, img_size=448)


def image(name, batch=2):
    size = timm.get_pretrained_cfg_value(name, "input_size")
    return torch.randn(batch, *size)


def randomised(model):
    """Replace zeros: timm initialises gMLP's head to zero, which makes all other gradients zero."""
    torch.manual_seed(5)
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return model


@pytest.mark.parametrize(("count", "name", "settings"), COUNTS)
def test_published_and_computed_parameter_counts(count, name, settings):
    with torch.device("meta"):
        assert num_parameters(timm.create_model(name, **settings)) == count


@pytest.mark.parametrize("name", GIGAMACS)
def test_multiply_accumulates_match_the_analytic_ones(name):
    with torch.device("meta"):
        model = timm.create_model(name)
        macs = multiply_accumulates(model, (3, 224, 224))
    assert macs / 1e9 == pytest.approx(GIGAMACS[name], rel=5e-3)


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


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("name", MODELS)
def test_every_model_builds_with_every_gate(name, gate):
    with torch.device("meta"):
        model = timm.create_model(name, gate=gate)
        if name in SMALL:
            assert model(image(name).to("meta")).shape == (2, 1000)
    names = dict(model.named_parameters())
    assert model.no_weight_decay() == positional_parameters(model) <= set(names)
    for endings in (".center", ".spread", ".table", ".position_bias"):
        assert {n for n in names if n.endswith(endings)} <= model.no_weight_decay()
    assert not any(n.endswith((".weight", ".bias")) for n in model.no_weight_decay())
    mixers = [m for m in model.modules() if isinstance(m, TokenMixing)]
    closed_forms = [GATES[gate].layer_parameters(m.window, m.groups) for m in mixers]
    assert token_mixing_parameters(model) == closed_forms


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("name", SMALLEST)
def test_every_parameter_has_a_gradient(name, gate):
    model = randomised(timm.create_model(name, gate=gate, num_classes=10))
    model(image(name)).square().mean().backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name


@pytest.mark.parametrize("shift", [False, True])
def test_tokens_see_their_window_only_and_more_with_shift(shift):
    """Checked through gradients at the end of the first stage."""
    model = randomised(timm.create_model("posmlp_xs_32", shift=shift, gate="lrpe"))
    x = torch.randn(1, 48, 16, 16, requires_grad=True)
    for token, last in ((0, 7), (7, 15 if shift else 7)):  # a corner only sees its own side
        (grad,) = torch.autograd.grad(model.stages[0](x)[0, :, token, token].sum(), x)
        assert grad[0].abs().sum(0).nonzero().max() == last


def described(model) -> tuple:
    """Everything that a network's arguments can change."""
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    keys = ("psd", "shift", "center_init", "spread_init", "bias_init")
    hidden = [getattr(module, key, None) for module in model.modules() for key in keys]
    pool, size = getattr(model, "global_pool", None), model.stem.img_size
    return repr(model), shapes, hidden, pool, size, model.no_weight_decay()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("spread", [False, True], ids=["single", "tuples"])
def test_every_argument_can_be_given_and_changes_the_network(name, spread):
    hierarchical = name.startswith("posmlp")
    values = ARGUMENTS | (STAGES if hierarchical else GMLP)
    network = PosMlp if hierarchical else PosGmlp
    assert values.keys() == inspect.signature(network).parameters.keys()
    with torch.device("meta"):
        default = timm.create_model(name)
    stages = len(default.stages) if hierarchical else 1
    per_stage = (
        () if not hierarchical else ("dims", "depths", "windows", "mlp_ratios", "groups", "grouped")
    )
    for key, value in values.items():
        if spread and key in per_stage:
            value = (value,) * stages
        if hierarchical and key == "img_size":
            value = 2 * default.stem.img_size[0]
        if key == "shift" and name.endswith("_28"):
            continue  # in every stage one window covers the map
        with torch.device("meta"):
            model = timm.create_model(name, **{key: value})
        assert described(model) != described(default), key


@pytest.mark.parametrize("name", MODELS)
def test_an_unknown_argument_fails(name):
    with pytest.raises(TypeError, match="gatte"):
        timm.create_model(name, gatte="sgu")


@pytest.mark.parametrize(
    ("name", "settings", "key", "hint"),
    [
        ("posmlp_tiny_224", dict(img_size=256), "windows", "heights that work: .*224"),
        ("posmlp_xs_32", dict(windows=7), "windows", "stage 0: 1, 2, 4, 8, 16"),
        ("posmlp_xs_32", dict(windows=(8, 8, 0)), "windows", "at least 1"),
        ("posmlp_xs_32", dict(windows=(8, 4)), "windows", "must have 3 entries.* as dims, depths"),
        ("posmlp_xs_32", dict(dims=(48, 100, 200)), "dims", "multiple of the one before"),
        ("posmlp_xs_32", dict(depths=(2, 1.5, 2)), "depths", r"1.5; it must be an integer"),
        ("posmlp_xs_32", dict(mlp_ratios=0.01), "mlp_ratios", "makes 0 hidden channels of 48"),
        ("posmlp_xxs_28", dict(shift=True), "shift", "no effect"),
        ("posmlp_tiny_224", dict(groups=(8, 16)), "groups", "4 entries"),
        ("posmlp_tiny_224", dict(groups=7), "groups", "allowed: 1, 2, 3"),
        ("gmlp_posgu_s16_224", dict(groups=7), "groups", "allowed: 1, 2, 3"),
        ("gmlp_posgu_s16_224", dict(groups=(8, 16)), "groups", "an integer of at least 1"),
        ("gmlp_posgu_s16_224", dict(img_size=220), "img_size", "multiple of the patch 16x16"),
        ("gmlp_posgu_s16_224", dict(gate="gpe"), "gate", "allowed: sgu"),
        ("gmlp_posgu_xs1_8", dict(num_blocks="many"), "num_blocks", "found 'many'"),
        ("gmlp_posgu_xs1_8", dict(mlp_ratio=1.1), "mlp_ratio", "35 hidden channels"),
        ("gmlp_posgu_xs1_8", dict(global_pool="max"), "global_pool", "allowed: avg"),
    ],
)
def test_invalid_settings_are_refused_by_name(name, settings, key, hint):
    with pytest.raises(SettingError, match=hint) as caught, torch.device("meta"):
        timm.create_model(name, **settings)
    assert caught.value.key == key


@pytest.mark.parametrize("size", [448, (224, 448)])
def test_other_sizes_that_windows_divide_work(size):
    with torch.device("meta"):
        model = timm.create_model("posmlp_tiny_224", img_size=size)
        height, width = (size, size) if isinstance(size, int) else size
        assert model(torch.zeros(1, 3, height, width)).shape == (1, 1000)


@pytest.mark.parametrize(
    ("name", "num_classes", "groups", "mixing", "removed"),
    [
        ("gmlp_posgu_s16_224", 1000, 32, 6.0, 6.1),
        ("gmlp_posgu_xxs4_32", 10, 16, 8.7, 8.9),
        ("gmlp_posgu_xs4_32", 200, 32, 3.9, 4.1),
    ],
)
def test_shares_that_the_networks_documentation_names(name, num_classes, groups, mixing, removed):
    """In percent of the network with sgu: what mixes tokens, and what gqpe removes."""
    with torch.device("meta"):
        sgu, gqpe = (
            timm.create_model(name, gate=gate, groups=s, num_classes=num_classes)
            for gate, s in (("sgu", 1), ("gqpe", groups))
        )
    share = sum(token_mixing_parameters(sgu)) / num_parameters(sgu)
    assert round(100 * share, 1) == mixing
    assert round(100 * (1 - num_parameters(gqpe) / num_parameters(sgu)), 1) == removed
