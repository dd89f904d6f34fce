"""`posmlp sync` and `posmlp rebuild`: MLflow brought to what the files of studies say.

A study has two experiments: `<study>` holds the trainings, `<study> variants` a run for every
variant with its statistics over seeds. Both have a description, saved views and links; the chosen
variant is in the model registry.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posmlp.markup import escaped, printable
from posmlp.runs.reading import milliseconds
from posmlp.tracking import chosen_model, saved_views
from posmlp.tracking.run_sync import MOST_RUNS, Report, sync_runs
from posmlp.tracking.store import (
    Store,
    StoreError,
    StoreUnavailable,
    masked,
    open_store,
    resolve_uri,
    sqlite_path,
    unavailable,
)
from posmlp.tracking.study_files import StudyFiles

if TYPE_CHECKING:
    from mlflow import MlflowClient

LONGEST_NOTE = 19_000  # MLflow takes 20,000 characters
COSTS = ("params", "token_mixing_params", "macs")


def rounds(
    results: Path, names: Sequence[str] = (), *, patient: bool = False
) -> Iterator[list[Report]]:
    """Sync studies, printing what is new, each time that the next reports are asked for.

    Args:
        names: of studies; default: all that have runs in `results`.
        patient: a store that does not answer gives no reports, and no error.

    Raises:
        StoreError: no usable address, or no runs of a study that is named.
        StoreUnavailable: the store does not answer.
    """
    said: list[str] = []
    while True:
        reports: list[Report] = []
        try:
            reports = sync_once(results, names)
            lines = [line for report in reports for line in report.lines()]
            lines = lines or [f"{results}/runs holds no runs"]
        except StoreUnavailable as error:
            if not patient:
                raise
            lines = [f"MLflow does not answer, trying again: {error}"]
        for line in lines:
            if line not in said:  # a round that changes nothing says nothing
                print(line, flush=True)
        said = lines
        yield reports


def sync_once(results: Path, names: Sequence[str] = (), uri: str | None = None) -> list[Report]:
    """Sync each study once; `names` may be paths of study files. Errors are those of `rounds`."""
    studies = find_studies(results, names)
    if not studies:
        return []  # and no store is created
    with open_store(results, uri) as store:
        return [sync_study(study, store) for study in studies]


def find_studies(results: Path, names: Sequence[str] = ()) -> list[str]:
    """Names of the studies that have a folder under runs/, or of those that are named."""
    found = sorted(p.name for p in results.glob("runs/*") if p.is_dir() and p.name[0] != ".")
    chosen = [Path(name).stem if name.endswith(".yaml") else name for name in names]
    for name in chosen:
        if name not in found:
            there = f"there are runs of {', '.join(found)}" if found else "there are none"
            raise StoreError(f"{results}/runs holds no runs of a study {name!r}; {there}")
    return chosen or found


def sync_study(name: str, store: Store) -> Report:
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


def rebuild(results: Path) -> None:
    """Build a store from the run folders alone, beside the old one, and swap it in last.

    Raises:
        StoreError: there are no runs, or the store is on a server, where its owner deletes.
        StoreUnavailable: it cannot be built; the old one is untouched.
    """
    uri = resolve_uri(results)
    database = sqlite_path(uri)
    if not database:
        raise StoreError(
            f"{masked(uri)} is not a SQLite file. To rebuild a study on a server, delete its two "
            "experiments in the UI, remove them by `mlflow gc`, and run `posmlp sync`"
        )
    if not find_studies(results):
        raise StoreError(f"{results}/runs holds no runs to rebuild the store from")
    new = database.with_name(f"{database.name}.new")
    new.unlink(missing_ok=True)
    try:
        for report in sync_once(results, uri=f"sqlite:///{new}"):
            print("\n".join(report.lines()), flush=True)
        if database.exists():
            old = database.with_name(f"{database.name}.{time.strftime('%Y%m%d-%H%M%S')}")
            os.link(database, old)
            print(f"The old store is kept as {old}", flush=True)
        new.replace(database)
    finally:
        new.unlink(missing_ok=True)
