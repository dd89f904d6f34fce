"""environment.yml, pyproject.toml and the installed packages agree."""

import importlib.metadata
import itertools
import re
import sysconfig
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from posmlp.study.yaml_files import read_mapping

ROOT = Path(__file__).parents[1]
ENVIRONMENT = read_mapping(ROOT / "environment.yml")
PIP = next(part["pip"] for part in ENVIRONMENT["dependencies"] if isinstance(part, dict))
PINS = {
    canonicalize_name(Requirement(line).name): Requirement(line) for line in PIP if line != "-e ."
}
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# torch pins CUDA's libraries by platform; pip comes with Python.
UNLISTED = re.compile(r"nvidia-(?!ml-py).*|cuda-.*|triton|pip|setuptools|wheel|posmlp")


def test_every_line_is_an_exact_version_and_the_project_itself_is_last():
    assert PIP[-1] == "-e ."
    for requirement in PINS.values():
        assert re.fullmatch(r"==[^*]+", str(requirement.specifier)), requirement


def test_pyproject_asks_for_nothing_else():
    extras = PYPROJECT["optional-dependencies"].values()
    for requirement in map(Requirement, itertools.chain(PYPROJECT["dependencies"], *extras)):
        pin = PINS.get(canonicalize_name(requirement.name))
        assert pin, f"environment.yml does not list {requirement.name}"
        version = str(pin.specifier).removeprefix("==")
        assert requirement.specifier.contains(version), f"{pin} is not {requirement}"


def test_installed_versions_are_the_listed_ones():
    # Not all of sys.path: torch.compile appends the packages that setuptools carries.
    distributions = importlib.metadata.distributions(path=[sysconfig.get_path("purelib")])
    installed = {canonicalize_name(d.metadata["Name"]): d.version for d in distributions}
    listed = {name: str(pin.specifier).removeprefix("==") for name, pin in PINS.items()}
    found = {n: v.partition("+")[0] for n, v in installed.items() if not UNLISTED.fullmatch(n)}
    assert found == listed, "run `make env` after a change of environment.yml"


INSTALLING = (
    "environment.yml",
    "pyproject.toml",
    "Makefile",
    ".ci/run",
    ".github/workflows/ci.yml",
)
INSTALLING += (".pre-commit-config.yaml", "Dockerfile", "apptainer.def")


@pytest.mark.parametrize("name", INSTALLING)
def test_no_registry_is_named(name):
    text = (ROOT / name).read_text()
    assert not re.search(r"index-url|pypi|files\.pythonhosted|find-links", text, re.IGNORECASE)
