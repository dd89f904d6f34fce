"""A run's key follows its settings and nothing else; a run folder's config is read back."""

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
    # The key of stored runs. If this fails, every finished run of every user would be trained
    # again; where that is meant (a setting was added), put the new key here and say so in the
    # changelog.
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


CHANGED = [
    {"seed": 2},
    {"model__name": "posmlp_xs_32"},
    {"model__groups": 8},
    {"model__groups": True},
    {"model__groups": [4, 4]},
    {"model__softmax": False},
    {"data__image_size": 16},
    {"data__name": "fashion", "data__image_size": 8},
]
OTHER = {
    "data": dict(
        train_fraction=0.5, validation=0.1, eval_fraction=0.5, subset="first", subset_seed=1
    ),
    "recipe": dict(
        epochs=31,
        cooldown_epochs=1,
        warmup_epochs=1,
        batch_size=32,
        opt="lamb",
        lr=1e-3,
        warmup_lr=1e-5,
        min_lr=1e-5,
        weight_decay=2,
        opt_eps=1e-6,
        clip_grad=1,
        label_smoothing=0.1,
        mixup=0.5,
        cutmix=0.5,
        mixup_prob=0.5,
        mixup_switch_prob=0.6,
        ema_decay=0.9,
        grad_accum=2,
        lr_base_size=32,
        dist_bn="sync",
        deterministic=True,
        compile="default",
        amp="off",
        decay_position=True,
        position_lr=5,
        eval_every=2,
    ),
    "recipe__augment": dict(shift=1, hflip=0.5, reprob=0.5),
}
CHANGED += [{f"{s}__{key}": v} for s, values in OTHER.items() for key, v in values.items()]
FOLDER = dict(
    rand_augment="rand-m6", color_jitter=0.5, scale=[0.5, 1], ratio=[1, 1], crop_pct=0.9
) | {"interpolation": "random"}
CHANGED.append({"data__name": "imagenet", "data__max_unreadable": 1})
CHANGED.append({"data__digest": "0" * 16})
CHANGED.append({"data__image_size": 12, "data__placement": "random"})
OWN = {"data__name": "folder", "data__image_size": 8, "data__num_classes": 10}
CHANGED += [OWN, OWN | {"data__in_chans": 1}, OWN | {"data__folder": "images"}]
CHANGED += [
    {"data__name": "imagenet", f"recipe__augment__{key}": value} for key, value in FOLDER.items()
]


@pytest.mark.parametrize("changes", CHANGED, ids=str)
def test_every_setting_changes_the_key(changes):
    assert config(**changes).key not in (config().key, config(data__name="imagenet").key)


def test_the_test_above_changes_every_setting():
    changed = {key for changes in CHANGED for key in changes}
    for prefix, section in (("data", Data), ("recipe", Recipe), ("recipe__augment", Augment)):
        missing = {f"{prefix}__{key}" for key in section.model_fields} - changed
        assert missing <= {"recipe__augment"}


def test_the_code_changes_the_key(monkeypatch):
    before = config().key
    monkeypatch.setattr(run_config, "training_code_digest", lambda: "1" * 16)
    assert config().key != before


def test_what_is_written_is_read_back(tmp_path):
    run = config(model__groups=[8, 16], recipe__amp="off", recipe__augment={"ratio": [0.75, 4 / 3]})
    text = run.to_yaml()
    assert parse_yaml(text)["key"] == run.key
    path = tmp_path / "config.yaml"
    path.write_text(text)
    assert RunConfig.read(path) == run
    assert run_config.recorded_values(path)["key"] == run.key
    assert RunConfig.read(path).to_yaml() == text


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "found None"), ("study: a", "data, key, model, recipe, seed, ")],
)
def test_what_is_not_the_config_of_a_run_is_named(tmp_path, text, said):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(StudyError, match=f"{path}.*{said}"):
        run_config.recorded_values(path)


def test_a_spoilt_config_is_named(tmp_path):
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
