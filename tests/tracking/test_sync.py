"""`posmlp sync`: what it says, and whole studies as MLflow shows them."""

import json
import re
import shutil

import pytest
from samples import RunFolder, Shown, files_under

from posmlp.analysis.collect import read_frame, write_frame
from posmlp.cli import main
from posmlp.markup import escaped
from posmlp.tracking.sync import rounds, sync_once
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
        f"{damaged.path}: not synced: config.yaml: should contain `key: value` lines, found None",
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


@pytest.fixture(scope="module")
def variants(study_shown):
    return Shown(study_shown, "small variants")


@pytest.fixture(scope="module")
def trainings(study_shown):
    return Shown(study_shown, "small")


def experiment_tags(shown):
    return shown.client.get_experiment(shown.id).tags


def test_trainings_and_variants_have_an_experiment_each(trainings, variants):
    names = sorted(run.info.run_name for run in trainings.runs)
    assert names == ["1 sgu seed 0", "1 sgu seed 1", "2 gqpe_s4 seed 0", "2 gqpe_s4 seed 1"]
    assert sorted(run.info.run_name for run in variants.runs) == ["1 sgu", "2 gqpe_s4"]
    metrics = set.intersection(*(set(run.data.metrics) for run in trainings.runs))
    assert metrics >= {"test_top1", "val_top1", "train_loss", "params", "macs"}


def test_variants_have_the_statistics_of_the_table(study_shown, variants):
    table = (study_shown / "small/tables/main.md").read_text()
    for run in variants.runs:
        metrics = run.data.metrics
        mean, std = f"{metrics['test_top1']:.2f}", f"{metrics['test_top1_std']:.2f}"
        variant = run.data.tags["variant"]
        assert re.search(rf"\| {variant} .*{mean} ± {std} +\| +{metrics['n']:.0f} ", table)
        bounds = metrics["test_top1_low"], metrics["test_top1"], metrics["test_top1_high"]
        assert bounds[0] < bounds[1] < bounds[2]
        points = variants.points(run, "test_top1_interval")
        row = ["sgu", "gqpe_s4"].index(variant) + 1
        assert [(step, value) for step, _, value in points] == [
            (row, bounds[0]),
            (row, bounds[2]),
            (row, bounds[1]),
        ]
        assert "<script>" not in run.data.tags["mlflow.note.content"]


def test_descriptions_have_the_table_and_show_texts_of_the_study_as_written(trainings, variants):
    note = experiment_tags(trainings)["mlflow.note.content"]
    assert note == experiment_tags(variants)["mlflow.note.content"]
    assert note.startswith(f"{escaped('A | tiny <i>study</i>')}: [Charts](#/experiments/")
    assert "Does \\*it\\* show?" in note
    assert "| gqpe_s4" in note
    assert "<i>" not in note
    for page in ("compareRunsMode=CHART", "compareRunsMode=TABLE"):
        assert page in note


def test_a_variant_that_changes_is_replaced(study_results):
    sync_once(study_results)
    path, table = (study_results / f"small/tables/{name}" for name in ("variants.csv", "main.md"))
    variants = read_frame(path)
    write_frame(variants.assign(test_top1_mean=[12.5, *variants["test_top1_mean"][1:]]), path)
    table.write_text("# T\n\n| a |\n" + "| b |\n" * 5000)
    before = {run.info.run_id for run in Shown(study_results, "small variants").runs}
    sync_once(study_results)
    after = Shown(study_results, "small variants").runs
    assert {run.data.metrics["test_top1"] for run in after} >= {12.5}
    assert len(after) == 2
    assert len(before & {run.info.run_id for run in after}) == 1
    note = experiment_tags(Shown(study_results, "small"))["mlflow.note.content"]
    assert f"see {table}" in note
    assert len(note) < 20_000  # MLflow takes no more


def test_a_study_without_results_or_with_damaged_ones_is_shown(study_results):
    folder = study_results / "small"
    shutil.rmtree(folder)
    (report,) = sync_once(study_results)
    assert report.registry == "No model is registered: there are no results yet."
    note = experiment_tags(Shown(study_results, "small"))["mlflow.note.content"]
    assert "The main table follows" in note
    folder.mkdir()
    (folder / "study.json").write_text('{"seeds": [')
    (report,) = sync_once(study_results)
    assert "study.json: is damaged" in report.problems[0]
    assert report.counts()["runs"] == 4
    (folder / "study.json").write_text('{"seeds": [0, 1]}')
    (report,) = sync_once(study_results)
    assert "runs.csv: no such file" in report.problems[0]
    assert report.counts()["runs"] == 4


def everything(results):
    """All that a store shows, with names for ids, so that two can be compared."""
    names = ("small", "small variants", "digits", "digits variants")
    stores, shown = {name: Shown(results, name) for name in names}, {}
    ids = {run.info.run_id: run.info.run_name for store in stores.values() for run in store.runs}
    for name, store in stores.items():
        models = store.client.search_logged_models([store.id])
        text = json.dumps(experiment_tags(store))
        for run_id, run_name in ids.items():
            text = text.replace(run_id, run_name)
        shown[name] = re.sub(r"experiments(/|=%5B%22)\d+", "experiments ID", text)
        for run in store.runs:
            shown[run.info.run_name, name] = {
                "info": (run.info.status, run.info.start_time, run.info.end_time),
                "params": run.data.params,
                "tags": run.data.tags,
                "points": {metric: store.points(run, metric) for metric in run.data.metrics},
                "artifacts": files_under(run.info.artifact_uri),
                "inputs": sorted(str(i.dataset.to_dictionary()) for i in run.inputs.dataset_inputs),
                "models": [
                    (model.name, model.tags, files_under(model.artifact_location))
                    for model in models
                    if model.source_run_id == run.info.run_id
                ],
            }
    versions = store.client.search_model_versions("")
    aliases = {m.name: m.aliases for m in store.client.search_registered_models()}
    registry = [(v.name, v.version, v.tags, v.description, aliases[v.name]) for v in versions]
    return shown | {"registry": registry}


def test_a_store_that_grew_and_a_new_one_are_equal(study_results, tmp_path):
    """Runs are seen killed, going on and finished, a folder of another study is damaged."""
    RunFolder(study_results, "digits", "sgu", 0).finish()
    broken = RunFolder(study_results, "digits", "sgu", 1).finish()
    for folder in study_results.glob("runs/small/*/seed0"):
        history, whole = folder / "history.csv", (folder / "history.csv").read_text()
        kept = (folder / "metrics.json").rename(folder / "kept.json")
        history.write_text("".join(whole.splitlines(keepends=True)[:2]))
        sync_once(study_results)
        history.write_text(whole)
        kept.rename(folder / "metrics.json")
    (broken.path / "config.yaml").write_text("")
    sync_once(study_results)
    grown = everything(study_results)
    assert len(grown["registry"]) == 1
    another = tmp_path / "another/results"
    stored = shutil.ignore_patterns("mlartifacts", "mlflow.db")
    shutil.copytree(study_results, another, ignore=stored)
    sync_once(another)
    new = everything(another)
    del grown["sgu seed 1", "digits"]  # from before its folder was damaged
    assert new.keys() == grown.keys()
    for name in grown:
        assert new[name] == grown[name], name
