"""Bring the MLflow runs of a study's experiment to what its run folders say."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from posmlp.runs.folder_lock import locked_folders
from posmlp.tracking import run_payload
from posmlp.tracking.address import brief
from posmlp.tracking.run_payload import DIGEST_TAG, Line, Mark, RunPayload, StudyFacts

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from posmlp.tracking.store import Store


@dataclass
class SyncedRuns:
    """What a sync did with the run folders of a study.

    Args:
        ids: MLflow's run of each folder that it shows.
        statuses: of these, in MLflow's words.
        num_sent: runs that were new or had changed.
        problems: why a folder is not shown as it is now.
    """

    ids: dict[Path, str] = field(default_factory=dict)
    statuses: list[str] = field(default_factory=list)
    num_sent: int = 0
    problems: dict[Path, str] = field(default_factory=dict)


def sync_runs(
    store: Store, experiment_id: str, folders: Sequence[Path], study: StudyFacts
) -> SyncedRuns:
    """Send every folder that has changed; one that cannot be shown does not stop the others.

    Raises:
        StoreUnavailable: the store does not answer.
    """
    done = SyncedRuns()
    listed = list(all_runs(store.client, experiment_id))
    by_digest = {run.data.tags.get(DIGEST_TAG): run for run in listed}
    alive = locked_folders([f for f in folders if not os.path.lexists(f / "metrics.json")])
    for folder in folders:
        try:
            digest = run_payload.files_digest(folder, study, alive=folder in alive)
            run = by_digest.get(digest)
            if run:
                run_id, status = run.info.run_id, run.info.status
                _set_current(store.client, run)
            else:
                payload = run_payload.read_run(folder, study, alive=folder in alive)
                sender = RunSender(store.client, experiment_id, payload)
                run_id, status = sender.send(folder, digest, listed), payload.status
                done.num_sent += 1
        except Exception as error:
            store.check()  # raises if it is the store
            done.problems[folder] = brief(error)
        else:
            done.ids[folder] = run_id
            done.statuses.append(status)
    _retire(store.client, listed, done)
    return done


def all_runs(client: MlflowClient, experiment_id: str) -> Iterator[Run]:
    token = None
    while token is None or token:
        page = client.search_runs([experiment_id], max_results=5000, page_token=token)
        yield from page
        token = page.token or ""


class RunSender:
    """Sends one run."""

    def __init__(self, client: MlflowClient, experiment_id: str, payload: RunPayload) -> None:
        self.client, self.experiment_id, self.payload = client, experiment_id, payload

    def send(self, folder: Path, digest: str, listed: Iterable[Run]) -> str:
        """Add what MLflow lacks, in the run of this training or a new one; gives the run's id.

        The digest goes last: a run that was sent in part is sent again.
        """
        run, stored = self.find(listed) or (self.create(), set())
        self.run_id = run.info.run_id
        self.send_head(run)
        lines = [line for line in self.payload.history if line.mark not in stored]
        self.send_lines([*lines, *([self.payload.final] if self.payload.final else [])])
        self.send_datasets()
        self.send_status(run)
        if self.payload.status != "RUNNING":
            self.send_files(folder)
        self.client.set_tag(self.run_id, DIGEST_TAG, digest)
        return self.run_id

    def find(self, listed: Iterable[Run]) -> tuple[Run, Set[Mark]] | None:
        """The run of this very training with the most epochs, and the epochs that it has.

        A training that resumes keeps its rows and so its run. One that starts again writes epochs
        at other times; MLflow cannot forget a point, so it gets a run of its own.
        """
        same = [run for run in listed if run.data.tags.get("posmlp.run") == self.payload.identity]
        found = [(run, stored_epochs(self.client, run)) for run in same]
        found = [(run, stored) for run, stored in found if stored <= marks(self.payload.history)]
        return max(found, key=lambda entry: len(entry[1])) if found else None

    def create(self) -> Run:
        return self.client.create_run(
            self.experiment_id,
            start_time=self.payload.start_ms,
            tags={"posmlp.run": self.payload.identity},
            run_name=self.payload.name,
        )

    def send_head(self, run: Run) -> None:
        """Send name, params and tags, and remove tags that no longer hold, the digest above all."""
        from mlflow.entities import Param, RunTag

        for stale in (set(run.data.tags) & set(run_payload.TAGS)) - set(self.payload.tags):
            self.client.delete_tag(self.run_id, stale)
        self.client.log_batch(
            self.run_id,
            params=[Param(name, value) for name, value in self.payload.params.items()],
            tags=[RunTag(name, value) for name, value in self.payload.tags.items()],
        )
        if run.info.run_name != self.payload.name:
            self.client.update_run(self.run_id, name=self.payload.name)

    def send_lines(self, lines: Iterable[Line]) -> None:
        from mlflow.entities import Metric

        metrics = [
            Metric(name, value, line.mark.time_ms, line.mark.epoch)
            for line in lines
            for name, value in line.values.items()
        ]
        if metrics:
            self.client.log_batch(self.run_id, metrics=metrics)  # in batches of MLflow's limits

    def send_datasets(self) -> None:
        """Name the images of each split, with their digests."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        inputs, name = [], self.payload.data["name"]
        for split, digest, num_images in self.payload.datasets:
            source = json.dumps({"data_set": name, "split": split, **self.payload.data})
            profile = json.dumps({"num_images": num_images})
            dataset = Dataset(f"{name} {split}", digest, "code", source, profile=profile)
            tags = [InputTag("mlflow.data.context", run_payload.SPLITS[split])]
            inputs.append(DatasetInput(dataset, tags))
        if inputs:
            self.client.log_inputs(self.run_id, inputs)

    def send_status(self, run: Run) -> None:
        status, end_ms = self.payload.status, self.payload.end_ms
        if (status, end_ms) == (run.info.status, run.info.end_time):
            return
        if status == "RUNNING":
            self.client.update_run(self.run_id, status=status)
        else:
            self.client.set_terminated(self.run_id, status, end_ms)

    def send_files(self, folder: Path) -> None:
        for path in run_payload.run_files(folder):
            inside = path.relative_to(folder).parent.as_posix()
            self.client.log_artifact(self.run_id, str(path), None if inside == "." else inside)


