"""A whole study in MLflow: what it shows is what the files say, and all of it comes from them."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import posmlp
from posmlp.tracking import init_store, mirror

ROOT = Path(posmlp.__file__).parents[1]


def everything(store):
    """All that a store shows of its experiment, with names for ids, so that two can be compared."""
    from mlflow import MlflowClient
    from mlflow.entities import ViewType

    client = MlflowClient(store.uri, store.uri)
    experiment = client.get_experiment(store.experiment_id)
    runs = client.search_runs([store.experiment_id], run_view_type=ViewType.ALL)
    names = {run.info.run_id: run.info.run_name for run in runs}
    models = client.search_logged_models([store.experiment_id])

    def named(value):
        for run_id, name in names.items():
            value = value.replace(run_id, name)
        for place in ("#/experiments/{}/", "experiments=%5B%22{}%22"):
            value = value.replace(place.format(store.experiment_id), place.format("ID"))
        return value

    shown = {}
    for run in runs:
        run_id = run.info.run_id
        points = {name: client.get_metric_history(run_id, name) for name in run.data.metrics}
        inputs = run.inputs.dataset_inputs
        shown[run.info.run_name, run.info.lifecycle_stage] = {
            "info": (run.info.status, run.info.start_time, run.info.end_time),
            "params": run.data.params,
            "tags": run.data.tags,
            "points": {
                name: sorted((p.step, p.timestamp, p.value) for p in history)
                for name, history in points.items()
            },
            "artifacts": files(run.info.artifact_uri),
            "inputs": sorted((i.dataset.to_dictionary().items(), str(i.tags)) for i in inputs),
            "models": [
                (model.name, model.tags, files(model.artifact_location))
                for model in models
                if model.source_run_id == run_id
            ],
        }
    assert len(shown) == len(runs)
    versions = client.search_model_versions("")
    aliases = {m.name: m.aliases for m in client.search_registered_models()}
    registry = [(v.name, v.version, v.tags, v.description, aliases[v.name]) for v in versions]
    return {
        "name": experiment.name,
        "tags": {name: named(value) for name, value in experiment.tags.items()},
        "runs": shown,
        "registry": registry,
    }


def files(folder):
    root = Path(folder.removeprefix("file://"))
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }


def test_a_store_that_grew_with_the_runs_and_one_rebuilt_from_results_are_equal(
    study_results, sync_study
):
    """Seen live, killed, gone on with, closed; then the store is lost."""
    store = init_store("small", results=study_results)
    for folder in study_results.glob("runs/small/*/seed*"):
        hidden = [folder / name for name in ("metrics.json", "model.safetensors", "figures")]
        kept = [path.rename(path.with_name(f".{path.name}")) for path in hidden]
        whole = (folder / "history.csv").read_text()
        (folder / "history.csv").write_text("".join(whole.splitlines(keepends=True)[:2]))
        mirror(folder, store, alive=True)
        mirror(folder, store)  # killed
        mirror(folder, store, alive=True)
        (folder / "history.csv").write_text(whole)
        for path, name in zip(kept, hidden, strict=True):
            path.rename(name)
    _, report = sync_study(study_results)
    assert (report["runs"], report["finished"], report["failed"]) == (4, 4, 0)
    grown = everything(store)
    sync_study(study_results)
    assert everything(store) == grown  # nothing doubled
    command = [sys.executable, "-m", "posmlp.tracking", "rebuild", "--results", study_results]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "The store as it was is kept" in done.stdout
    # By another name: this process has the old file open.
    shutil.copy(study_results / "mlflow.db", study_results / "rebuilt.db")
    copy = f"sqlite:///{study_results / 'rebuilt.db'}"
    rebuilt = everything(init_store("small", results=study_results, uri=copy))
    assert rebuilt["runs"].keys() == grown["runs"].keys()
    for name in grown["runs"]:
        assert rebuilt["runs"][name] == grown["runs"][name]
    assert rebuilt == grown
    num_points = sum(
        len(points) for run in grown["runs"].values() for points in run["points"].values()
    )
    assert num_points > 4 * 2 * 10


def test_runs_are_named_so_that_they_sort(study_results, sync_study):
    store, _ = sync_study(study_results)
    names = sorted(name for name, _ in everything(store)["runs"])
    assert names == [
        *("1 sgu mean", "1 sgu seed 0", "1 sgu seed 1"),
        *("2 gqpe_s4 mean", "2 gqpe_s4 seed 0", "2 gqpe_s4 seed 1"),
    ]


def test_a_run_per_variant_has_the_figures_of_the_table(study_results, sync_study):
    store, _ = sync_study(study_results)
    table = (study_results / "small/tables/main.md").read_text()
    for variant, name in (("sgu", "1 sgu mean"), ("gqpe_s4", "2 gqpe_s4 mean")):
        points = everything(store)["runs"][name, "active"]["points"]
        mean, std, n, low, high = (
            points[f"summary/{figure}"][0][2] for figure in ("mean", "std", "n", "low", "high")
        )
        assert re.search(rf"\| {variant} .*{mean:.2f} ± {std:.2f} +\| +{n:.0f} ", table)
        assert low < mean < high


def test_a_summary_that_changes_is_replaced(study_results, sync_study):
    sync_study(study_results)
    path = study_results / "small/comparison.json"
    comparison = json.loads(path.read_text())
    comparison["variants"][0]["mean"] = 12.5
    path.write_text(json.dumps(comparison))
    store, _ = sync_study(study_results)
    runs = everything(store)["runs"]
    assert runs["1 sgu mean", "active"]["points"]["summary/mean"][0][2] == 12.5
    assert len([name for name in runs if name[1] == "active"]) == 6


def test_the_description_has_the_table_and_shows_texts_of_the_study_as_they_are(
    study_results, sync_study
):
    store, _ = sync_study(study_results)
    tags = everything(store)["tags"]
    note = tags["mlflow.note.content"]
    assert "## A \\| tiny &lt;i&gt;study&lt;/i&gt;" in note
    assert "Does \\*it\\* show?" in note
    assert "| gqpe_s4" in note
    assert "<i>" not in note.partition("| Variant")[0]
    for page in ("viewStateShareKey=charts", "viewStateShareKey=table", "#/compare-runs?runs="):
        assert page in note
    assert tags["posmlp.compare"].count("seed%20") == 0  # ids, which `everything` named
    assert all(len(value) < 20_000 for value in tags.values())


def test_runs_that_are_no_longer_there_leave_the_view(study_results, sync_study):
    sync_study(study_results)
    shutil.rmtree(study_results / "runs/small/sgu/seed1")
    store, _ = sync_study(study_results)
    runs = everything(store)["runs"]
    current = {name for (name, _), run in runs.items() if run["tags"]["current"] == "true"}
    assert "1 sgu seed 1" not in current
    assert len(current) == 5


def test_a_study_under_way_is_shown_without_results(study_results, sync_study):
    for path in (study_results / "small").iterdir():
        if path.name != "study.json":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    store, report = sync_study(study_results)
    assert report["registry"] == "No entry: the study has no results yet."
    shown = everything(store)
    assert len(shown["runs"]) == 4
    assert "The main table follows" in shown["tags"]["mlflow.note.content"]


def test_sync_keeps_away_from_other_studies(study_results, sync_study):
    other = init_store("other", results=study_results)
    before = everything(other)
    sync_study(study_results)
    after = everything(other)
    assert (after["runs"], after["tags"]) == (before["runs"], before["tags"])


@pytest.mark.parametrize("name", ["table", "charts"])
def test_a_view_groups_and_shows_all_runs(study_results, sync_study, name):
    store, _ = sync_study(study_results)
    state = json.loads(everything(store)["tags"][f"mlflow.sharedViewState.{name}"])
    assert state["groupBy"]["groupByKeys"] == [{"mode": "tag", "groupByData": "variant"}]
    assert state["runsHiddenMode"] == "SHOWALL"
    assert "metrics.`final/val_top1`" in state["selectedColumns"]
    kinds = [chart["type"] for chart in state["compareRunCharts"]]
    assert kinds == ["SCATTER", "SCATTER", "BAR", "LINE", "LINE"]
