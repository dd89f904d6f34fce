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
def test_runs_have_keys_and_folders_of_their_own(name):
    study = load_study(name, CONFIG / "studies")
    runs = study.runs()
    assert len(runs) == len(study.variants) * len(study.seeds)
    assert len({run.key for run in runs}) == len(runs)
    assert len({str(run.folder("results")).lower() for run in runs}) == len(runs)


@pytest.mark.parametrize("name", STUDIES)
def test_networks_can_be_built(name):
    check_models(load_study(name, CONFIG / "studies"))


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_opens_with_command_hardware_hours_and_result(name):
    lines = (CONFIG / "studies" / f"{name}.yaml").read_text().splitlines()[:4]
    labels = ["# Command:", "# Hardware:", "# Hours:", "# Expected:"]
    assert [line[: len(label)] for line, label in zip(lines, labels, strict=True)] == labels


def test_digits_compares_every_unit_over_seeds():
    study = load_study("digits", CONFIG / "studies")
    gates = {run.model["gate"] for run in study.runs()}
    assert gates == {"sgu", "lrpe", "qpe", "gqpe", "fc_lrpe", "fc_gqpe"}
    assert len(study.seeds) >= 3


def test_readme_describes_the_keys_as_they_are():
    assert (CONFIG / "README.md").read_text() == config_readme(), (
        "config/README.md is stale; update it: posmlp docs"
    )
