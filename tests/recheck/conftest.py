"""A study of two runs of a second each, trained and written down as the workflow does it."""

import shutil
import tempfile
from pathlib import Path

import pytest
import torch
from checkout import SHEET, STUDY

from posmlp.analysis.collect import find_runs, runs_frame, write_curves, write_frame
from posmlp.analysis.figures.draw import draw_networks
from posmlp.analysis.statistics import summarise
from posmlp.recheck.derive import STUDY_PARTS, Collected
from posmlp.runs.execute import execute
from posmlp.runs.interrupts import Interrupts
from posmlp.study import load_study
from posmlp.training.distributed import World

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """Return a folder with tiny.yaml and all its results, runs too; tests copy what they change."""
    root = tmp_path_factory.mktemp("tiny")
    (root / "tiny.yaml").write_text(STUDY)
    (root / "tiny.tsv").write_text(SHEET)
    study, results = load_study(root / "tiny.yaml"), root / "results"
    for config in study.runs():
        execute(config, results, root, World(torch.device("cpu")), "train", Interrupts(10))
    folder, finished = results / "tiny", find_runs(study, results)
    folder.mkdir()
    write_frame(runs_frame(study, finished), folder / "runs.csv")
    write_curves(finished, folder / "curves.csv")
    collected = Collected.read(study, results)
    summary = summarise(collected.runs, study.reference)
    granularities = draw_networks([run.folder for run in finished], summary, folder / "figures")
    write_frame(granularities, folder / "granularity.csv")
    for part in STUDY_PARTS:
        part.make(collected, folder)
    return root


@pytest.fixture
def tiny(trained, tmp_path, monkeypatch) -> Path:
    """Return a copy of the study file, with its committed results beside it and no run folders."""
    for name in ("tiny.yaml", "tiny.tsv"):
        shutil.copy(trained / name, tmp_path)
    shutil.copytree(trained / "results/tiny", tmp_path / "results/tiny")
    (tmp_path / "work").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "work"))
    return tmp_path / "tiny.yaml"


@pytest.fixture
def edit(tiny):
    """Return a function that replaces a text, once, in a file of the committed results."""

    def replace(name: str, old: str, new: str) -> Path:
        path = tiny.parent / "results/tiny" / name
        content = path.read_bytes()
        assert old.encode() in content, f"{old!r} is not in {path}"
        path.write_bytes(content.replace(old.encode(), new.encode(), 1))
        return path

    return replace


@pytest.fixture
def read(tiny):
    """Return a function that reads the committed results."""
    return lambda: Collected.read(load_study(tiny), tiny.parent / "results")
