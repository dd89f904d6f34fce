"""Checkpoints of the authors: what is read, and what is refused and not executed."""

import argparse
import os
from pathlib import Path

import pytest
import torch

from posmlp.released.convert import ReleasedError, architecture, released_network
from posmlp.released.evaluate import published_model
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
    with pytest.raises(ReleasedError, match="has only raw weights; omit 'ema'"):
        read_checkpoint(path, "ema")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_bare_state_dict_is_read(tmp_path, tiny_state, zipped):
    path = tmp_path / "weights.pth"
    torch.save(tiny_state, path, _use_new_zipfile_serialization=zipped)
    found = read_checkpoint(path)
    assert found.weights == ""
    assert found.state.keys() == tiny_state.keys()


@pytest.mark.parametrize("kept", [argparse.Namespace, dict])
def test_switches_come_from_the_recorded_arguments(write_checkpoint, kept):
    options = {"symmetric": False, "windows": [14], "img_size": [224, 224]}
    found = read_checkpoint(write_checkpoint(args=kept(model_hyper=options)))
    assert found.options == {"symmetric": False, "img_size": (224, 224)}
    assert architecture(found.state, found.options)["psd"] is False


@pytest.mark.parametrize("zipped", [True, False])
def test_a_malicious_file_is_refused_and_not_executed(tmp_path, tiny_state, zipped):
    path, proof = tmp_path / "evil.pth", tmp_path / "executed"
    content = {"state_dict": tiny_state, "args": Attack(proof)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ReleasedError, match=r"evil.pth: .*it would load posix.system.*refused"):
        read_checkpoint(path)
    assert not proof.exists()
    torch.load(path, weights_only=False)  # the attack would have worked
    assert proof.exists()


@pytest.mark.parametrize("fraction", [0.0, 0.5, 0.999])
def test_a_truncated_file_is_refused(write_checkpoint, fraction):
    path = write_checkpoint()
    whole = path.read_bytes()
    path.write_bytes(whole[: int(fraction * len(whole))])
    with pytest.raises(ReleasedError, match=r"it may be incomplete.*or download it again"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "contains a list"),
        ({"state_dict": {"conv1.weight": torch.zeros(1)}}, "found conv1.weight.*validate.py"),
        ({"stages.0.blocks.0.norm.weight": torch.zeros(1)}, "run of ours, see the accuracy"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    path = tmp_path / "other.pth"
    torch.save(content, path)
    with pytest.raises(ReleasedError, match=message):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (
            {"levels.2.encoder.3.norm.bias": None},
            'Missing key(s) in state_dict: "stages.2.blocks.3',
        ),
        ({"levels.2.encoder.3.proj_c_e.bias": None}, "fc1.bias' of the released PosMLP is missing"),
        ({"norm.weight": None}, 'Missing key(s) in state_dict: "norm.weight"'),
        ({"absolute_pos_embed": torch.zeros(1)}, "has no tensor 'absolute_pos_embed'"),
        (
            {"levels.0.encoder.0.gate_unit.pos.scale": torch.zeros(1)},
            "has no tensor 'levels.0.encoder.0.gate_unit.pos.scale'",
        ),
        ({"head.bias": torch.zeros(7)}, "size mismatch for head.fc.bias"),
        ({"norm.weight": torch.full((768,), torch.nan)}, "NaN or infinity in 1 tensors, such as n"),
    ],
)
def test_missing_surplus_and_misshaped_tensors_are_named(tiny_state, harm, message):
    state = {name: value for name, value in (tiny_state | harm).items() if value is not None}
    with pytest.raises(ReleasedError) as error:
        released_network(state, {})
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("keys", "name"),
    [("posmlp_t", "PosMLP-T"), ("posmlp_t_lrpe", "PosMLP-T, LRPE"), ("posmlp_s", "PosMLP-S")],
)
def test_the_released_networks_are_recognised_by_their_shapes(state_of, keys, name):
    """Names and shapes are those that the release writes."""
    model = released_network(state_of(keys), {})
    assert published_model(model, {})[0] == name
    assert published_model(model, {"symmetric": False}) == ("not a published one", [])
