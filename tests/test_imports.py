"""Commands import only what they need; those that only read results must not import torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LARGE = {"torch", "timm", "torchvision", "pandas", "matplotlib", "scipy", "mlflow", "sklearn"}
NETWORKS, TABLES = {"torch", "timm", "torchvision"}, {"pandas", "scipy"}
NEEDED = {
    "--help": set(),
    "train no_such_study sgu/seed0": set(),  # a user's mistake is reported at once
    "train {study} --results {results}": NETWORKS,
    "train {study} --part 1/2 --results {results}": set(),  # no run is in this part
    "prepare {study} --results {results}": set(),
    "plan {study} --results {results}": TABLES,  # the power of its questions
    "show digits": TABLES,
    "sync --results {results}": set(),
}
COMMAND = """
import sys
from posmlp.cli import main
try:
    main({words!r})
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
    """Run a program in a new process; return the large libraries that it imported."""
    program += REPORT.format(names=sorted(LARGE))
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    words = done.stdout.splitlines()[-1].split()
    assert words[0] == "imported:"
    return set(words[1:])


@pytest.mark.parametrize("command", NEEDED)
def test_a_command_imports_no_large_library_that_it_does_not_need(command, tmp_path):
    study, results = tmp_path / "tiny.yaml", tmp_path / "results"
    study.write_text(STUDY)
    study.with_suffix(".tsv").write_text("variant\tclaim\nsgu\tThe reference\n")
    words = command.format(study=study, results=results).split()
    assert imported(COMMAND.format(words=words)) <= NEEDED[command]
    trained = (results / "runs/tiny/sgu/seed0/metrics.json").exists()
    assert trained == (NEEDED[command] == NETWORKS)


def test_scripts_import_neither_networks_nor_mlflow_before_they_begin():
    lines = [
        ast.unparse(node)
        for path in ROOT.glob("workflow/scripts/*.py")
        if path.stem != "audit"  # counts the parameters of networks
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert imported("\n".join(lines)) <= TABLES | {"matplotlib"}
