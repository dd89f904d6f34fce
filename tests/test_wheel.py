"""The wheel outside a checkout, with only the core dependencies."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Libraries that `pip install posmlp` does not install.
WITHOUT = """\
import sys
names = ("pydantic", "ruamel", "pandas", "pyarrow", "snakemake", "mlflow", "scipy", "matplotlib")
sys.modules.update(dict.fromkeys(names))  # None makes their import fail
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder with the wheel's contents."""
    folder = tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "posmlp", folder / "source/posmlp", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q"]
    subprocess.run([*command, "-w", folder, folder / "source"], check=True)
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "installed")
    return folder / "installed"


def run(installed: Path, folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(installed)}
    command = [sys.executable, "-c", f"{WITHOUT}\n{program}"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_models_need_only_the_core(installed, tmp_path):
    program = "import posmlp.models, timm; print(posmlp.models.__file__)\n"
    program += "timm.create_model('posmlp_tiny_224', gate='lrpe')"
    done = run(installed, tmp_path, program)
    assert (done.returncode, done.stderr) == (0, "")
    assert str(installed) in done.stdout
    assert (installed / "posmlp/py.typed").exists()  # type checkers read the annotations


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (
            "sys.argv[1:] = ['plan', 'digits']; from posmlp.__main__ import main; main()",
            "error: the command posmlp needs ",
        ),
        ("import posmlp; posmlp.load_results", "ImportError: posmlp.load_results needs "),
    ],
)
def test_the_rest_names_the_extra_to_install(installed, tmp_path, program, message):
    done = run(installed, tmp_path, program)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(message)
    assert "pip install 'posmlp[study]'" in last
