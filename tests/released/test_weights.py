"""Checkpoints of the authors: what is taken from them, and what is refused and not executed."""

import argparse
import json
import os
from pathlib import Path

import pytest
import timm
import torch

from posmlp.released.convert import (
    ReleasedError,
    architecture,
    released_layout,
    released_network,
)
from posmlp.released.weights import read_checkpoint


class Attack:
    """Unpickling it runs a command that leaves a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


def test_averaged_weights_come_first_and_raw_ones_on_request(write_checkpoint, tiny_state):
    raw = {f"module.{name}": value + 1 for name, value in tiny_state.items()}
    path = write_checkpoint(state_dict=raw)
    for weights, wanted, more in ((None, "ema", 0), ("raw", "raw", 1)):
        found = read_checkpoint(path, weights)
        assert (found.weights, found.epoch) == (wanted, 299)
        assert torch.equal(found.state["head.bias"], tiny_state["head.bias"] + more)
    path = write_checkpoint(state_dict_ema=None)
    assert read_checkpoint(path).weights == "raw"
    with pytest.raises(ReleasedError, match="has raw weights only; leave 'ema' out"):
        read_checkpoint(path, "ema")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_bare_state_dict_is_read(tmp_path, tiny_state, zipped):
    path = tmp_path / "weights.pth"
    torch.save(tiny_state, path, _use_new_zipfile_serialization=zipped)
    found = read_checkpoint(path)
    assert found.weights == ""
    assert found.state.keys() == tiny_state.keys()


@pytest.mark.parametrize("kept", [argparse.Namespace, dict])
def test_switches_that_no_shape_tells_come_from_the_kept_arguments(write_checkpoint, kept):
    options = {"symmetric": False, "windows": [14], "img_size": [224, 224]}
    found = read_checkpoint(write_checkpoint(args=kept(model_hyper=options)))
    assert found.options == {"symmetric": False, "img_size": (224, 224)}
    assert architecture(found.state, found.options)["psd"] is False


@pytest.mark.parametrize("zipped", [True, False])
def test_a_malicious_file_is_refused_and_not_executed(tmp_path, tiny_state, zipped):
    path, proof = tmp_path / "evil.pth", tmp_path / "executed"
    content = {"state_dict": tiny_state, "args": Attack(proof)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ReleasedError, match=r"evil.pth: .*asks to load posix.system.*refused"):
        read_checkpoint(path)
    assert not proof.exists()
    torch.load(path, weights_only=False)  # the attack would have worked
    assert proof.exists()


@pytest.mark.parametrize("fraction", [0.0, 0.5, 0.999])
def test_a_truncated_file_is_refused(write_checkpoint, fraction):
    path = write_checkpoint()
    whole = path.read_bytes()
    path.write_bytes(whole[: int(fraction * len(whole))])
    with pytest.raises(ReleasedError, match=r"it may be incomplete.*download it again"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([1, 2], "holds a list"),
        ({"state_dict": {"conv1.weight": torch.zeros(1)}}, "found conv1.weight.*validate.py"),
        ({"stages.0.blocks.0.norm.weight": torch.zeros(1)}, "a run of ours is in "),
    ],
)
def test_other_files_are_refused(tmp_path, content, said):
    path = tmp_path / "other.pth"
    torch.save(content, path)
    with pytest.raises(ReleasedError, match=said):
        read_checkpoint(path)


def test_missing_surplus_and_misshaped_tensors_are_named_and_counted(tiny_state):
    state = dict(tiny_state)
    for block in range(5):
        del state[f"levels.2.encoder.{block}.norm.bias"]
    state["absolute_pos_embed"] = torch.zeros(1)
    state["head.bias"] = torch.zeros(7)
    state["norm.weight"] = torch.full_like(state["norm.weight"], torch.nan)
    with pytest.raises(ReleasedError) as error:
        released_network(state, {})
    text = str(error.value)
    assert "5 missing: levels.2.encoder.0.norm.bias, " in text
    assert "and 2 more" in text
    assert "1 unknown: absolute_pos_embed" in text
    assert "1 of a wrong shape: head.bias [7] instead of [3]" in text
    assert "1 with NaN or infinity: norm.weight" in text


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
        layout = released_layout(timm.create_model(network, gate=gate))
    path = Path(__file__).parents[1] / f"golden/{keys}.keys.json"
    assert {name: list(shape) for name, shape in layout.items()} == json.loads(path.read_text())


@pytest.mark.parametrize("gate", ["gqpe", "lrpe", "sgu", "fc_lrpe", "qpe"])
def test_units_are_told_apart_by_their_names(small_state, gate):
    shape = architecture(small_state(gate=gate), {"img_size": (64, 64)})
    assert shape["gate"] == gate
    assert shape["groups"] == ((1, 1, 1) if gate == "sgu" else (2, 4, 4))
    assert (shape["dims"], shape["depths"]) == ((8, 16, 32), (1, 2, 1))
    assert (shape["windows"], shape["mlp_ratios"]) == ((4, 4, 4), (4, 4, 2))
