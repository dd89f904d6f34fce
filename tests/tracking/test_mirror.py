import json
import logging
import sqlite3
import sys
from contextlib import closing
from itertools import pairwise

import pytest

from posmlp.tracking import Store, StoreUnavailable, mirror
from posmlp.tracking.mirror import RunMirror, only_one_writer, sync_runs
from posmlp.tracking.record import milliseconds

ARTIFACTS = ("config.yaml", "history.csv", "metrics.json", "provenance.json")


def history_of(client, run_id, name):
    return {
        (point.step, point.timestamp, point.value)
        for point in client.get_metric_history(run_id, name)
    }


def content(store):
    """Every row of every table of the store."""
    with closing(sqlite3.connect(store.uri.removeprefix("sqlite:///"))) as database:
        tables = database.execute("select name from sqlite_master where type = 'table'").fetchall()
        return {name: database.execute(f"select * from '{name}'").fetchall() for (name,) in tables}


def test_params_are_all_settings(store, client, new_run):
    run_id = mirror(new_run().finish().path, store)
    assert client.get_run(run_id).data.params == {
        "seed": "0",
        "data.name": "digits",
        "data.train_fraction": "1",
        "data.image_size": "null",
        "model.name": "gmlp_posgu_xs1_8",
        "model.gate": "gqpe",
        "model.groups": "4",
        "model.psd": "true",
        "recipe.lr": "0.001",
        "recipe.opt": "adamw",
        "recipe.augment.shift": "1",
        "recipe.augment.scale": "[0.1, 1.0]",
    }


def test_tags_name_study_settings_code_and_machine(store, client, new_run, new_study):
    run = new_run().finish()
    new_study(["other", "gqpe-s4"], claims=["x", "fewer parameters"])
    run_id = mirror(run.path, store)
    tags = client.get_run(run_id).data.tags
    assert tags.pop("mlflow.runName") == "2 gqpe-s4 seed 0"
    assert set(json.loads(tags.pop("posmlp.files"))) == set(ARTIFACTS)
    assert "git checkout 0123abc" in tags.pop("mlflow.note.content")
    assert tags == {
        "posmlp.run": "digits/gqpe-s4/seed0/00000000000000aa",
        "run_key": "00000000000000aa",
        "current": "true",
        "level": "run",
        "command": "python -m posmlp train --study digits --variant x --seed 0",
        "mlflow.source.git.commit": "0123abc",
        "study": "digits",
        "variant": "gqpe-s4",
        "seed": "0",
        "gate": "gqpe",
        "groups": "4",
        "backbone": "gmlp_posgu_xs1_8",
        "data": "digits",
        "claim": "fewer parameters",
        "code_version": "c0de" * 4,
        "git_commit": "0123abc",
        "git_dirty": "true",
        "host": "node1",
        "device": "cpu",
        "slurm_job_id": "77",
    }


def test_every_point_of_the_history_is_there_with_its_own_time(store, client, new_run):
    run = new_run().finish(num_epochs=5)
    run_id = mirror(run.path, store)
    expected = {}
    for row in run.rows(5):
        time_ms = round(row.pop("time") * 1000)
        epoch = row.pop("epoch")
        for name, value in row.items():
            if value is not None:
                expected.setdefault(name, set()).add((epoch, time_ms, value))
    assert len(expected["ema_test_top1"]) == 2
    assert {name: history_of(client, run_id, name) for name in expected} == expected
    final = {"params", "params_m", "token_mixing_params", "macs", "macs_m", "wall_s"}
    final |= {
        "groups",
        "images_per_s",
        "final/top1",
        "final/top5",
        "final/loss",
        "final/train_loss",
    }
    assert set(client.get_run(run_id).data.metrics) == set(expected) | final


