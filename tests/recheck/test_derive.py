"""Committed results: those of digits are made again, and so is what belongs to no study."""

import shutil
from pathlib import Path

import pytest

from posmlp.recheck.derive import Collected, derive_project, derive_study
from posmlp.study import load_study

ROOT = Path(__file__).parents[2]


def test_the_committed_results_of_digits_are_made_again(tmp_path):
    study = load_study(ROOT / "config/studies/digits.yaml")
    files = derive_study(Collected.read(study, ROOT / "results"), tmp_path)
    assert [(file.path, file.fault) for file in files if file.fault] == []
    folder = ROOT / "results/digits"
    named = ("comparison.json", "model_card.md", "results.md", "results.tex", "checks.md")
    patterns = ("tables/*", "figures/*.*", "figures/run_curves/*", *named)
    found = {path for pattern in patterns for path in folder.glob(pattern)}
    committed = {path for path in found if not path.name.startswith(".")}
    assert {file.path for file in files} == committed
    assert len(committed) > len(study.variants)


@pytest.fixture
def results(tmp_path) -> Path:
    copy = tmp_path / "results"
    names = ("*.png", "*.pdf", "run_curves", "learned_maps", "token_maps", "position_bias")
    shutil.copytree(ROOT / "results", copy, ignore=shutil.ignore_patterns(*names, "runs", "logs"))
    for path in (ROOT / "results/figures").iterdir():
        shutil.copy(path, copy / "figures")
    return copy


def test_audit_figures_and_pages_are_made_again_and_changes_in_them_found(results, tmp_path):
    audit, figure = results / "audit/audit.csv", results / "figures/released_curves.pdf"
    audit.write_text(audit.read_text().replace("18229856", "18229857"))
    figure.write_bytes(figure.read_bytes() + b" ")
    files = derive_project(results, tmp_path / "anew")
    assert {file.path for file in files if file.fault} == {audit, figure}
    kinds = {file.kind for file in files}
    assert kinds == {"published numbers", "figures without runs", "README and docs"}
    assert Path("README.md") in {file.path for file in files}
