"""What hangs on an MLflow run beside its figures: data sets, files, and the network as a model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posmlp.tracking import models, record

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

    from posmlp.tracking.mirror import RunMirror

FILES_TAG = "posmlp.files"  # digests of the artifacts, so that only changed ones are sent


def send_datasets(run: RunMirror, metrics: Mapping[str, Any]) -> None:
    """Name the images that the run trained, chose and tested on, with their digests."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    name, inputs = run.config["data"]["name"], []
    for split, digest in metrics.get("digests", {}).items():
        profile = {"num_images": metrics[f"num_{split}"]}
        source = json.dumps({"data_set": name, "split": split, **run.config["data"]})
        dataset = Dataset(f"{name} {split}", digest, "code", source, profile=json.dumps(profile))
        tags = [InputTag("mlflow.data.context", record.SPLITS[split])]
        inputs.append(DatasetInput(dataset, tags))
    if inputs:
        _name_data(run, inputs)


def _name_data(run: RunMirror, inputs: list[DatasetInput], attempts: int = 3) -> None:
    """Log data sets, and again where another run logged the same ones at that moment.

    MLflow looks whether it has them before it adds them: of two runs one may fail to add what it
    finds when it looks again.
    """
    from mlflow.exceptions import MlflowException

    try:
        run.client.log_inputs(run.run_id, inputs)
    except MlflowException:
        if attempts == 1:
            raise
        _name_data(run, inputs, attempts - 1)


def send_files(run: RunMirror) -> None:
    """Send the files that MLflow does not have as they are now."""
    found = [path for name in record.ARTIFACTS for path in sorted(run.folder.glob(name))]
    paths = {path.relative_to(run.folder).as_posix(): path for path in found}
    digests = {name: record.file_digest(path) for name, path in paths.items()}
    tags = run.client.get_run(run.run_id).data.tags
    before = json.loads(tags.get(FILES_TAG, "{}"))
    there = set(_listed(run)) if before else set()
    for name, path in paths.items():
        if name not in there or before.get(name) != digests[name]:
            folder = name.rpartition("/")[0]
            run.client.log_artifact(run.run_id, str(path), folder or None)
    if digests != before:
        run.client.set_tag(run.run_id, FILES_TAG, json.dumps(digests))


def _listed(run: RunMirror, folder: str | None = None) -> Iterator[str]:
    for file in run.client.list_artifacts(run.run_id, folder):
        if file.is_dir:
            yield from _listed(run, file.path)
        else:
            yield file.path


def send_model(run: RunMirror, metrics: Mapping[str, Any]) -> str:
    """Show the run's network as an MLflow model, once for its weights; return its id or ""."""
    from mlflow.entities import LoggedModelOutput

    folder = models.ensure_model(run.folder, metrics)
    if not folder:
        return ""
    digest = models.weights_digest(run.folder)
    logged = run.client.search_logged_models([run.experiment_id], f"source_run_id = '{run.run_id}'")
    whole = [m for m in logged if m.tags.get("weights") == digest and m.status == "READY"]
    for model in logged:
        if model not in whole[:1]:
            run.client.delete_logged_model(model.model_id)
    model_id = whole[0].model_id if whole else _send_anew(run, folder, digest)
    outputs = run.client.get_run(run.run_id).outputs.model_outputs
    if model_id not in [output.model_id for output in outputs]:  # MLflow refuses a second link
        run.client.log_outputs(run.run_id, [LoggedModelOutput(model_id, step=0)])
    return model_id


def _send_anew(run: RunMirror, folder: Path, digest: str) -> str:
    """Make an MLflow model of the folder; return its id."""
    model = run.client.create_logged_model(
        run.experiment_id,
        models.NAME,
        run.run_id,
        tags={"weights": digest, "variant": run.config["variant"]},
        model_type="classifier",
    )
    run.client.log_model_artifacts(model.model_id, str(folder))
    run.client.finalize_logged_model(model.model_id, "READY")
    return model.model_id
