import json

import pytest

from posmlp.tracking import record


def test_params_are_dotted_and_json():
    config = {"recipe": {"augment": {"scale": [0.1, 1.0], "rand": None}}, "psd": True, "opt": "x"}
    assert record.run_params(config) == {
        "recipe.augment.scale": "[0.1, 1.0]",
        "recipe.augment.rand": "null",
        "psd": "true",
        "opt": "x",
    }


def test_equal_settings_are_equal_params():
    """1 and 1.0 have the same run key, and MLflow refuses to change a param."""
    assert record.run_params({"lr": 1.0}) == record.run_params({"lr": 1}) == {"lr": "1"}


def test_line_that_is_still_written_is_left_out(new_run):
    run = new_run().write_history(3)
    path = run.path / "history.csv"
    path.write_text(path.read_text() + "3,18000000")
    assert [line.mark.epoch for line in record.read_history(run.path)] == [0, 1, 2]


@pytest.mark.parametrize("line", ["x,1.0,2\n", "3,,1.0\n", "3,1.0,high\n", "3,1.0,2,3\n"])
def test_bad_line_is_named(new_run, line):
    run = new_run()
    (run.path / "history.csv").write_text(f"epoch,time,lr\n0,1.5,0.1\n{line}")
    with pytest.raises(ValueError, match=r"history\.csv, line 3: .*"):
        record.read_history(run.path)


def test_folder_without_config_is_named(tmp_path):
    with pytest.raises(ValueError, match=f"{tmp_path} is not a run folder"):
        record.read_config(tmp_path)


def test_metrics_of_an_earlier_key_do_not_finish_a_run(new_run):
    run = new_run(key="00000000000000aa").finish()
    assert record.read_metrics(run.path, "00000000000000aa") == json.loads(json.dumps(run.metrics))
    assert record.read_metrics(run.path, "00000000000000bb") is None
