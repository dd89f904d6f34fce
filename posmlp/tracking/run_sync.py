"""Bring the runs of a study's MLflow experiment up to date with its run folders."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from posmlp.runs.folder_lock import locked_folders
from posmlp.tracking import run_payload
from posmlp.tracking.run_payload import DIGEST_TAG, LINES_TAG, RunPayload, cell_of
from posmlp.tracking.store import Store, brief
from posmlp.tracking.study_files import StudyFiles

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

MOST_RUNS = 50_000  # MLflow's limit of one search
TRANSIENT = {DIGEST_TAG, "error", "claim"}  # tags that may disappear from a run
SPLITS = {"train": "training", "val": "validation", "test": "testing"}  # MLflow's contexts


@dataclass
class Report:
    """The outcome of syncing a study."""

    study: str
    problems: list[str]  # with the study's tables
    ids: dict[Path, str] = field(default_factory=dict)  # run id by folder
    statuses: list[str] = field(default_factory=list)  # in the order of ids
    num_sent: int = 0  # runs that were new or had changed
    damaged: dict[Path, str] = field(default_factory=dict)  # why a folder was not synced
    registry: str = ""  # a sentence on the registered model
    links: dict[str, str] = field(default_factory=dict)  # title: page, relative to the server

    def counts(self) -> dict[str, int]:
        return {
            "runs": len(self.ids),
            "finished": self.statuses.count("FINISHED"),
            "running": self.statuses.count("RUNNING"),
            "sent": self.num_sent,
            "failed": len(self.damaged),
        }

    def lines(self) -> list[str]:
        count = self.counts()
        shown = f"{count['runs']} runs, {count['finished']} finished"
        shown += f", {count['running']} running" if count["running"] else ""
        shown += f", {count['failed']} not synced" if count["failed"] else ""
        damaged = [f"{folder}: not synced: {why}" for folder, why in self.damaged.items()]
        return [*damaged, *self.problems, f"{self.study}: {shown}. {self.registry}"]


def sync_runs(store: Store, experiment_id: str, study: StudyFiles, report: Report) -> None:
    """Send every folder that has changed; a damaged one does not stop the others."""
    identities, client, folders = set(), store.client, study.run_folders()
    listed = list(client.search_runs([experiment_id], max_results=MOST_RUNS))
    by_digest = {run.data.tags.get(DIGEST_TAG): run for run in listed}
    alive = locked_folders([f for f in folders if not os.path.lexists(f / "metrics.json")])
    for folder in folders:
        try:
            digest = run_payload.files_digest(folder, study, alive=folder in alive)
            if run := by_digest.get(digest):
                run_id, status = run.info.run_id, run.info.status
                identity = run.data.tags["posmlp.run"]
                if run.data.tags.get("current") != "true":  # the folder has gone back to it
                    client.set_tag(run_id, "current", "true")
            else:
                payload = run_payload.read_run(folder, study, alive=folder in alive)
                run = find_run(client, experiment_id, payload, listed)
                run_id, status, identity = run.info.run_id, payload.status, payload.identity
                send(client, run, payload)
                if status != "RUNNING":
                    for path in run_payload.run_files(folder):
                        inside = path.relative_to(folder).parent.as_posix()
                        client.log_artifact(run_id, str(path), None if inside == "." else inside)
                client.set_tag(
                    run_id, DIGEST_TAG, digest
                )  # last, so that an interrupted sync is repeated
                report.num_sent += 1
        except Exception as error:
            store.check()  # raises if the store is at fault
            report.damaged[folder] = brief(error)
        else:
            report.ids[folder] = run_id
            report.statuses.append(status)
            identities.add(identity)
    _retire(client, listed, report, identities)


def find_run(
    client: MlflowClient, experiment_id: str, payload: RunPayload, listed: Iterable[Run]
) -> Run:
    """Find the MLflow run of this training, or create it.

    A training that resumes keeps its first start time, and so its run. One that starts over gets a
    new run, because MLflow cannot delete points.
    """
    for run in listed:
        found = run.data.tags.get("posmlp.run"), run.info.start_time
        if found == (payload.identity, payload.start_ms):
            return run
    tags = {"posmlp.run": payload.identity}
    return client.create_run(experiment_id, payload.start_ms, tags, payload.name)


def send(client: MlflowClient, run: Run, payload: RunPayload) -> None:
    """Send what MLflow lacks, and remove tags that no longer apply, the digest first of all."""
    from mlflow.entities import Metric, Param, RunTag

    run_id = run.info.run_id
    for stale in (set(run.data.tags) & TRANSIENT) - set(payload.tags):
        client.delete_tag(run_id, stale)
    client.log_batch(
        run_id,
        params=[Param(name, value) for name, value in payload.params.items()],
        tags=[RunTag(name, value) for name, value in payload.tags.items()],
    )
    if run.info.run_name != payload.name:
        client.update_run(run_id, name=payload.name)
    metrics = [
        Metric(name, value, time_ms, epoch)
        for epoch, time_ms, values in payload.lines[int(run.data.tags.get(LINES_TAG, 0)) :]
        for name, value in values.items()
    ]
    # MLflow's pages draw the first metric they find, and not every epoch is evaluated.
    metrics.sort(key=lambda metric: metric.key != "test_top1")
    # The client splits batches at MLflow's limits; points sent twice are stored once.
    client.log_batch(run_id, metrics=metrics)
    client.set_tag(run_id, LINES_TAG, len(payload.lines))
    send_datasets(client, run_id, payload)
    if payload.status == "RUNNING":
        client.update_run(run_id, status=payload.status)
    else:
        client.set_terminated(run_id, payload.status, payload.end_ms)


def send_datasets(client: MlflowClient, run_id: str, payload: RunPayload) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs, name = [], payload.data["name"]
    for split, digest, num_images in payload.datasets:
        source = json.dumps({"data_set": name, "split": split, **payload.data})
        profile = json.dumps({"num_images": num_images})
        dataset = Dataset(f"{name} {split}", digest, "code", source, profile=profile)
        tags = [InputTag("mlflow.data.context", SPLITS[split])]
        inputs.append(DatasetInput(dataset, tags))
    if inputs:
        client.log_inputs(run_id, inputs)


def _retire(
    client: MlflowClient, listed: Iterable[Run], report: Report, identities: Set[str]
) -> None:
    """Mark runs whose folder is gone or holds another training, and delete duplicates.

    Duplicates come from two machines that sync at once, or from a training that started over.
    """
    shown = set(report.ids.values())
    damaged = {cell_of(folder) for folder in report.damaged}
    for run in listed:
        run_id, tags = run.info.run_id, run.data.tags
        identity = tags.get("posmlp.run", "")
        if run_id in shown or not identity or identity.rpartition("/")[0] + "/" in damaged:
            continue
        if identity in identities:
            client.delete_run(run_id)
        elif tags.get("current") != "false":
            client.set_tag(run_id, "current", "false")
            if run.info.status == "RUNNING":
                client.set_terminated(run_id, "KILLED")
