"""Figures of networks; those of studies are drawn in test_layout.py."""

from pathlib import Path

import numpy as np
import pytest
import timm
from safetensors.torch import save_file

from posmlp.analysis.figures.catalogue import draw_network, figures_from
from posmlp.analysis.learned import load_learned

ROOT = Path(__file__).parents[3]


def test_figures_of_networks_have_captions():
    captions = {path.stem for path in (ROOT / "workflow/report").glob("*.rst")} - {"workflow"}
    assert captions == {entry.name for entry in figures_from("network")}


@pytest.fixture
def learned(study, finish_run):
    """A function that reads a run of a variant, with untrained weights and a made-up trajectory."""

    def read(variant: str):
        run = study.run(variant, 0)
        folder = finish_run(run)
        model = timm.create_model(**run.model_arguments())
        save_file(model.state_dict(), folder / "model.safetensors")
        values = {
            name: np.stack([value.detach().numpy()] * 3)
            for name, value in model.named_parameters()
            if name.endswith(("position.center", "position.spread"))
        }
        np.savez(folder / "trajectory.npz", **values)
        return load_learned(folder)

    return read


@pytest.mark.parametrize(
    ("variant", "drawn"),
    [
        ("sgu", {"learned_maps"}),
        ("gqpe_s4", {"learned_maps", "trajectories"}),
    ],
)
def test_a_network_gets_the_figures_that_show_something(variant, drawn, learned, tmp_path):
    run = learned(variant)
    draw_network(run, tmp_path / "figures")
    folders = {path.name for path in (tmp_path / "figures").iterdir()}
    assert folders == {entry.name for entry in figures_from("network")}
    pictures = {path.parent.name for path in tmp_path.glob(f"figures/*/{variant}.png")}
    assert pictures == drawn
    assert {path.stem for path in run.folder.glob("figures/*.png")} == drawn  # for MLflow
