"""The commands `posmlp sync` and `posmlp rebuild`."""

import pytest
from samples import Shown

from posmlp.cli import main
from posmlp.tracking.store import StoreError, StoreUnavailable, sqlite_path
from posmlp.tracking.sync import rebuild, rounds
from posmlp.user_errors import FAILED

pytestmark = pytest.mark.xdist_group("MLflow")


def test_sync_says_what_it_found_of_every_study(results, new_run, capsys):
    new_run(seed=0).finish()
    new_run(seed=1).write_history(1)
    damaged = new_run(study="fashion").finish()
    (damaged.path / "config.yaml").write_text("")
    assert main(["sync", "--results", str(results)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "digits: 2 runs, 1 finished. No model is registered: there are no results yet.",
        f"{damaged.path}: not synced: config.yaml: should hold `key: value` lines, found None",
        "fashion: 0 runs, 0 finished, 1 not synced. "
        "No model is registered: there are no results yet.",
    ]


def test_sync_of_named_studies_leaves_others_alone(results, new_run, capsys):
    new_run().finish()
    new_run(study="fashion").finish()
    assert main(["sync", "config/studies/fashion.yaml", "--results", str(results)]) == 0
    assert Shown(results, "fashion").runs
    assert not Shown(results, "fashion").client.get_experiment_by_name("digits")
    assert main(["sync", "digit", "--results", str(results)]) == FAILED
    assert "no runs of a study 'digit'; there are runs of digits" in capsys.readouterr().err


def test_nothing_is_made_of_a_folder_without_runs(tmp_path, capsys):
    assert main(["sync", "--results", str(tmp_path)]) == 0
    assert "holds no runs" in capsys.readouterr().out
    assert main(["rebuild", "--results", str(tmp_path)]) == FAILED
    assert list(tmp_path.iterdir()) == []


def test_repeated_sync_waits_for_a_store_and_says_each_thing_once(
    results, new_run, capsys, monkeypatch
):
    new_run().finish()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    every = rounds(results, patient=True)
    assert [next(every), next(every)] == [[], []]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{results}/mlflow.db")
    assert [len(next(every)), len(next(every))] == [1, 1]
    away, shown = capsys.readouterr().out.splitlines()
    assert away.startswith("MLflow does not answer, trying again: http://127.0.0.1:9")
    assert shown.startswith("digits: 1 runs, 1 finished.")


def test_a_rebuild_that_fails_leaves_the_old_store(results, new_run, monkeypatch):
    new_run().finish()
    before = (results / "mlflow.db").read_bytes()

    def full(results, uri):
        sqlite_path(uri).touch()
        raise StoreUnavailable("disk is full")

    monkeypatch.setattr("posmlp.tracking.sync.sync_once", full)
    with pytest.raises(StoreUnavailable, match="full"):
        rebuild(results)
    assert (results / "mlflow.db").read_bytes() == before
    assert not list(results.glob("mlflow.db?*"))


def test_a_server_is_not_rebuilt(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://anna:secret@host:5000")
    with pytest.raises(StoreError, match=r"delete its two experiments") as error:
        rebuild(tmp_path)
    assert "secret" not in str(error.value)
