"""Every registered figure can be drawn from what its source offers, and has a caption."""

import inspect
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import timm
from safetensors.torch import save_file

from posmlp.analysis.collect import find_runs, read_frame, runs_frame, write_curves
from posmlp.analysis.figures.draw import draw_figures, draw_networks, draw_run
from posmlp.analysis.figures.registry import FIGURES, figures_from
from posmlp.analysis.figures.released_logs import read_released_logs
from posmlp.analysis.statistics import summarise

ROOT = Path(__file__).parents[3]
OFFERED = {
    ("project", False): {"released"},
    ("runs", False): {"summary", "curves", "overlay"},
    ("networks", False): {"summary", "granularities"},
    ("networks", True): {"run"},
}
KINDS = ("pdf", "svg", "png")


@pytest.mark.parametrize("entry", FIGURES, ids=lambda entry: entry.name)
def test_an_entry_names_a_function_its_inputs_and_a_caption(entry):
    function = getattr(import_module(f"posmlp.analysis.figures.{entry.module}"), entry.name)
    offered = OFFERED[entry.source, entry.each_variant]
    assert set(inspect.signature(function).parameters) <= offered
    assert (ROOT / f"workflow/report/{entry.name}.rst").read_text().strip()


def test_names_and_captions_are_those_of_the_list():
    names = [entry.name for entry in FIGURES]
    assert len(set(names)) == len(names)
    captions = {path.stem for path in (ROOT / "workflow/report").glob("*.rst")} - {"workflow"}
    assert captions == set(names)


def assert_drawn(folder: Path, entries: list) -> None:
    for entry in entries:
        for kind in KINDS:
            assert (folder / f"{entry.name}.{kind}").stat().st_size > 1000


def test_figures_of_the_project_need_no_run(tmp_path):
    logs = read_released_logs(ROOT / "workflow/resources/released_logs")
    draw_figures("project", {"released": logs}, tmp_path)
    assert_drawn(tmp_path, figures_from("project"))


def test_figures_of_runs_are_drawn_from_collected_frames(study, finished, tmp_path):
    found = find_runs(study, finished)
    write_curves(found, tmp_path / "curves.csv")
    runs, curves = runs_frame(study, found), read_frame(tmp_path / "curves.csv")
    inputs = {"summary": summarise(runs, "sgu"), "curves": curves, "overlay": {}}
    draw_figures("runs", inputs, tmp_path)
    assert_drawn(tmp_path, figures_from("runs"))


def test_figures_of_networks_are_drawn_where_they_have_something_to_show(study, finished, tmp_path):
    folders = []
    for variant in study.variants:
        run = study.run(variant.name, 0)
        folders.append(run.folder(finished))
        model = timm.create_model(**run.model_arguments())
        save_file(model.state_dict(), folders[-1] / "model.safetensors")
        values = {
            name: np.stack([value.detach().numpy()] * 3)
            for name, value in model.named_parameters()
            if name.endswith(("position.center", "position.spread"))
        }
        if values:
            np.savez(folders[-1] / "trajectory.npz", **values)
    runs = runs_frame(study, find_runs(study, finished))
    found = draw_networks(folders, summarise(runs, "sgu"), tmp_path / "figures")
    assert_drawn(tmp_path / "figures", figures_from("networks"))
    names = {
        entry.name: {path.stem for path in (tmp_path / "figures" / entry.name).glob("*.pdf")}
        for entry in figures_from("networks", each_variant=True)
    }
    all_names = {variant.name for variant in study.variants}
    assert names == {
        "run_curves": all_names,
        "learned_maps": all_names,
        "token_maps": set(),
        "position_bias": all_names,
        "trajectories": all_names - {"sgu"},
    }
    copied = {path.name for path in (folders[1] / "figures").iterdir()}
    drawn = {f"{name}.png" for name in ("run_curves", "learned_maps", "position_bias")}
    assert copied == drawn | {"trajectories.png"}
    assert found.groupby("variant", sort=False)["group"].max().to_dict() == {
        "sgu": 1,
        "gqpe_s4": 4,
        "gqpe_s4_nosoftmax": 4,
    }
    assert isinstance(found, pd.DataFrame)
    drawn = draw_networks(folders[:1], summarise(runs, "sgu"), tmp_path / "again", folders[1:])
    pd.testing.assert_frame_equal(drawn, found)  # numbers of the others too, and no figures
    assert {path.stem for path in (tmp_path / "again/run_curves").glob("*.pdf")} == {"sgu"}


def test_every_other_run_has_its_figures_in_its_folder_drawn_once(study, finished):
    run = study.run("gqpe_s4", 1)
    folder = run.folder(finished)
    save_file(timm.create_model(**run.model_arguments()).state_dict(), folder / "model.safetensors")
    draw_run(folder)
    drawn = {path.name for path in (folder / "figures").glob("*.png")}
    assert drawn == {"run_curves.png", "learned_maps.png", "position_bias.png"}
    picture = folder / "figures/run_curves.png"
    picture.write_bytes(b"as it was")
    draw_run(folder)
    assert picture.read_bytes() == b"as it was"
    (folder / "metrics.json").write_text((folder / "metrics.json").read_text() + " ")
    draw_run(folder)  # trained anew
    assert picture.stat().st_size > 1000
