"""Published numbers: the files that are here, and what is wrong with others in words."""

from pathlib import Path

import pandas as pd
import pytest

from posmlp.published import RESOURCES, read_published
from posmlp.study import StudyError, load_study

ROOT = Path(__file__).parents[1]
NUMBERS = """\
source,model,weights,quantity,value,unit,confidence,where,known_difference,note
readme,PosMLP-T,,params,21,M,verbatim,table,,
readme,PosMLP-T,,top1,82.10,%,verbatim,table,,
"""
MODELS = """\
model,network,arguments,study,variant,match,note
PosMLP-T,posmlp_tiny_224,"{gate: gqpe, groups: 8}",imagenet_posmlp,tiny,stated,
AS-MLP-S,,,,,none,not in timm
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "published.csv").write_text(NUMBERS)
    (tmp_path / "counterparts.csv").write_text(MODELS)
    return tmp_path


@pytest.fixture(scope="module")
def shipped():
    return read_published(ROOT / RESOURCES)


def test_a_number_keeps_its_digits(folder):
    (params, top1), models = read_published(folder)
    assert (params.number, params.printed(20_925_538)) == (21e6, "21")
    assert (top1.number, top1.printed(82.096)) == (82.1, "82.10")
    assert models["PosMLP-T"].arguments == {"gate": "gqpe", "groups": 8}
    assert models["AS-MLP-S"].network == ""


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("weights,", "wieghts,", "row 1: the columns should be source, model, weights"),
        (",21,", ",~21,", "row 2, column value: "),
        (",21,M,", ",21,%,", "row 2, column unit: params is given in 1 or M"),
        ("readme,PosMLP-T,,top1", "paper,PosMLP-T,,top1", "row 3, column source: "),
        (
            ",top1,82.10,%,",
            ",params,82.10,M,",
            "row 3: readme, PosMLP-T, params is a duplicate",
        ),
        ("PosMLP-T,,top1", "PosMLP-TT,,top1", "column model: PosMLP-TT not in "),
        ("table,,\nreadme", "table,\nreadme", "row 2: should have 10 cells"),
        ("table,,\nreadme", '"table,,\nreadme', "not CSV"),
        ("{gate: gqpe, groups: 8}", "{gate: gqpe", "row 2, column arguments: "),
    ],
)
def test_a_mistake_names_file_row_and_column(folder, old, new, words):
    name, text = ("published", NUMBERS) if old in NUMBERS else ("counterparts", MODELS)
    assert old in text
    path = folder / f"{name}.csv"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(StudyError) as error:
        read_published(folder)
    assert str(path) in str(error.value)
    assert words in str(error.value)


def test_every_counterpart_is_the_network_that_its_study_trains(shipped):
    _, models = shipped
    trained = [model for model in models.values() if model.study]
    assert len(trained) >= 20
    for model in trained:
        run = load_study(model.study, ROOT / "config/studies")
        settings = dict(run.configs[model.variant].model)
        assert settings.pop("name") == model.network
        wanted = {"groups": [8, 16, 32, 64], "gate": "gqpe"} | model.arguments
        for key in ("gate", "groups"):
            found = settings.get(key)
            if found is not None:
                assert (list(found) if isinstance(found, tuple) else found) == wanted[key], model


def test_all_of_the_readme_and_the_abstract_is_here(shipped):
    numbers, _ = shipped
    params = {n.model: n.value for n in numbers if (n.source, n.quantity) == ("readme", "params")}
    assert len(params) == 14
    assert params["ResMLP-B24"] == "116"
    abstract = {n.value for n in numbers if n.source == "abstract"}
    assert abstract == {"19.4", "72.14", "18.2", "74.02"}
    assert {n.confidence for n in numbers if n.source == "code"} == {"computed", "inferred"}


def test_numbers_of_the_logs_are_in_the_released_logs(shipped):
    numbers = [number for number in shipped[0] if number.source == "log"]
    assert len(numbers) == 16
    for number in numbers:
        log = pd.read_csv(ROOT / RESOURCES / f"released_logs/{number.model}.csv")
        column = f"{'ema_' if number.weights.endswith('ema') else ''}eval_{number.quantity}"
        best = number.weights.startswith("best")
        row = log[column].idxmax() if best else log.index[-1]
        assert number.value == number.printed(log[column][row])
        assert number.where == f"logs/{number.model}.csv, epoch {log['epoch'][row]}"
