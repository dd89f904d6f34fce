"""Bring the two MLflow experiments of a study to what its files say.

`<study>` holds the trainings, `<study> variants` a run for every variant with its statistics over
seeds. Both have a description, saved views and links; the chosen variant is in the model registry.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from posmlp.markup import escaped, printable
from posmlp.runs.reading import milliseconds
from posmlp.tracking import chosen_model, saved_views
from posmlp.tracking.run_sync import MOST_RUNS, Report, sync_runs
from posmlp.tracking.store import Store, masked, unavailable
from posmlp.tracking.study_files import StudyFiles

if TYPE_CHECKING:
    from mlflow import MlflowClient

LONGEST_NOTE = 19_000  # MLflow takes 20,000 characters
COSTS = ("params", "token_mixing_params", "macs")


def sync(name: str, store: Store) -> Report:
    """Make MLflow say what the files of a study say; what it has already is not sent again."""
    from mlflow.exceptions import MlflowException

    study = StudyFiles(name, store.results)
    report = Report(name, study.problems)
    try:
        trainings = store.experiment_id(name)
        sync_runs(store, trainings, study, report)
        variants = store.experiment_id(f"{name} variants")
        sync_variants(store.client, variants, study)
        publish(store.client, trainings, variants, study, report)
        report.registry = chosen_model.register(store, trainings, study, report.ids)
    except (MlflowException, OSError) as error:
        raise unavailable(store.uri, error) from None
    return report


def sync_variants(client: MlflowClient, experiment_id: str, study: StudyFiles) -> None:
    """A run for every variant with its statistics; one that has changed is replaced."""
    from mlflow.entities import Metric

    old = list(client.search_runs([experiment_id], max_results=MOST_RUNS))
    for row, entry in enumerate(study.variants, start=1):
        name, metrics = study.variant_name(entry["variant"]), variant_metrics(entry)
        tags, wanted = variant_tags(entry, study), (metrics, name, "FINISHED")
        kept = [
            run
            for run in old
            if (run.data.metrics, run.info.run_name, run.info.status) == wanted
            and tags.items() <= run.data.tags.items()
        ]
        if kept:
            old.remove(kept[0])
        elif metrics and entry["finished_at"]:
            end_ms = milliseconds(entry["finished_at"])
            run_id = client.create_run(experiment_id, end_ms, tags, name).info.run_id
            values = [
                Metric(key, value, end_ms, row if key == saved_views.INTERVAL else 0)
                for key, value in metrics.items()
            ]
            values += [  # earlier, so that the mean remains the last value
                Metric(saved_views.INTERVAL, metrics[key], end_ms - 1, row)
                for key in ("test_top1_low", "test_top1_high")
                if key in metrics
            ]
            client.log_batch(run_id, metrics=values)
            client.set_terminated(run_id, "FINISHED", end_ms)
    for run in old:
        client.delete_run(run.info.run_id)


def variant_metrics(entry: Mapping[str, Any]) -> dict[str, float]:
    """Means under the metric's name, spread and interval beside it; numeric groups as an axis."""
    values = {name: entry[name] for name in ("n", *COSTS)}
    values["groups"] = int(entry["groups"]) if str(entry["groups"]).isdigit() else None
    for name, metric in entry["metrics"].items():
        values[name] = metric["mean"]
        values |= {f"{name}_{statistic}": metric[statistic] for statistic in ("std", "low", "high")}
    values[saved_views.INTERVAL] = values.get("test_top1")
    values |= {f"{k}_difference": v["difference"] for k, v in entry["differences"].items()}
    return {name: round(float(v), 4) for name, v in values.items() if v is not None}


def variant_tags(entry: Mapping[str, Any], study: StudyFiles) -> dict[str, str]:
    note = f"{entry['n']} of {entry['num_seeds']} seeds have finished."
    return {
        "study": study.name,
        **{name: printable(str(entry[name])) for name in ("variant", "gate", "groups", "claim")},
        "mlflow.note.content": f"{escaped(str(entry['claim']))}\n\n{note}",
    }


def publish(
    client: MlflowClient, trainings: str, variants: str, study: StudyFiles, report: Report
) -> None:
    """Set saved views and descriptions of both experiments, where they have changed."""
    links, run_ids = report.links, report.ids
    if study.variants:
        links["Charts"] = saved_views.view_path(variants, "CHART")
        links["Table"] = saved_views.view_path(variants, "TABLE")
    links["Curves"] = saved_views.view_path(trainings, "CHART")
    best = [study.run_folder(entry["variant"], entry["best_seed"]) for entry in study.variants]
    if ids := [run_ids[folder] for folder in best if folder in run_ids]:
        links["Best seeds"] = saved_views.compare_path(trainings, ids)
    pages = " · ".join(f"[{name}]({address})" for name, address in links.items())
    note = {"mlflow.note.content": masked(study.note(pages, LONGEST_NOTE))}
    names = sorted({folder.parent.name for folder in run_ids})
    validation = any("val_top1" in entry["metrics"] for entry in study.variants)
    for experiment_id, view in (
        (trainings, saved_views.of_trainings(names, validation=validation)),
        (variants, saved_views.of_variants(validation=validation)),
    ):
        before = client.get_experiment(experiment_id).tags
        for key, value in (note | view).items():
            if before.get(key) != value:
                client.set_experiment_tag(experiment_id, key, value)