def test_final_figures_are_dated_at_the_end(store, client, new_run):
    run_id = mirror(new_run().finish(num_epochs=5).path, store)
    end_ms = milliseconds("2026-11-22T10:01:00.250+00:00")
    for name, value in {
        "final/top1": 97.5,
        "final/loss": 0.125,
        "params": 1_250_000,
        "params_m": 1.25,
        "macs_m": 88.5,
        "token_mixing_params": 640,
        "images_per_s": 1500.5,
    }.items():
        assert history_of(client, run_id, name) == {(5, end_ms, value)}
    info = client.get_run(run_id).info
    assert (info.status, info.end_time) == ("FINISHED", end_ms)
    assert info.start_time == milliseconds("2026-11-22T10:00:00+00:00")


def test_files_and_figures_are_artifacts(store, client, new_run, tmp_path):
    run = new_run().finish()
    (run.path / "figures").mkdir()
    (run.path / "figures" / "maps.png").write_bytes(b"picture")
    (run.path / "checkpoint.pt").touch()
    run_id = mirror(run.path, store)
    names = {entry.path for entry in client.list_artifacts(run_id)}
    assert names == {*ARTIFACTS, "figures"}
    copy = client.download_artifacts(run_id, "figures/maps.png", str(tmp_path))
    with open(copy, "rb") as file:
        assert file.read() == b"picture"


def test_replay_changes_nothing(store, new_run):
    folders = [new_run(seed=seed).finish().path for seed in range(2)]
    first, _ = sync_runs(folders, store)
    before = content(store)
    second, _ = sync_runs(folders, store)
    assert first["runs"] == second["runs"] == first["finished"] == 2
    assert len(before["metrics"]) == first["points"]
    assert content(store) == before


def test_growing_file_adds_only_what_is_new(store, client, new_run):
    run = new_run().write_history(2)
    run_id = mirror(run.path, store, alive=True)
    assert client.get_run(run_id).info.status == "RUNNING"
    assert client.list_artifacts(run_id) == []
    run.finish(4)
    assert mirror(run.path, store) == run_id
    assert sorted(step for step, *_ in history_of(client, run_id, "lr")) == [0, 1, 2, 3]
    assert len(client.get_metric_history(run_id, "lr")) == 4
    assert client.get_run(run_id).info.status == "FINISHED"


@pytest.mark.parametrize("status", ["FAILED", "KILLED"])
def test_unfinished_run_is_closed_as_its_files_say_and_can_go_on(store, client, new_run, status):
    run = new_run().write_history(1)
    if status == "FAILED":
        run.fail("diverged & <b>bold</b>")
    run_id = mirror(run.path, store)
    found = client.get_run(run_id)
    ends = {"FAILED": milliseconds("2026-11-22T10:00:30+00:00"), "KILLED": 1_800_000_000_000}
    assert (found.info.status, found.info.end_time) == (status, ends[status])
    assert ("error" in found.data.tags) == (status == "FAILED")
    assert "<b>" not in found.data.tags["mlflow.note.content"]
    assert mirror(run.path, store) == run_id
    (run.path / "error.json").unlink(missing_ok=True)
    mirror(run.path, store, alive=True)
    assert client.get_run(run_id).info.status == "RUNNING"
    assert "error" not in client.get_run(run_id).data.tags
    run.finish()
    assert mirror(run.path, store) == run_id
    assert client.get_run(run_id).info.status == "FINISHED"


def test_run_that_goes_on_from_its_last_checkpoint_stays_one_run(store, client, new_run):
    run = new_run().write_history(3)
    run_id = mirror(run.path, store)
    assert mirror(run.write_history(5).path, store, alive=True) == run_id
    assert mirror(run.finish(6).path, store) == run_id
    assert len(client.search_runs([store.experiment_id])) == 1


def test_epoch_that_was_done_twice_is_not_shown_twice(store, client, new_run):
    """After a damaged checkpoint; MLflow cannot forget the point that it has."""
    run = new_run().write_history(3)
    old = mirror(run.path, store)
    path = run.path / "history.csv"
    *kept, last = path.read_text().splitlines()
    path.write_text("\n".join([*kept, last.replace("2,18", "2,19", 1)]) + "\n")
    new = mirror(run.path, store)
    assert new != old
    assert len(client.get_metric_history(new, "lr")) == 3
    assert client.get_run(old).data.tags["current"] == "false"


