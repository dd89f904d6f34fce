"""The committed published numbers are valid and agree with their sources."""

from pathlib import Path

import pandas as pd
import pytest

from posmlp.published import RESOURCES, Published, read_published
from posmlp.study import load_study

ROOT = Path(__file__).parents[1]
UNITS = {"params": "1M", "macs": "G", "fvcore": "G", "top1": "%", "top5": "%"}
ALLOWED = {
    "source": {"abstract", "readme", "log", "code"},
    "weights": {"", "best raw", "best ema", "last raw", "last ema"},
    "quantity": UNITS.keys(),
    "confidence": {"verbatim", "computed", "inferred"},
}


@pytest.fixture(scope="module")
def shipped():
    return read_published(ROOT / RESOURCES)


def test_every_row_is_valid(shipped):
    numbers, models = shipped
    for number in numbers:
        assert all(getattr(number, column) in values for column, values in ALLOWED.items()), number
        assert number.unit in UNITS[number.quantity], number
        assert number.printed(number.number) == number.value, number
        assert number.where, number
        assert number.model in models, number
        assert bool(int(number.known_difference or 0)) <= bool(number.note), number
    assert {model.match for model in models.values()} == {"stated", "inferred", "none"}
    assert all(bool(m.network) == (m.match != "none") for m in models.values())


@pytest.mark.parametrize(
    ("name", "key"),
    [("published", ["source", "model", "weights", "quantity"]), ("counterparts", ["model"])],
)
def test_no_row_is_a_duplicate(name, key):
    rows = pd.read_csv(ROOT / RESOURCES / f"{name}.csv", dtype=str).fillna("")
    assert not rows[rows.duplicated(key)].size


def test_a_number_keeps_its_digits(shipped):
    fields = dict(source="readme", model="a", confidence="verbatim", where="table")
    params = Published(**fields, quantity="params", value="21", unit="M")
    top1 = Published(**fields, quantity="top1", value="82.10", unit="%")
    assert (params.number, params.printed(20_925_538)) == (21e6, "21")
    assert (top1.number, top1.printed(82.096)) == (82.1, "82.10")
    assert shipped[1]["gMLP-S with PoSGU"].arguments == {"gate": "gqpe", "groups": 32}
    assert shipped[1]["AS-MLP-S"].arguments == {}


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
