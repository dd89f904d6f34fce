import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from posmlp.analysis.learned import load_learned, read_trajectory, window_map
from posmlp.layers import TokenMixing


@pytest.fixture
def run_folder(study, finish_run):
    """A run folder with the weights of a network with random centres and spreads."""
    run = study.run("gqpe_s4", 1)
    model = timm.create_model(**run.model_arguments())
    generator = torch.Generator().manual_seed(0)
    for name, value in model.named_parameters():
        if ".position" in name:
            value.data += torch.randn(value.shape, generator=generator)
    folder = finish_run(run)
    save_file(model.state_dict(), folder / "model.safetensors")
    return folder, model


def test_layers_are_those_of_the_finished_network(run_folder):
    folder, model = run_folder
    run = load_learned(folder)
    assert (run.title, run.trajectory) == ("gqpe_s4, seed 1", {})
    mixers = {name: m for name, m in model.named_modules() if isinstance(m, TokenMixing)}
    assert list(run.layers) == list(run.initial) == list(mixers)
    for name, mixer in mixers.items():
        found = window_map(run.layers[name])
        assert found.shape == (4, 8, 8, 8, 8)
        np.testing.assert_array_equal(found.reshape(4, 64, 64), mixer.token_map().detach())
        np.testing.assert_allclose(found.sum(axis=(3, 4)), 1, atol=1e-5)


def test_initial_layers_are_reproducible_and_leave_the_random_state_alone(run_folder):
    folder, _ = run_folder
    torch.manual_seed(5)
    first = load_learned(folder)
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), after)
    second = load_learned(folder)
    for name, layer in first.initial.items():
        assert torch.equal(layer.position.spread, second.initial[name].position.spread)
        assert (layer.position.spread - torch.eye(2)).abs().max() < 0.1


@pytest.mark.parametrize("damage", [lambda data: data[:40], lambda data: b"", lambda data: b"text"])
def test_a_damaged_trajectory_is_named(tmp_path, damage):
    path = tmp_path / "trajectory.npz"
    np.savez(path, a=np.zeros(3))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"trajectory\.npz: damaged"):
        read_trajectory(path)