def test_what_is_missing_in_the_middle_is_added_again(store, new_run):
    run = new_run().finish(5)
    mirror(run.path, store)
    before = content(store)
    with closing(sqlite3.connect(store.uri.removeprefix("sqlite:///"))) as database:
        for table, where in {
            "metrics": "key = 'lr' and step in (1, 3)",
            "params": "key = 'recipe.lr'",
            "tags": "key = 'gate'",
        }.items():
            assert database.execute(f"delete from {table} where {where}").rowcount > 0
        database.commit()
    (artifact,) = (run.path.parents[3] / "mlartifacts").rglob("metrics.json")
    artifact.unlink()
    mirror(run.path, store)
    after = content(store)
    assert artifact.exists()
    for table in ("metrics", "params", "tags", "runs", "latest_metrics"):
        assert sorted(after[table], key=str) == sorted(before[table], key=str), table


def test_figures_are_shown_where_files_cannot_be(store, client, results, new_run):
    (results / "mlartifacts").touch()  # no folder can be made there
    run = new_run().finish(5)
    with pytest.raises(NotADirectoryError):
        mirror(run.path, store)
    (only,) = client.search_runs([store.experiment_id])
    assert only.info.status == "FINISHED"
    assert len(client.get_metric_history(only.info.run_id, "lr")) == 5


def test_changed_file_is_sent_again(store, client, new_run, tmp_path):
    run = new_run().finish()
    run_id = mirror(run.path, store)
    (run.path / "figures").mkdir()
    for content_ in (b"one", b"two"):
        (run.path / "figures" / "maps.png").write_bytes(content_)
        mirror(run.path, store)
        with open(client.download_artifacts(run_id, "figures/maps.png", str(tmp_path)), "rb") as f:
            assert f.read() == content_


def test_two_runs_of_one_folder_become_one(store, client, new_run):
    run = new_run().write_history(2)
    run_id = mirror(run.path, store)
    tags = {"posmlp.run": client.get_run(run_id).data.tags["posmlp.run"]}
    client.create_run(store.experiment_id, tags=tags)  # as a race leaves it
    assert mirror(run.finish().path, store) == run_id
    assert [r.info.run_id for r in client.search_runs([store.experiment_id])] == [run_id]


def test_only_one_process_mirrors_a_folder(store, new_run, monkeypatch):
    monkeypatch.setattr(sys.modules["posmlp.tracking.mirror"], "LOCK_S", 0.2)
    run = new_run().write_history(1)
    with only_one_writer(run.path), pytest.raises(TimeoutError, match=f"mirrors {run.path}"):
        mirror(run.path, store)


def test_images_are_inputs_with_their_digests(store, client, new_run):
    run_id = mirror(new_run().finish().path, store)
    mirror(new_run().path, store)
    inputs = client.get_run(run_id).inputs.dataset_inputs
    found = {(i.dataset.name, i.dataset.digest, i.tags[0].value) for i in inputs}
    assert found == {("digits train", "aa11", "training"), ("digits test", "bb22", "testing")}
    assert json.loads(inputs[0].dataset.profile) in ({"num_images": 1437}, {"num_images": 360})


def test_machine_use_is_shown_with_its_times(store, client, new_run):
    run = new_run().finish()
    (run.path / "system.csv").write_text("time,cpu_percent,gpu_percent\n1.5,90.0,\n2.5,80.5,\n")
    run_id = mirror(run.path, store)
    assert history_of(client, run_id, "system/cpu_percent") == {(0, 1500, 90.0), (1, 2500, 80.5)}
    assert "system/gpu_percent" not in client.get_run(run_id).data.metrics


def test_training_begun_anew_gets_a_run_of_its_own(store, client, new_run):
    old = mirror(new_run(begun=1.8e9).write_history(3).path, store, alive=True)
    run = new_run(begun=1.9e9).write_history(2)
    new = mirror(run.path, store, alive=True)
    assert new != old
    assert mirror(run.finish(3).path, store) == new
    assert len(client.get_metric_history(new, "lr")) == 3
    infos = {run_id: client.get_run(run_id) for run_id in (old, new)}
    assert [infos[run_id].info.status for run_id in (old, new)] == ["KILLED", "FINISHED"]
    assert [infos[run_id].data.tags["current"] for run_id in (old, new)] == ["false", "true"]


