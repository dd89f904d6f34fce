"""The studies that ship: they load, their runs do not collide, and they say what they cost."""

from pathlib import Path

import pytest

from posmlp.config_readme import config_readme
from posmlp.study import check_models, load_study
from posmlp.study.yaml_files import read_mapping

CONFIG = Path(__file__).parents[2] / "config"
STUDIES = sorted(path.stem for path in (CONFIG / "studies").glob("*.yaml"))


def test_the_studies_are_there():
    shipped = {"digits", "fashion", "cifar10", "cifar100", "imagenet_gmlp", "imagenet_posmlp"}
    assert shipped | {"digits_switches", "fashion_full", "fashion_tuning"} == set(STUDIES)
    assert read_mapping(CONFIG / "config.yaml")["study"] == "digits"


@pytest.mark.parametrize("name", STUDIES)
def test_runs_have_keys_and_folders_of_their_own_and_networks_can_be_built(name):
    study = load_study(name, CONFIG / "studies")
    runs = study.runs()
    assert len({run.key for run in runs}) == len(runs)
    assert len({str(run.folder("results")).lower() for run in runs}) == len(runs)
    check_models(study)


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_opens_with_command_hardware_hours_and_result(name):
    lines = (CONFIG / "studies" / f"{name}.yaml").read_text().splitlines()[:4]
    labels = ["# Command:", "# Hardware:", "# Hours:", "# Expected:"]
    assert [line[: len(label)] for line, label in zip(lines, labels, strict=True)] == labels


def test_readme_describes_the_keys_as_they_are():
    assert (CONFIG / "README.md").read_text() == config_readme(), (
        "config/README.md is stale; update it: posmlp docs"
    )
