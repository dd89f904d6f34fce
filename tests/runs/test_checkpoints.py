"""Checkpoints: the last two are kept, damage is detected, and no code in them runs."""

import hashlib
import io
import pickle

import pytest
import torch

from posmlp.runs.checkpoints import CheckpointError, Checkpoints, read_checkpoint


@pytest.fixture
def saved(make_config, tmp_path):
    """A folder with the checkpoints of three positions; two are left."""
    checkpoints = Checkpoints(tmp_path)
    config = make_config().model_dump(mode="json")
    for epoch, step in ((0, 3), (1, 0), (1, 2)):
        state = {"config": config, "epoch": epoch, "step": step, "weights": torch.rand(100)}
        checkpoints.save(state)
    return checkpoints


def damage(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_the_last_two_are_kept_and_the_newest_is_loaded(saved):
    positions = [path.name.split("-")[1:3] for path in saved.newest_first()]
    assert positions == [["00001", "0000002"], ["00001", "0000000"]]
    state = saved.load()
    assert (state["epoch"], state["step"]) == (1, 2)


@pytest.mark.parametrize("harm", [damage, lambda path: path.write_bytes(path.read_bytes()[:-10])])
def test_a_damaged_newest_is_reported_and_the_one_before_used(saved, capsys, harm):
    newest = saved.newest_first()[0]
    harm(newest)
    state = saved.load()
    assert (state["epoch"], state["step"]) == (1, 0)
    assert f"{newest} is damaged" in capsys.readouterr().out
    saved.save(state | {"step": 1})
    assert len(saved.newest_first()) == 2
    assert saved.load()["step"] == 1  # the damaged one is no longer in the way


def test_all_damaged_is_an_error_that_says_how_to_start_again(saved):
    for path in saved.newest_first():
        damage(path)
    with pytest.raises(CheckpointError, match=r"no intact checkpoint.*start this run again: rm"):
        saved.load()
    assert len(saved.newest_first()) == 2


class Malicious:
    def __reduce__(self):
        return print, ("code from a checkpoint ran",)


def test_code_in_a_checkpoint_does_not_run(tmp_path, capsys):
    buffer = io.BytesIO()
    torch.save({"config": Malicious()}, buffer, pickle_module=pickle)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()[:16]
    path = tmp_path / f"checkpoint-00001-0000000-{digest}.pt"
    path.write_bytes(buffer.getvalue())
    with pytest.raises(CheckpointError, match="is not a checkpoint"):
        read_checkpoint(path)
    assert "ran" not in capsys.readouterr().out