def stored_epochs(client: MlflowClient, run: Run) -> Set[Mark]:
    """The complete epochs that MLflow has of a run."""
    points = client.get_metric_history(run.info.run_id, run_payload.LAST_COLUMN)
    return {Mark(point.step, point.timestamp) for point in points}


def marks(history: Iterable[Line]) -> Set[Mark]:
    return {line.mark for line in history}


def _set_current(client: MlflowClient, run: Run) -> None:
    if run.data.tags.get("current") != "true":
        client.set_tag(run.info.run_id, "current", "true")


def _retire(client: MlflowClient, listed: Iterable[Run], done: SyncedRuns) -> None:
    """Mark runs whose folder is gone or holds another training; delete doubles.

    Two machines that sync at the same time may both create a run for one folder.
    """
    folder_of = {run_payload.cell_of(folder): folder for folder in done.ids}
    damaged = {run_payload.cell_of(folder) for folder in done.problems}
    shown = set(done.ids.values())
    identities = {r.data.tags.get("posmlp.run") for r in listed if r.info.run_id in shown}
    for run in listed:
        identity = run.data.tags.get("posmlp.run", "")
        cell = identity.rpartition("/")[0] + "/"
        current = run.data.tags.get("current") != "false"
        if run.info.run_id in shown or not identity or cell in damaged or not current:
            continue
        if identity in identities:
            history = run_payload.read_lines(folder_of[cell] / "history.csv")
            if stored_epochs(client, run) <= marks(history):
                client.delete_run(run.info.run_id)
                continue
        client.set_tag(run.info.run_id, "current", "false")
        if run.info.status == "RUNNING":
            client.set_terminated(run.info.run_id, "KILLED")
