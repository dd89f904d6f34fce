"""The key of a run depends only on settings, seed and code; config.yaml is read back."""

import pytest

from posmlp.study import Augment, Data, Recipe, RunConfig, StudyError, run_config
from posmlp.study.yaml_files import parse_yaml

VALUES = {
    "study": "study",
    "variant": "gqpe_s4",
    "seed": 1,
    "data": {"name": "digits"},
    "model": {"name": "gmlp_posgu_xs1_8", "gate": "gqpe", "groups": 4},
    "recipe": {"epochs": 30, "batch_size": 64, "lr": 2e-3, "weight_decay": 1},
}


@pytest.fixture(autouse=True)
def code(monkeypatch):
    monkeypatch.setattr(run_config, "training_code_digest", lambda: "0" * 16)


def config(**changes: object) -> RunConfig:
    """The run above with dotted settings changed: `config(recipe__lr=1)`."""
    values = {key: dict(v) if isinstance(v, dict) else v for key, v in VALUES.items()}
    for key, value in changes.items():
        *sections, name = key.split("__")
        target = values
        for section in sections:
            target = target.setdefault(section, {})
        target[name] = value
    return RunConfig.model_validate(values)


def test_key_is_known():
    # The key of stored runs. If this fails, every user's finished runs would be trained again.
    # If that is intended, for example for a new setting, update it and say so in the changelog.
    assert config().key == "4c6b4509161ecf70"


@pytest.mark.parametrize(
    "same",
    [
        {"study": "other"},
        {"variant": "other"},
        {"recipe__weight_decay": 1.0},
        {"recipe__batch_size": 64, "recipe__opt": "adamw"},
        {"data__image_size": 8},
        {"data__image_size": None},
        {"model__softmax": None},
        {"model__groups": 4.0},
        {"model": {"groups": 4, "gate": "gqpe", "name": "gmlp_posgu_xs1_8"}},
    ],
)
def test_names_defaults_order_and_spelling_do_not_change_the_key(same):
    assert config(**same).key == config().key


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 2},
        {"model__name": "posmlp_xs_32"},
        {"model__groups": 8},
        {"model__groups": True},
        {"model__groups": [4, 4]},
        {"model__softmax": False},
    ],
    ids=str,
)
def test_seed_and_model_change_the_key(changes):
    assert config(**changes).key != config().key


def test_the_key_covers_every_setting(monkeypatch):
    monkeypatch.setattr(run_config, "digest", lambda facts: facts["settings"])
    hashed = config().key
    assert hashed.keys() == {"data", "model", "recipe", "seed"}
    assert hashed["data"].keys() == Data.model_fields.keys()
    assert hashed["recipe"].keys() == Recipe.model_fields.keys()
    assert hashed["recipe"]["augment"].keys() == Augment.model_fields.keys()


def test_the_code_changes_the_key(monkeypatch):
    before = config().key
    monkeypatch.setattr(run_config, "training_code_digest", lambda: "1" * 16)
    assert config().key != before


def test_round_trip(tmp_path):
    run = config(model__groups=[8, 16], recipe__amp="off", recipe__augment={"ratio": [0.75, 4 / 3]})
    text = run.to_yaml()
    assert parse_yaml(text)["key"] == run.key
    path = tmp_path / "config.yaml"
    path.write_text(text)
    assert RunConfig.read(path) == run
    assert run_config.recorded_values(path)["key"] == run.key
    assert RunConfig.read(path).to_yaml() == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", "found None"), ("study: a", "data, key, model, recipe, seed, ")],
)
def test_another_file_in_place_of_a_config_is_named(tmp_path, text, expected):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(StudyError, match=f"{path}.*{expected}"):
        run_config.recorded_values(path)


def test_an_invalid_config_is_named(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(config().to_yaml().replace("epochs: 30", "epochs: none"))
    with pytest.raises(
        StudyError, match=r"config\.yaml: recipe\.epochs: should be a valid integer"
    ):
        RunConfig.read(path)


def test_model_arguments_take_classes_channels_and_size_from_the_data():
    assert config().model_arguments() == {
        "model_name": "gmlp_posgu_xs1_8",
        "num_classes": 10,
        "in_chans": 1,
        "img_size": 8,
        "gate": "gqpe",
        "groups": 4,
    }
    large = config(data__name="cifar100", data__image_size=64, recipe__decay_position=True)
    assert large.model_arguments() == {
        **config().model_arguments(),
        "num_classes": 100,
        "in_chans": 3,
        "img_size": 64,
        "decay_position": True,
    }
