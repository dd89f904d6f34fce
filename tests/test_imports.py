"""A command imports what it needs: what only looks at results must not wait for torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LARGE = {"torch", "timm", "torchvision", "pandas", "matplotlib", "scipy", "mlflow", "sklearn"}
NETWORKS, TABLES = {"torch", "timm", "torchvision"}, {"pandas", "scipy"}
UNKNOWN = ("--study", "no_such_study")  # a user's mistake is told at once
NEEDED = {
    ("posmlp", "--help"): set(),
    ("posmlp", "train", "--variant", "sgu", "--seed", "0", *UNKNOWN): set(),
    ("posmlp", "train", "--variant", "sgu", "--seed", "0", "--study", "{study}"): NETWORKS,
    ("posmlp", "prepare", "--study", "{study}"): set(),
    ("posmlp", "calibrate", "--file", "none.csv", *UNKNOWN): set(),
    ("posmlp", "show", "digits"): TABLES,
    ("posmlp", "docs"): TABLES,
    ("posmlp.study",): set(),
    ("posmlp", "sync", "--results", "no-results"): set(),
    ("posmlp.released", "--help"): NETWORKS,
}
# Of the rules' scripts, before they begin; those that read networks import torch when they do.
SCRIPTS = {
    "audit": NETWORKS | TABLES,
    "checks": {"pandas"},
    "collect": {"pandas"},
    "comparison": TABLES,
    "describe": set(),
    "figures": TABLES | {"matplotlib"},
    "network_figures": TABLES | {"matplotlib"},
    "pages": TABLES,
    "plan": {"pandas"},
    "project_figures": TABLES | {"matplotlib"},
    "run_figures": {"pandas", "matplotlib"},
    "sync": set(),
    "tables": TABLES,
}
COMMAND = """
import os, runpy, sys
os._exit = sys.exit
sys.argv = {command!r}
try:
    runpy.run_module({command[0]!r}, run_name="__main__", alter_sys=True)
except SystemExit:
    pass
"""
REPORT = """
import sys
print("imported:", *(name for name in {names!r} if name in sys.modules))
"""
STUDY = """\
title: Tiny
question: What does a training import?
data: {name: digits, train_fraction: 0.1, eval_fraction: 0.1}
model: {name: gmlp_posgu_xs1_8, gate: sgu}
recipe: {epochs: 1, batch_size: 32, lr: 1e-2, weight_decay: 0.05}
seeds: [0]
reference: sgu
"""


def imported(program: str) -> set[str]:
    """Run a program in a process of its own; return which large libraries it has imported."""
    program += REPORT.format(names=sorted(LARGE))
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    words = done.stdout.splitlines()[-1].split()
    assert words[0] == "imported:"
    return set(words[1:])


@pytest.mark.parametrize("command", NEEDED, ids=" ".join)
def test_a_command_imports_no_large_library_that_it_does_not_need(command, tmp_path):
    study = tmp_path / "tiny.yaml"
    study.write_text(STUDY)
    study.with_suffix(".tsv").write_text("variant\tclaim\nsgu\tThe reference\n")
    words = [word.format(study=study) for word in command]
    if "{study}" in command:
        words += ["--results", str(tmp_path / "results")]
    assert imported(COMMAND.format(command=words)) <= NEEDED[command]
    trained = (tmp_path / "results/runs/tiny/sgu/seed0/metrics.json").exists()
    assert trained == (NEEDED[command] == NETWORKS and "train" in command)


def test_every_script_is_named():
    assert {path.stem for path in ROOT.glob("workflow/scripts/*.py")} == SCRIPTS.keys()


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_imports_no_large_library_that_it_does_not_need(name):
    tree = ast.parse((ROOT / f"workflow/scripts/{name}.py").read_text())
    lines = [
        ast.unparse(node) for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert imported("\n".join(lines)) <= SCRIPTS[name]
