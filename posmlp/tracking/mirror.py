"""The one mechanism that brings the MLflow run of a folder to what its files say."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from posmlp.tracking import record
from posmlp.tracking.address import masked
from posmlp.tracking.store import Store, open_client

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

logger = logging.getLogger("posmlp.tracking")

Status = Literal["RUNNING", "FAILED", "KILLED"]  # FINISHED is for metrics.json to say
Claims = Mapping[str, str]  # variant -> the claim it tests


def mirror(
    run_folder: Path, store: Store, *, status: Status | None = None, claims: Claims | None = None
) -> str:
    """Bring the MLflow run of `run_folder` to what its files say, and return the run's id.

    Idempotent.  `status` is that of a run without metrics.json; None leaves it as MLflow has it.
    """
    client = open_client(store.uri, store.experiment_id)
    run = RunMirror(run_folder, client, store.experiment_id, claims)
    run.update(status)
    return run.run_id


def sync(run_folders: Iterable[Path], store: Store, claims: Claims | None = None) -> dict[str, int]:
    """Mirror every folder; one that cannot be mirrored is logged and counted, not raised.

    Returns the number of `runs` mirrored, of those `finished`, of `points` sent, and of `failed`
    folders.  StoreUnavailable: the store does not answer.
    """
    client = open_client(store.uri, store.experiment_id)
    counts = dict.fromkeys(("runs", "finished", "points", "failed"), 0)
    for folder in run_folders:
        try:
            run = RunMirror(folder, client, store.experiment_id, claims)
            counts["points"] += run.update()
        except Exception as error:
            client = open_client(store.uri, store.experiment_id)  # raises if it is the store
            logger.warning("%s is not shown in MLflow: %s", folder, masked(error))
            counts["failed"] += 1
        else:
            counts["runs"] += 1
            counts["finished"] += run.status == "FINISHED"
    return counts


class RunMirror:
    """One run folder and its MLflow run; remembers what was sent, so that updates are small."""

    def __init__(
        self, folder: Path, client: MlflowClient, experiment_id: str, claims: Claims | None = None
    ) -> None:
        self.folder = Path(folder)
        self.config = record.read_config(self.folder)
        self.client = client
        self.experiment_id = experiment_id
        self.claim = (claims or {}).get(self.config["variant"])
        self.run_id = ""
        self.status = ""
        self.sent: set[record.Mark] = set()

    def update(self, status: Status | None = None) -> int:
        """Send what is new in the folder; returns the number of points sent."""
        history = record.read_history(self.folder)
        if not self.run_id or not _same_training(self.sent, history):
            self._open(history)
        metrics = record.read_metrics(self.folder, self.config["key"])
        lines = [*history, record.final_line(metrics)] if metrics else history
        num_points = self._send([line for line in lines if line.mark not in self.sent])
        if metrics or status != "RUNNING":
            self._send_artifacts()
        self._set_status(metrics, status)
        return num_points

    def _open(self, history: Sequence[record.Line]) -> None:
        """Find the run of this training or create it, and tell it from others of its cell."""
        facts = record.read_facts(self.folder)
        cell = self._runs_of_cell()
        run, self.sent = self._find(cell, history) or (self._create(facts), set())
        self.run_id, self.status = run.info.run_id, run.info.status
        self._send_head(facts)
        for other in cell:
            if other.info.run_id != self.run_id:
                self._retire(other)

    def _runs_of_cell(self) -> list[Run]:
        """Runs of the same variant and seed, newest first, whatever their keys."""
        prefix = record.cell_prefix(self.config)
        found = self.client.search_runs(
            [self.experiment_id],
            f"tags.`posmlp.run` LIKE '{prefix}%'",
            order_by=["attributes.start_time DESC"],
        )  # LIKE reads _ as any character
        return [run for run in found if run.data.tags["posmlp.run"].startswith(prefix)]

    def _find(
        self, cell: Iterable[Run], history: Sequence[record.Line]
    ) -> tuple[Run, set[record.Mark]] | None:
        """The run of this very training, and the epochs that it has."""
        identity = record.run_identity(self.config)
        for run in cell:
            if run.data.tags["posmlp.run"] == identity:
                stored = self._stored(run)
                if _same_training(stored, history):
                    return run, stored
        return None

    def _stored(self, run: Run) -> set[record.Mark]:
        """The epochs that MLflow has; columns are sent in order, so the last speaks for all."""
        points = self.client.get_metric_history(run.info.run_id, record.LAST_COLUMN)
        return {record.Mark(point.step, point.timestamp) for point in points}

    def _create(self, facts: Mapping[str, Any]) -> Run:
        started_at = facts.get("started_at")
        return self.client.create_run(
            self.experiment_id,
            start_time=record.milliseconds(started_at) if started_at else None,
            tags={"posmlp.run": record.run_identity(self.config)},
            run_name=f"{self.config['variant']}-seed{self.config['seed']}",
        )

    def _retire(self, run: Run) -> None:
        """Mark a run whose folder now holds another training; it stays to be looked at."""
        if run.data.tags.get("current") != "false":
            self.client.set_tag(run.info.run_id, "current", "false")
        if run.info.status == "RUNNING":
            self.client.set_terminated(run.info.run_id, "KILLED")

    def _send_head(self, facts: Mapping[str, Any]) -> None:
        from mlflow.entities import Param, RunTag

        params = record.run_params(self.config)
        tags = record.run_tags(self.config, facts, self.claim)
        self.client.log_batch(
            self.run_id,
            params=[Param(*param) for param in params.items()],
            tags=[RunTag(*tag) for tag in tags.items()],
        )

    def _send(self, lines: Sequence[record.Line]) -> int:
        from mlflow.entities import Metric

        metrics = [
            Metric(name, value, line.mark.time_ms, line.mark.epoch)
            for line in lines
            for name, value in line.values.items()
        ]
        self.client.log_batch(self.run_id, metrics=metrics)  # in parts of MLflow's limits
        self.sent |= {line.mark for line in lines}
        return len(metrics)

    def _send_artifacts(self) -> None:
        for name in record.ARTIFACTS:
            if (self.folder / name).exists():
                self.client.log_artifact(self.run_id, str(self.folder / name))
        for figure in sorted(self.folder.glob("figures/*.png")):
            self.client.log_artifact(self.run_id, str(figure), "figures")

    def _set_status(self, metrics: Mapping[str, Any] | None, status: Status | None) -> None:
        wanted = "FINISHED" if metrics else status or self.status
        if wanted == self.status:
            return
        if wanted == "RUNNING":
            self.client.update_run(self.run_id, status=wanted)
        else:
            end_ms = record.milliseconds(metrics["finished_at"]) if metrics else None
            self.client.set_terminated(self.run_id, wanted, end_ms)
        self.status = wanted


def _same_training(sent: Set[record.Mark], history: Iterable[record.Line]) -> bool:
    """Whether the file still has the first epoch sent.

    A training that goes on from a checkpoint keeps its lines and its run; one begun anew writes
    its first epoch at another time, and gets a run of its own.
    """
    return not sent or min(sent) in {line.mark for line in history}
