"""Each run folder and its MLflow run: what it shows, what is sent again, and when it is another."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest
from samples import PROVENANCE, files_under

from posmlp.markup import escaped
from posmlp.runs.reading import milliseconds
from posmlp.tracking import run_sync

pytestmark = pytest.mark.xdist_group("MLflow")

FILES = {"config.yaml", "history.csv", "metrics.json", "provenance.json"}


def content(results):
    """Every row of every table of the store."""
    with closing(sqlite3.connect(results / "mlflow.db")) as database:
        tables = database.execute("select name from sqlite_master where type = 'table'").fetchall()
        return {name: database.execute(f"select * from '{name}'").fetchall() for (name,) in tables}


def write_study(results, claims):
    """study.json and the table of variants, before any run has finished."""
    folder = results / "digits"
    (folder / "tables").mkdir(parents=True)
    (folder / "study.json").write_text(json.dumps({"seeds": [0, 10]}))
    (folder / "runs.csv").write_text("variant,finished_at\n")
    rows = [f"{variant},{claim}\n" for variant, claim in claims.items()]
    (folder / "tables/variants.csv").write_text("variant,claim\n" + "".join(rows))


@pytest.fixture
def alive(monkeypatch):
    """Add the folders in which a process is to train."""
    folders = set()
    monkeypatch.setattr(run_sync, "locked_folders", lambda unfinished: folders & set(unfinished))
    return folders


def test_a_run_has_its_settings_tags_files_and_data(sync, new_run, results):
    run = new_run().finish()
    (run.path / "figures").mkdir()
    (run.path / "figures/maps.png").write_bytes(b"picture")
    (run.path / "checkpoint.pt").touch()
    write_study(results, {"other": "x", "gqpe-s4": "fewer <b>\x07"})
    _, shown = sync()
    (only,) = shown.runs
    assert only.info.run_name == "2 gqpe-s4 seed 00"
    assert only.data.params == {
        **{"seed": "0", "data.name": "digits", "data.train_fraction": "1"},
        **{"data.image_size": "null", "model.name": "gmlp_posgu_xs1_8", "model.gate": "gqpe"},
        **{"model.groups": "4", "model.psd": "true", "recipe.lr": "0.001", "recipe.opt": "adamw"},
        **{"recipe.augment.shift": "1", "recipe.augment.scale": "[0.1, 1.0]"},
    }
    tags = dict(only.data.tags)
    note = tags.pop("mlflow.note.content")
    assert escaped("fewer <b>") in note
    assert "<b>" not in note
    assert "    git checkout 0123abc\n    posmlp train digits gqpe-s4/seed0" in note
    assert len(tags.pop("posmlp.digest")) == 16
    assert tags.pop("posmlp.lines") == "4"
    assert tags == {
        **{"posmlp.run": "digits/gqpe-s4/seed0/00000000000000aa", "run_key": "00000000000000aa"},
        **{"current": "true", "study": "digits", "variant": "gqpe-s4", "seed": "0"},
        **{"gate": "gqpe", "groups": "4", "backbone": "gmlp_posgu_xs1_8", "data": "digits"},
        **{"claim": "fewer <b>", "code_version": "c0de" * 4, "git_commit": "0123abc"},
        **{"git_dirty": "true", "host": "node1", "device": "cpu", "slurm_job_id": "77"},
        "command": "posmlp train digits gqpe-s4/seed0",
        "mlflow.source.git.commit": "0123abc",
        "mlflow.runName": "2 gqpe-s4 seed 00",
    }
    run_id = only.info.run_id
    assert {f.path for f in shown.client.list_artifacts(run_id)} == {*FILES, "figures"}
    assert [f.path for f in shown.client.list_artifacts(run_id, "figures")] == ["figures/maps.png"]
    inputs = {
        (i.dataset.name, i.dataset.digest, i.tags[0].value, i.dataset.profile)
        for i in only.inputs.dataset_inputs
    }
    assert inputs == {
        ("digits train", "aa11", "training", '{"num_images": 1437}'),
        ("digits test", "bb22", "testing", '{"num_images": 360}'),
    }


def test_every_point_of_the_history_has_its_own_time_and_no_metric_has_two_names(sync, new_run):
    run = new_run().finish(num_epochs=5)
    _, shown = sync()
    (only,) = shown.runs
    expected = {}
    for row in run.rows(5):
        epoch, time_ms = row.pop("epoch"), round(row.pop("time") * 1000)
        for name, value in row.items():
            if value is not None:
                expected.setdefault(name, []).append((epoch, time_ms, value))
    assert len(expected["ema_test_top1"]) == 2
    end_ms = milliseconds("2026-11-22T10:01:00.250+00:00")
    expected["images_per_s"].append((5, end_ms, 1500.5))  # the median, as in the tables
    for name in ("epochs", "params", "token_mixing_params", "macs", "wall_s"):
        expected[name] = [(5, end_ms, run.metrics[name])]
    for name in ("num_train", "num_val", "num_test"):
        expected[name] = [(5, end_ms, run.metrics[name])]
    assert {name: shown.points(only, name) for name in only.data.metrics} == expected
    info = only.info
    assert (info.status, info.end_time) == ("FINISHED", end_ms)
    assert info.start_time == milliseconds("2026-11-22T10:00:00+00:00")


def test_accuracy_is_the_first_metric_though_the_first_epoch_was_not_evaluated(sync, new_run):
    path = new_run().write_history(2).path / "history.csv"
    header, first, second = path.read_text().splitlines()
    cells = first.split(",")
    cells[header.split(",").index("test_top1")] = ""
    path.write_text("\n".join([header, ",".join(cells), second]) + "\n")
    _, shown = sync()
    assert next(iter(shown.runs[0].data.metrics)) == "test_top1"


def test_a_second_sync_sends_nothing_and_a_changed_file_is_sent_again(sync, new_run, results):
    run, _ = new_run().finish(), new_run(seed=1).write_history(1)
    first, _ = sync()
    before = content(results)
    second, _ = sync()
    assert content(results) == before
    assert first.counts() == {"runs": 2, "finished": 1, "running": 0, "sent": 2, "failed": 0}
    assert second.counts() == first.counts() | {"sent": 0}
    (run.path / "figures").mkdir()
    for picture in (b"one", b"two"):
        (run.path / "figures/maps.png").write_bytes(picture)
        report, shown = sync()
        assert (report.num_sent, len(shown.runs)) == (1, 2)
        (found,) = (r for r in shown.runs if r.data.tags["seed"] == "0")
        assert files_under(found.info.artifact_uri)["figures/maps.png"] == picture


def test_a_run_under_way_grows(sync, new_run, alive):
    run = new_run().write_history(2)
    alive.add(run.path)
    report, shown = sync()
    (first,) = shown.runs
    assert (first.info.status, report.counts()["running"]) == ("RUNNING", 1)
    assert shown.client.list_artifacts(first.info.run_id) == []
    run.write_history(4)
    sync()
    run.finish(6)
    _, shown = sync()
    (only,) = shown.runs
    assert (only.info.run_id, only.info.status) == (first.info.run_id, "FINISHED")
    assert [step for step, *_ in shown.points(only, "lr")] == list(range(6))


@pytest.mark.parametrize("status", ["FAILED", "KILLED"])
def test_an_unfinished_run_is_closed_as_its_files_say_and_can_go_on(sync, new_run, alive, status):
    run = new_run().write_history(1)
    if status == "FAILED":
        run.fail("diverged & <b>bold</b>\x00")
    _, shown = sync()
    (found,) = shown.runs
    ends = {"FAILED": milliseconds("2026-11-22T10:00:30+00:00"), "KILLED": 1_800_000_000_000}
    assert (found.info.status, found.info.end_time) == (status, ends[status])
    assert ("error" in found.data.tags) == (status == "FAILED")
    assert "<b>" not in found.data.tags["mlflow.note.content"]
    (run.path / "error.json").unlink(missing_ok=True)
    alive.add(run.path)
    _, shown = sync()
    assert shown.runs[0].info.status == "RUNNING"
    assert "error" not in shown.runs[0].data.tags
    run.finish()
    _, shown = sync()
    assert [r.info.status for r in shown.runs] == ["FINISHED"]


def test_a_training_that_began_anew_replaces_the_old_run(sync, new_run, alive):
    """MLflow cannot forget a point that it has."""
    alive.add(new_run(begun=1.8e9).write_history(3).path)
    _, shown = sync()
    run = new_run(begun=1.9e9).write_history(2)
    run.write_json("provenance.json", PROVENANCE | {"first_started_at": "2030-01-01T00:00:00Z"})
    _, again = sync()
    (only,) = again.runs
    assert only.info.run_id != shown.runs[0].info.run_id
    assert [time_ms // 10**11 for _, time_ms, _ in again.points(only, "lr")] == [19, 19]


def test_a_folder_that_returns_to_an_earlier_key_shows_the_earlier_run(sync, new_run):
    keys = ("00000000000000aa", "00000000000000bb", "00000000000000aa")
    for key in keys:
        new_run(key=key).finish()
        report, shown = sync()
        current = [r.data.tags["run_key"] for r in shown.runs if r.data.tags["current"] == "true"]
        assert current == [key]
    assert len(shown.runs) == 2
    assert report.num_sent == 0


def test_runs_whose_folder_is_gone_leave_the_view(sync, new_run):
    new_run(seed=0).finish()
    run = new_run(seed=1).finish()
    sync()
    run.path.rename(run.path.with_name("kept"))
    report, shown = sync()
    assert report.counts()["runs"] == 1
    assert [r.data.tags["current"] for r in shown.runs if r.data.tags["seed"] == "1"] == ["false"]


def test_a_run_that_was_sent_in_part_is_completed(sync, new_run, monkeypatch):
    run = new_run().finish(3)

    def cut(client, run, payload):
        whole(client, run, replace(payload, lines=payload.lines[:1]))
        raise ConnectionError("cut")

    whole = run_sync.send
    with monkeypatch.context() as patch:
        patch.setattr(run_sync, "send", cut)
        report, shown = sync()
    assert report.damaged == {run.path: "cut"}
    report, shown = sync()
    assert (report.counts()["failed"], len(shown.runs)) == (0, 1)
    assert len(shown.points(shown.runs[0], "lr")) == 3


def test_metrics_are_shown_where_files_cannot_be(sync, new_run, results):
    (results / "mlartifacts").touch()  # no folder can be made there
    run = new_run().finish(5)
    report, shown = sync()
    assert list(report.damaged) == [run.path]
    assert shown.runs[0].info.status == "FINISHED"
    assert len(shown.points(shown.runs[0], "lr")) == 5
    (results / "mlartifacts").unlink()
    report, shown = sync()
    assert (report.damaged, len(shown.runs)) == ({}, 1)


def empty_metrics(run):
    (run.path / "metrics.json").write_text("")


def begin_another_training(run):
    run.write_json("metrics.json", run.metrics | {"key": "00000000000000bb"})


def remove_an_epoch(run):
    run.write_history(2)


def empty_config(run):
    (run.path / "config.yaml").write_text("")


def move(run):
    run.path = run.path.rename(run.path.with_name("seed9"))


CASES = {
    empty_metrics: "metrics.json: is damaged",
    begin_another_training: "metrics.json: key 00000000000000bb differs",
    remove_an_epoch: "history.csv: has 2 of 3 epochs",
    empty_config: "config.yaml: should contain",
    move: "config.yaml: belongs to another folder, digits/damaged4/seed0/",
}


def test_damaged_folders_are_named_and_counted_and_stop_no_other(sync, new_run):
    runs = {case: new_run(f"damaged{i}").finish() for i, case in enumerate(CASES)}
    good = new_run("whole").finish()
    sync()
    for case, run in runs.items():
        case(run)
    new_run("whole", seed=1).finish()
    report, shown = sync()
    assert report.counts()["failed"] == len(CASES)
    assert set(report.ids) == {good.path, good.path.with_name("seed1")}
    for case, text in CASES.items():
        assert text in report.damaged[runs[case].path]
    damaged = [r for r in shown.runs if r.data.tags["variant"] != "whole"]
    assert [r.data.tags["current"] for r in damaged].count("true") == len(CASES) - 1
    assert f"{runs[empty_metrics].path}: not synced: metrics.json" in "\n".join(report.lines())
