"""The shipped studies: they load, their runs do not collide and their networks can be built."""

import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from posmlp.config_readme import README, SCHEMAS, TABLES, renew_tables, schema
from posmlp.study import check_models, load_study
from posmlp.study.yaml_files import read_mapping

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config"
STUDIES = sorted(path.stem for path in (CONFIG / "studies").glob("*.yaml"))


@pytest.mark.parametrize("name", STUDIES)
def test_keys_are_unique_and_networks_can_be_built(name):
    study = load_study(name, CONFIG / "studies")
    runs = study.runs()
    assert len({run.key for run in runs}) == len(runs)
    check_models(study)


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_opens_with_command_hardware_hours_and_result(name):
    lines = (CONFIG / "studies" / f"{name}.yaml").read_text().splitlines()[:4]
    labels = ["# Command:", "# Hardware:", "# Hours:", "# Expected:"]
    assert [line[: len(label)] for line, label in zip(lines, labels, strict=True)] == labels


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.stem)
def test_schemas_are_those_of_the_settings(path):
    assert (ROOT / path).read_text() == schema(SCHEMAS[path]), "update it: posmlp docs"


@pytest.mark.parametrize("path", [*CONFIG.glob("**/*.yaml"), ROOT / "slurm/site.yaml"])
def test_an_editor_finds_the_schema_and_it_refuses_wrong_keys(path):
    named = re.search(r"^# yaml-language-server: \$schema=(.+)$", path.read_text(), re.MULTILINE)
    checked = Draft202012Validator(json.loads((path.parent / named[1]).read_text()))
    checked.validate(read_mapping(path))
    assert not checked.is_valid({"sead": 1})


def test_readme_describes_the_keys_as_they_are():
    text = (ROOT / README).read_text()
    assert text == renew_tables(text), "config/README.md is stale; update it: posmlp docs"
    assert text.count("<!-- keys:") == text.count("<!-- /keys -->") == len(TABLES)
