"""The released layout and ours: names and shapes of the release, and the same logits."""

import json
from pathlib import Path

import pytest
import timm
import torch

import posmlp.models  # noqa: F401  registers the backbones
from posmlp.layers.position import offset_index
from posmlp.released.architecture import released_network
from posmlp.released.convert import export_network

GOLDEN = Path(__file__).parents[1] / "golden"
SWITCHES = {"psd": "symmetric", "softmax": "use_softmax", "bias": "absolute_bias"}


@pytest.mark.parametrize(
    ("keys", "network", "gate"),
    [
        ("posmlp_t", "posmlp_tiny_224", "gqpe"),
        ("posmlp_t_lrpe", "posmlp_tiny_224", "lrpe"),
        ("posmlp_s", "posmlp_small_224", "gqpe"),
    ],
)
def test_names_and_shapes_are_the_released_ones(keys, network, gate):
    with torch.device("meta"):
        state = export_network(timm.create_model(network, gate=gate))
    released = json.loads((GOLDEN / f"{keys}.keys.json").read_text())
    assert {name: list(value.shape) for name, value in state.items()} == released


@pytest.mark.parametrize(
    "unit",
    [
        dict(gate="gqpe"),
        dict(gate="gqpe", psd=False),
        dict(gate="gqpe", softmax=False, bias=False),
        dict(gate="qpe"),
        dict(gate="lrpe"),
        dict(gate="lrpe", bias=False),
        dict(gate="fc_lrpe"),
        dict(gate="sgu"),
        dict(gate="sgu", bias=False),
    ],
    ids=str,
)
def test_there_and_back_gives_equal_logits(unit, small_posmlp):
    model = small_posmlp(**unit)
    options = {SWITCHES[name]: on for name, on in unit.items() if name in SWITCHES}
    back = released_network(export_network(model), options | {"img_size": (64, 64)})
    image = torch.randn(2, 3, 64, 64, dtype=torch.double)
    with torch.no_grad():
        logits = model(image)
        torch.testing.assert_close(back(image), logits, rtol=0, atol=1e-12)
    assert logits.std() > 0.01


def test_offset_tables_count_as_the_released_code_does(small_posmlp):
    """Query 0 and key 5 of a 4 x 4 window: one column to the right, one row down."""
    unit = "levels.0.encoder.0.gate_unit.pos"
    quadratic = export_network(small_posmlp(gate="gqpe"))[f"{unit}.rel_indices"]
    assert quadratic[0, 5].tolist() == [1, -1, 1, 1, -1]
    assert quadratic[2, 0].tolist() == [-2, 0, 4, 0, 0]
    table = export_network(small_posmlp(gate="lrpe"))[f"{unit}.window_relative_position_index"]
    assert table[0, 5] == (0 - 1 + 3) * 7 + (0 - 1 + 3)
    assert table.max() == offset_index((4, 4)).max()
