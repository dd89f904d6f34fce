"""A command imports what it needs: what only looks at results must not wait for torch."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LARGE = {"torch", "timm", "torchvision", "pandas", "matplotlib", "scipy", "mlflow", "sklearn"}
NEEDED = {
    ("posmlp", "--help"): set(),
    ("posmlp.study",): set(),
    ("posmlp.tracking", "--help"): set(),
    ("posmlp", "show", "digits"): {"pandas", "scipy"},
    ("posmlp", "docs"): {"pandas", "scipy"},
}
PROGRAM = """
import runpy, sys
sys.argv = {command!r}
try:
    runpy.run_module({command[0]!r}, run_name="__main__", alter_sys=True)
except SystemExit:
    pass
print("imported:", *(name for name in {names!r} if name in sys.modules))
"""


@pytest.mark.parametrize("command", NEEDED, ids=" ".join)
def test_a_command_imports_no_large_library_that_it_does_not_need(command):
    program = PROGRAM.format(command=list(command), names=sorted(LARGE))
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    imported = done.stdout.splitlines()[-1].split()
    assert imported[0] == "imported:"
    assert set(imported[1:]) <= NEEDED[command]
