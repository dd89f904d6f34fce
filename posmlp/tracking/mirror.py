"""The one mechanism that brings the MLflow run of a folder to what its files say."""

from __future__ import annotations

import fcntl
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posmlp.tracking import attachments, record
from posmlp.tracking.address import brief, masked
from posmlp.tracking.store import Store, open_client

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

logger = logging.getLogger("posmlp.tracking")

LOCK_S = 30.0  # the longest wait for another process that mirrors the same folder


def mirror(run_folder: Path, store: Store, *, alive: bool = False) -> str:
    """Bring the MLflow run of `run_folder` to what its files say, and return the run's id.

    Idempotent.  `alive`: a process trains in the folder now.
    """
    client = open_client(store.uri, store.experiment_id)
    run = RunMirror(run_folder, client, store.experiment_id)
    run.complete(alive=alive)
    return run.run_id


def sync_runs(
    run_folders: Sequence[Path], store: Store
) -> tuple[dict[str, int], dict[Path, RunMirror]]:
    """Mirror every folder; one that cannot be mirrored is logged and counted, not raised.

    Returns the number of `runs` mirrored, of those `finished` and `running`, of `points`, and of
    `failed` folders; and the mirrors.  StoreUnavailable: the store does not answer.
    """
    from posmlp.runs.lock import held

    client = open_client(store.uri, store.experiment_id)
    counts = dict.fromkeys(("runs", "finished", "running", "points", "failed"), 0)
    alive, mirrors = held(run_folders), {}
    for folder in run_folders:
        try:
            run = RunMirror(folder, client, store.experiment_id)
            counts["points"] += run.complete(alive=folder in alive)
        except Exception as error:
            client = open_client(store.uri, store.experiment_id)  # raises if it is the store
            logger.warning("%s is not shown in MLflow: %s", folder, brief(error))
            counts["failed"] += 1
        else:
            counts["runs"] += 1
            counts["finished"] += run.status == "FINISHED"
            counts["running"] += run.status == "RUNNING"
            mirrors[folder] = run
    return counts, mirrors