def test_folder_that_returns_to_an_earlier_key_shows_the_earlier_run(store, client, new_run):
    by_key = {
        key: mirror(new_run(key=key).finish().path, store)
        for key in ("00000000000000aa", "00000000000000bb")
    }
    back = mirror(new_run(key="00000000000000aa").finish().path, store)
    assert back == by_key["00000000000000aa"] != by_key["00000000000000bb"]
    for key, run_id in by_key.items():
        assert client.get_run(run_id).data.tags["current"] == str(run_id == back).lower(), key


def test_neighbours_are_left_alone(store, client, new_run):
    """Names that MLflow's LIKE takes for one another, and the other seed."""
    cells = [("axb", 0), ("a_b", 1), ("a_b", 0)]
    run_ids = [mirror(new_run(*cell).finish().path, store) for cell in cells]
    tags = [client.get_run(run_id).data.tags for run_id in run_ids]
    assert [tag["current"] for tag in tags] == ["true"] * 3


def test_epoch_that_was_sent_in_part_is_completed(store, client, new_run):
    class Cut:
        """A client whose connection breaks in the middle of the second epoch."""

        def __getattr__(self, name):
            return getattr(client, name)

        def log_batch(self, run_id, metrics=(), **kwargs):
            client.log_batch(run_id, metrics=metrics[:12], **kwargs)
            if metrics:
                raise ConnectionError

    run = new_run().write_history(3)
    broken = RunMirror(run.path, Cut(), store.experiment_id)
    with pytest.raises(ConnectionError):
        broken.update(alive=True)
    mirror(run.path, store)
    for name in client.get_run(broken.run_id).data.metrics:
        num_values = 1 if name.startswith("ema") else 3
        assert len(client.get_metric_history(broken.run_id, name)) == num_values, name


def test_long_runs_are_sent_in_parts(store, client, new_run):
    run = new_run()
    run.config["recipe"] |= {f"option{number}": number for number in range(150)}
    run.write_config()
    run_id = mirror(run.finish(num_epochs=130).path, store)
    assert [step for step, *_ in sorted(history_of(client, run_id, "lr"))] == list(range(130))
    times = [time_ms for _, time_ms, _ in sorted(history_of(client, run_id, "epoch_s"))]
    assert all(earlier < later for earlier, later in pairwise(times))
    assert client.get_run(run_id).data.params["recipe.option149"] == "149"


def test_sync_goes_on_after_a_bad_folder_and_names_it(store, new_run, caplog):
    good, bad = new_run(seed=0).finish(), new_run(seed=1).finish()
    (bad.path / "history.csv").write_text("epoch,time,lr\n0,noon,0.1\n")
    with caplog.at_level(logging.WARNING, "posmlp.tracking"):
        counts, _ = sync_runs([bad.path, good.path], store)
    assert (counts["runs"], counts["failed"]) == (1, 1)
    assert str(bad.path) in caplog.text
    assert "line 2" in caplog.text


def test_runs_are_in_their_experiment_whatever_the_environment_says(
    store, client, new_run, monkeypatch
):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "0")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "elsewhere")
    run_id = mirror(new_run().finish().path, store)
    assert client.get_run(run_id).info.experiment_id == store.experiment_id


def test_sync_says_when_the_store_is_gone(tmp_path, new_run):
    store = Store(f"sqlite:///{tmp_path}/gone.db", "1")
    with pytest.raises(StoreUnavailable, match=r"there is no MLflow store at .*gone\.db"):
        sync_runs([new_run().finish().path], store)
    assert not (tmp_path / "gone.db").exists()


def test_sync_says_when_the_experiment_is_gone(store, new_run):
    with pytest.raises(StoreUnavailable, match="999"):
        sync_runs([new_run().finish().path], Store(store.uri, "999"))
