"""`posmlp sync`: bring MLflow up to date with the files of studies.

A study has two experiments: `<study>` holds the trainings, `<study> variants` a run for every
variant with its statistics over seeds. Both have a description, saved views and links; the chosen
variant is in the model registry.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posmlp.markup import escaped, printable
from posmlp.metrics import EVALUATED
from posmlp.runs.reading import milliseconds
from posmlp.tracking import chosen_model, saved_views
from posmlp.tracking.run_sync import MOST_RUNS, Report, sync_runs
from posmlp.tracking.store import (
    Store,
    StoreError,
    StoreUnavailable,
    masked,
    open_store,
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
    """Sync studies once per iteration, printing what has changed since the last.

    Args:
        names: studies to sync; default: all with runs in `results`.
        patient: yield no reports while the store does not answer, instead of raising.

    Raises:
        StoreError: the address is unusable, or a named study has no runs.
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
    """Sync each study once; `names` may be paths of study files. Raises what `rounds` does."""
    studies = find_studies(results, names)
    if not studies:
        return []  # without creating a store
    with open_store(results, uri) as store:
        return [sync_study(study, store) for study in studies]


def find_studies(results: Path, names: Sequence[str] = ()) -> list[str]:
    """The studies with a folder under runs/, or those among them that are named."""
    found = sorted(p.name for p in results.glob("runs/*") if p.is_dir() and p.name[0] != ".")
    chosen = [Path(name).stem if name.endswith(".yaml") else name for name in names]
    for name in chosen:
        if name not in found:
            there = f"there are runs of {', '.join(found)}" if found else "there are none"
            raise StoreError(f"{results}/runs holds no runs of a study {name!r}; {there}")
    return chosen or found


def sync_study(name: str, store: Store) -> Report:
    """Bring both experiments of a study and the model registry up to date with its files."""
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
    """Give every variant a run with its statistics, replacing those that have changed."""
    from mlflow.entities import Metric

    old = list(client.search_runs([experiment_id], max_results=MOST_RUNS))
    for number, row in enumerate(study.variants, start=1):
        if not row["finished_at"]:
            continue
        name, metrics = study.variant_name(row["variant"]), variant_metrics(row)
        tags, wanted = variant_tags(row, study), (metrics, name, "FINISHED")
        kept = [
            run
            for run in old
            if (run.data.metrics, run.info.run_name, run.info.status) == wanted
            and tags.items() <= run.data.tags.items()
        ]
        if kept:
            old.remove(kept[0])
        else:
            end_ms = milliseconds(row["finished_at"])
            run_id = client.create_run(experiment_id, end_ms, tags, name).info.run_id
            values = [
                Metric(key, value, end_ms, number if key == saved_views.INTERVAL else 0)
                for key, value in metrics.items()
            ]
            values += [  # earlier, so that the mean remains the last value
                Metric(saved_views.INTERVAL, metrics[key], end_ms - 1, number)
                for key in ("test_top1_low", "test_top1_high")
                if key in metrics
            ]
            client.log_batch(run_id, metrics=values)
            client.set_terminated(run_id, "FINISHED", end_ms)
    for run in old:
        client.delete_run(run.info.run_id)


def variant_metrics(row: Mapping[str, Any]) -> dict[str, float]:
    """Means under the metric's name, with their spread and interval; numeric groups as an axis."""
    values = {name: row[name] for name in ("n", *COSTS)}
    values["groups"] = int(row["groups"]) if row["groups"].isdigit() else math.nan
    for name in EVALUATED:
        if f"{name}_mean" in row:
            mean, std, half = (row[f"{name}_{x}"] for x in ("mean", "std", "half_width"))
            values |= {name: mean, f"{name}_std": std}
            values |= {f"{name}_low": mean - half, f"{name}_high": mean + half}
        if f"{name}_difference" in row:
            values[f"{name}_difference"] = row[f"{name}_difference"]
    values[saved_views.INTERVAL] = row["test_top1_mean"]
    return {name: round(float(v), 4) for name, v in values.items() if not math.isnan(v)}


def variant_tags(row: Mapping[str, Any], study: StudyFiles) -> dict[str, str]:
    note = f"{row['n']} of {row['num_seeds']} seeds have finished."
    return {
        "study": study.name,
        **{name: printable(row[name]) for name in ("variant", "gate", "groups", "claim")},
        "mlflow.note.content": f"{escaped(row['claim'])}\n\n{note}",
    }


def publish(
    client: MlflowClient, trainings: str, variants: str, study: StudyFiles, report: Report
) -> None:
    """Update the saved views and descriptions of both experiments."""
    links = report.links
    if study.variants:
        links["Charts"] = saved_views.view_path(variants, "CHART")
        links["Table"] = saved_views.view_path(variants, "TABLE")
    links["Curves"] = saved_views.view_path(trainings, "CHART")
    pages = " · ".join(f"[{name}]({address})" for name, address in links.items())
    note = {"mlflow.note.content": masked(study.note(pages, LONGEST_NOTE))}
    names = sorted({folder.parent.name for folder in report.ids})
    validation = any("val_top1_mean" in row for row in study.variants)
    for experiment_id, view in (
        (trainings, saved_views.of_trainings(names, validation=validation)),
        (variants, saved_views.of_variants(validation=validation)),
    ):
        before = client.get_experiment(experiment_id).tags
        for key, value in (note | view).items():
            if before.get(key) != value:
                client.set_experiment_tag(experiment_id, key, value)
