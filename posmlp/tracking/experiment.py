"""The MLflow experiment of a study: its name, its artifacts, made once."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING

from posmlp.tracking.address import sqlite_path

if TYPE_CHECKING:
    from mlflow import MlflowClient


def find_or_create_experiment(
    client: MlflowClient, study: str, description: str, uri: str, results: Path
) -> str:
    """Return the id of a study's experiment, restored or made where needed."""
    artifacts = _artifact_location(study, uri, results)
    name = experiment_name(study, uri)
    found = client.get_experiment_by_name(name)
    if found and found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    if found and sqlite_path(uri) and _was_moved(found.artifact_location, artifacts):
        client.rename_experiment(found.experiment_id, f"{name} (of {found.artifact_location})")
        found = None
    experiment_id = found.experiment_id if found else _create_experiment(client, name, artifacts)
    if description and not (found and "mlflow.note.content" in found.tags):
        client.set_experiment_tag(experiment_id, "mlflow.note.content", description)
    return experiment_id


def experiment_name(study: str, uri: str) -> str:
    """The study; on a server, which several people share, after the name of the user."""
    return study if sqlite_path(uri) else f"{getpass.getuser()}/{study}"


def _create_experiment(client: MlflowClient, name: str, artifacts: str | None) -> str:
    from mlflow.exceptions import MlflowException

    try:
        return client.create_experiment(name, artifacts)
    except MlflowException:
        found = client.get_experiment_by_name(name)  # another process was first
        if not found:
            raise
        return found.experiment_id


def _was_moved(old: str, new: str) -> bool:
    """Whether our store was moved or copied, so that MLflow would still write to the old place."""
    return old != new and Path(old).parts[-2:] == Path(new).parts[-2:]


def _artifact_location(study: str, uri: str, results: Path) -> str | None:
    """Beside the store; a tracking server chooses for itself."""
    if uri.startswith("http"):
        return None
    database = sqlite_path(uri)
    root = database.parent if database else results.absolute()
    return str(root / "mlartifacts" / study)
