"""check_models: networks that cannot be built are reported before the first job."""

from dataclasses import replace

import pytest
import timm

from posmlp.layers import GATES
from posmlp.study import StudyError, check_models, model_check


def problem(study) -> str:
    with pytest.raises(StudyError) as caught:
        check_models(study)
    (found,) = caught.value.problems
    return found


def with_row(folder, groups: str = "", **cells: str):
    """The study with another row, `odd`, that sets these arguments of the model."""
    folder.sheet[0] += [f"model.{key}" for key in cells]
    folder.sheet.append(["odd", "claim", "gqpe", groups, "", *cells.values()])
    return folder.load()


def test_every_distinct_network_is_built_once(folder, monkeypatch):
    built = []
    create_model = timm.create_model

    def create(**arguments):
        built.append(arguments)
        model = create_model(**arguments)
        assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
        return model

    monkeypatch.setattr(timm, "create_model", create)
    check_models(folder.load())  # gqpe_s4 and gqpe_fast are one network
    assert [arguments["gate"] for arguments in built] == ["sgu", "gqpe"]


def test_a_group_count_that_does_not_divide_the_channels(folder):
    found = problem(with_row(folder, groups="5"))
    assert found.startswith(
        f"{folder.folder / 'study.yaml'}, study.tsv row 5 (odd): model.groups: "
    )
    assert "allowed: 1, 2, 4, 8" in found
    assert '"groups": 5' in found


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({"gatte": "gqpe"}, "unexpected keyword argument 'gatte'"),
        ({"drop_rate": "much"}, "row 5 (odd): model: TypeError"),
        (
            {"name": "gmlp_posgu_xs1"},
            "no model 'gmlp_posgu_xs1'; did you mean \"gmlp_posgu_xs1_8\"?",
        ),
    ],
)
def test_errors_of_the_model_are_quoted(folder, cells, expected):
    assert expected in problem(with_row(folder, **cells))


def test_position_lr_needs_a_positional_encoding(folder):
    folder.values["recipe"]["position_lr"] = 5.0
    assert "(sgu): recipe.position_lr: 5 has no effect" in problem(folder.load())
    folder.sheet[0].append("recipe.position_lr")
    folder.sheet[1].append("1")
    check_models(folder.load())


def test_a_closed_form_must_count_the_layers_parameters(folder, monkeypatch):
    wrong = replace(GATES["gqpe"], num_position=lambda window, groups: 5 * groups)
    monkeypatch.setitem(GATES, "gqpe", wrong)
    assert "has 88 parameters but its closed form gives 84" in problem(folder.load())


def test_any_timm_model_is_checked(folder):
    folder.values["model"] = {"name": "gmlp_ti16_224"}
    folder.values["data"] = {"name": "cifar10", "image_size": 32}
    folder.sheet = [["variant", "claim", "model.gate"], ["sgu", "fits", ""]]
    check_models(folder.load())
    folder.sheet.append(["gated", "does not", "sgu"])
    assert "unexpected keyword argument 'gate'" in problem(folder.load())


def test_a_passed_check_is_not_repeated_until_the_code_changes(folder, tmp_path, monkeypatch):
    built = []
    monkeypatch.setattr(model_check, "_why_not", built.append)
    study = folder.load()
    for _ in range(2):
        check_models(study, tmp_path / "passed")
    assert len(built) == 2
    monkeypatch.setattr(model_check, "training_code_digest", lambda: "other code")
    check_models(study, tmp_path / "passed")
    assert len(built) == 4
