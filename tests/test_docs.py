"""Documentation: links, names of networks, the site and the notebook."""

import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import nbformat
import pytest
import timm
import torch
from committed import ROOT as COMMITTED
from nbclient import NotebookClient

import posmlp.models  # noqa: F401  registers the backbones
from posmlp.runs.execute import execute
from posmlp.runs.interrupts import Interrupts
from posmlp.study import load_study
from posmlp.training.distributed import World

ROOT = Path(__file__).parents[1]
HERE = os.environ | {"PYTHONPATH": str(ROOT)}
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.fixture(scope="module")
def committed() -> set[Path]:
    """Files and folders in git or not yet added to it, without ignored ones."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    files = {ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).exists()}
    return files | {folder for file in files for folder in file.parents}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_committed_files(page, committed):
    links = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", page.read_text())
    missing = [link for link in links if (page.parent / link).resolve() not in committed]
    assert not missing


def test_every_network_that_is_named_is_registered(committed):
    """Everywhere but in the change log, which also names removed networks."""
    named = re.compile(r"\b(?:gmlp_posgu|posmlp)_[a-z]+\d*_\d+\b")
    texts = [path for path in committed if path.suffix in {".md", ".yaml", ".tsv", ".py"}]
    found = {
        name: path.name
        for path in texts
        if path.name != "CHANGELOG.md"
        for name in named.findall(path.read_text())
    }
    known = set(timm.list_models(["gmlp_posgu_*", "posmlp_*"]))
    assert {name: where for name, where in found.items() if name not in known} == {}


def test_the_site_builds_without_warnings_and_needs_no_network(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=HERE)
    assert done.returncode == 0, done.stderr
    pages = {path.name: path.read_text() for path in tmp_path.glob("*.html")}
    loaded = re.compile(r'<(?:script|img|link rel="stylesheet")[^>]*(?:src|href)="https?://')
    assert not [name for name, text in pages.items() if loaded.search(text)]
    for name in ("analysis.results.load_results", "runs.trained_run.load_run", "layers.GatingUnit"):
        assert f'id="posmlp.{name}"' in pages["reference.html"]
    assert (tmp_path / "source/posmlp/layers/position.py").exists()  # a page links to it


def test_the_notebook_runs_and_its_committed_table_is_current(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", HERE["PYTHONPATH"])
    monkeypatch.delenv("MPLBACKEND", raising=False)  # so that figures are shown, as in a notebook
    shutil.copytree(COMMITTED / "results/digits", tmp_path / "results/digits")
    run = load_study("digits", COMMITTED / "config/studies").run("gqpe_s4", 0)
    short = run.recipe.model_copy(update={"epochs": 1, "warmup_epochs": 0})
    results = tmp_path / "results"
    world, interrupts = World(torch.device("cpu")), Interrupts(checkpoint_minutes=10)
    execute(run.model_copy(update={"recipe": short}), results, results, world, "", interrupts)
    (tmp_path / "docs").mkdir()
    notebook = nbformat.read(COMMITTED / "docs/results.ipynb", as_version=4)
    before = outputs(notebook)
    where = {"metadata": {"path": tmp_path / "docs"}}
    after = outputs(NotebookClient(notebook, resources=where).execute())
    assert before["text/plain"][0] == after["text/plain"][0], "renew it with `make notebook`"
    assert len(before["image/png"]) == len(after["image/png"]) == 2  # curves and a learned map


def outputs(notebook: nbformat.NotebookNode) -> dict[str, list[str]]:
    """Outputs of all cells by type."""
    found = defaultdict(list)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            for kind, value in output.get("data", {}).items():
                found[kind].append(value)
    return found
