import numpy as np
import pytest
import timm
import torch

from posmlp.analysis.maps import MAX_GROUPS, MAX_LAYERS, evenly_spaced, learned_maps, load_maps
from posmlp.layers import TokenMixing


@pytest.fixture
def run_folder(study, tmp_path):
    """A run folder with the checkpoint of a network whose centres and spreads are drawn."""
    run = study.run("gqpe_s4", 1)
    model = timm.create_model(**run.model_arguments())
    generator = torch.Generator().manual_seed(0)
    for name, value in model.named_parameters():
        if ".position" in name:
            value.data += torch.randn(value.shape, generator=generator)
    folder = run.folder(tmp_path)
    folder.mkdir(parents=True)
    run.write(folder / "config.yaml")
    torch.save({"model": model.state_dict(), "epoch": 1}, folder / "checkpoint.pt")
    return folder, model


def test_loaded_maps_are_those_of_the_checkpoint(run_folder):
    folder, model = run_folder
    maps = load_maps(folder)
    mixers = {name: m for name, m in model.named_modules() if isinstance(m, TokenMixing)}
    assert list(maps) == list(mixers)
    for name, mixer in mixers.items():
        assert maps[name].shape == (4, 8, 8, 8, 8)
        expected = mixer.token_map().detach().numpy()
        np.testing.assert_array_equal(maps[name].reshape(4, 64, 64), expected)
        np.testing.assert_allclose(maps[name].sum(axis=(3, 4)), 1, atol=1e-5)


def made_up(num_layers: int, num_groups: int, h: int, w: int, sign: float) -> dict:
    random = np.random.default_rng(0)
    shape = (num_groups, h, w, h, w)
    return {f"layer{i}": random.uniform(sign, 1, shape) for i in range(num_layers)}


def test_images_are_the_rows_of_the_query():
    maps = made_up(2, 3, 4, 5, sign=0)
    figure = learned_maps(maps, "gqpe_s3, seed 0", query=(0.5, 0.2))
    panels = np.array(figure.axes[:6]).reshape(3, 2)  # groups by layers
    for column, layer in enumerate(maps.values()):
        for group in range(3):
            (image,) = panels[group, column].images
            np.testing.assert_array_equal(image.get_array(), layer[group, 2, 1])
            ring = panels[group, column].lines[-1]
            assert ring.get_xydata().tolist() == [[1, 2]]
    title = " ".join(figure.get_suptitle().split())
    assert "gqpe_s3, seed 0" in title
    assert "row 2, column 1 of 4×5" in title


@pytest.mark.parametrize(("sign", "colours"), [(0, "cividis"), (-1, "RdBu_r")])
def test_a_layer_has_one_scale_and_negative_weights_a_diverging_one(sign, colours):
    maps = made_up(1, 3, 4, 4, sign)
    images = [axes.images[0] for axes in learned_maps(maps, "T").axes[:3]]
    limit = np.abs(maps["layer0"][:, 2, 2]).max()
    assert {image.get_clim() for image in images} == {(-limit if sign else 0, limit)}
    assert {image.get_cmap().name for image in images} == {colours}


def test_large_networks_are_sampled_from_first_to_last():
    maps = made_up(30, 32, 2, 2, sign=0)
    figure = learned_maps(maps, "T")
    panels = figure.axes[: MAX_LAYERS * MAX_GROUPS]
    titles = [axes.get_title() for axes in panels[:MAX_LAYERS]]
    assert (titles[0], titles[-1]) == ("layer 1", "layer 30")
    groups = [axes.get_ylabel() for axes in panels[::MAX_LAYERS]]
    assert (groups[0], groups[-1], len(groups)) == ("group 1", "group 32", MAX_GROUPS)
    assert figure.get_size_inches()[0] == 7.0


def test_layers_may_differ_in_window_and_groups():
    maps = made_up(1, 2, 4, 4, sign=0) | {"last": made_up(1, 5, 3, 3, sign=0)["layer0"]}
    figure = learned_maps(maps, "T")
    panels = np.array(figure.axes[:10]).reshape(5, 2)
    assert [len(axes.images) for axes in panels[:, 0]] == [1, 1, 0, 0, 0]
    assert panels[4, 1].images[0].get_array().shape == (3, 3)
    title = " ".join(figure.get_suptitle().split())
    assert "row 2, column 2 of 4×4 and row 1, column 1 of 3×3" in title


def test_evenly_spaced():
    assert evenly_spaced(30, 7) == [0, 5, 10, 14, 19, 24, 29]
    assert evenly_spaced(3, 7) == [0, 1, 2]
    assert evenly_spaced(1, 7) == [0]