class RunMirror:
    """One run folder and its MLflow run; remembers what was sent, so that updates are small."""

    def __init__(self, folder: Path, client: MlflowClient, experiment_id: str) -> None:
        self.folder = Path(folder)
        self.config = record.read_config(self.folder)
        self.study = record.read_study(self.folder)
        self.client = client
        self.experiment_id = experiment_id
        self.run_id = ""
        self.model_id = ""
        self.status = ""
        self.end_ms: int | None = None
        self.sent: set[record.Mark] = set()  # of history.csv
        self.num_system = 0  # lines of system.csv sent

    def update(self, *, alive: bool) -> None:
        """Send what is new in the folder since the last time, and how the run stands."""
        with only_one_writer(self.folder):
            history = record.read_history(self.folder)
            if not self.run_id or not _is_part(self.sent, history):
                self._open(history)
            self._send([line for line in history if line.mark not in self.sent])
            self.sent = {line.mark for line in history}
            system = record.read_system(self.folder)
            self._send(system[self.num_system :])
            self.num_system = len(system)
            now = record.state(self.folder, self.config["key"], alive=alive)
            if now.status != "RUNNING":
                self._finish(now)
                attachments.send_files(self)

    def complete(self, *, alive: bool) -> int:
        """Send everything again, whatever MLflow has, and the model; returns how many points."""
        with only_one_writer(self.folder):
            history = record.read_history(self.folder)
            self._open(history)
            # Final figures first: MLflow's pages draw the metric that they meet first.
            now = record.state(self.folder, self.config["key"], alive=alive)
            num_points = self._finish(now)
            num_points += self._send([*history, *record.read_system(self.folder)])
            if now.status != "RUNNING":
                attachments.send_files(self)  # last: their disk may be full where the store is well
            metrics = record.read_metrics(self.folder, self.config["key"])
            if metrics:
                self.model_id = attachments.send_model(self, metrics)
            return num_points

    def _open(self, history: Sequence[record.Line]) -> None:
        """Find the run of this training or create it, and tell it from others of its cell."""
        facts = record.read_facts(self.folder)
        cell = self._runs_of_cell()
        run, self.sent = self._find(cell, history) or (self._create(facts), set())
        self.run_id, self.status, self.end_ms = run.info.run_id, run.info.status, run.info.end_time
        self._send_head(facts, run)
        for other in cell:
            if other.info.run_id != self.run_id:
                self._retire(other, history)

    def _runs_of_cell(self) -> list[Run]:
        """Runs of the same variant and seed, oldest first, whatever their keys."""
        prefix = record.cell_prefix(self.config)
        found = self.client.search_runs(
            [self.experiment_id],
            f"tags.`posmlp.run` LIKE '{prefix}%'",
            order_by=["attributes.start_time ASC"],
        )  # LIKE reads _ as any character
        return [run for run in found if run.data.tags["posmlp.run"].startswith(prefix)]

    def _find(
        self, cell: Iterable[Run], history: Sequence[record.Line]
    ) -> tuple[Run, set[record.Mark]] | None:
        """The run of this very training with the most epochs, and the epochs that it has."""
        found = [(run, self._stored(run)) for run in cell if self._is_ours(run)]
        found = [(run, stored) for run, stored in found if _is_part(stored, history)]
        return max(found, key=lambda entry: len(entry[1])) if found else None

    def _is_ours(self, run: Run) -> bool:
        return run.data.tags["posmlp.run"] == record.run_identity(self.config)

    def _stored(self, run: Run) -> set[record.Mark]:
        """The epochs that MLflow has; columns are sent in order, so the last speaks for all."""
        points = self.client.get_metric_history(run.info.run_id, record.LAST_COLUMN)
        return {record.Mark(point.step, point.timestamp) for point in points}

    def _create(self, facts: Mapping[str, Any]) -> Run:
        started_at = facts.get("first_started_at") or facts.get("started_at")
        return self.client.create_run(
            self.experiment_id,
            start_time=record.milliseconds(started_at) if started_at else None,
            tags={"posmlp.run": record.run_identity(self.config)},
            run_name=record.run_name(self.config, self.study),
        )

    def _retire(self, run: Run, history: Sequence[record.Line]) -> None:
        """Delete a twin, and mark a run whose folder now holds another training."""
        if self._is_ours(run) and _is_part(self._stored(run), history):
            self.client.delete_run(run.info.run_id)
            return
        if run.data.tags.get("current") != "false":
            self.client.set_tag(run.info.run_id, "current", "false")
        if run.info.status == "RUNNING":
            self.client.set_terminated(run.info.run_id, "KILLED")

    def _send_head(self, facts: Mapping[str, Any], run: Run) -> None:
        from mlflow.entities import Param, RunTag

        error = record.read_json(self.folder / "error.json").get("error")
        tags = record.run_tags(self.config, facts, self.study, masked(error) if error else None)
        params = record.run_params(self.config)
        self.client.log_batch(
            self.run_id,
            params=[Param(name, masked(value)) for name, value in params.items()],
            tags=[RunTag(name, masked(value)) for name, value in tags.items()],
        )
        for stale in (set(run.data.tags) & set(record.TAGS)) - set(tags):
            self.client.delete_tag(self.run_id, stale)
        name = record.run_name(self.config, self.study)
        if run.info.run_name != name:
            self.client.update_run(self.run_id, name=name)

    def _send(self, lines: Sequence[record.Line]) -> int:
        from mlflow.entities import Metric

        metrics = [
            Metric(name, value, line.mark.time_ms, line.mark.epoch)
            for line in lines
            for name, value in line.values.items()
        ]
        if metrics:
            self.client.log_batch(self.run_id, metrics=metrics)  # in parts of MLflow's limits
        return len(metrics)

    def _finish(self, now: record.State) -> int:
        """Send the figures that a run has at its end, and its status; returns how many points."""
        num_points = 0
        metrics = record.read_metrics(self.folder, self.config["key"])
        if metrics:
            num_points = self._send([record.final_line(metrics, self.config)])
            attachments.send_datasets(self, metrics)
        if (now.status, now.end_ms) != (self.status, self.end_ms):
            if now.status == "RUNNING":
                self.client.update_run(self.run_id, status=now.status)
            else:
                self.client.set_terminated(self.run_id, now.status, now.end_ms)
            self.status, self.end_ms = now
        return num_points


@contextmanager
def only_one_writer(folder: Path) -> Iterator[None]:
    """Keep a follower and `sync` from making two MLflow runs of one folder.

    Raises:
        TimeoutError: another process has been mirroring the folder for LOCK_S.
    """
    end = time.monotonic() + LOCK_S
    with (folder / ".mirror.lock").open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise TimeoutError(f"another process mirrors {folder}") from None
                time.sleep(0.1)
            except OSError:
                break  # a file system without locks
        yield


def _is_part(sent: Set[record.Mark], history: Iterable[record.Line]) -> bool:
    """Whether all epochs sent are still in the file.

    A training that goes on from its last checkpoint keeps its lines and its run.  One begun anew,
    or from a checkpoint before, writes epochs again at another time: MLflow cannot forget a point,
    so it gets a run of its own.
    """
    return sent <= {line.mark for line in history}
