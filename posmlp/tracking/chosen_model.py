"""The network of a study's chosen run: an MLflow model, registered under the alias `best`.

The model is a graph (torch.export, "pt2"): loading it runs neither our code nor a pickle. It takes
raw pixels, 0 to 255, so a server needs nothing but the images.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import warnings
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posmlp.tracking.store import Store, brief
from posmlp.tracking.study_files import StudyFiles

if TYPE_CHECKING:
    from mlflow import MlflowClient

ALIAS = "best"
LONGEST_CARD = 5000  # characters, MLflow's limit
FOLDER = "model"  # in the run folder
WEIGHTS = "model.safetensors"
EXAMPLE_IMAGES = 2  # with one, torch.export fixes the batch size at one
PACKAGES = ("torch", "numpy", "mlflow")  # needed to load the model


def register(
    store: Store, experiment_id: str, study: StudyFiles, run_ids: Mapping[Path, str]
) -> str:
    """Point the alias `best` of the study's registered model to the chosen run's network.

    Returns:
        A sentence: what is registered now, or why nothing is.
    """
    from mlflow.exceptions import MlflowException

    client, choice = store.client, study.facts.get("choice")
    name = store.experiment_name(study.name).replace("/", ".").replace(":", ".")
    folder = choice and study.run_folder(choice["variant"], choice["seed"])
    if reason := _reason(study, folder, run_ids):
        with suppress(MlflowException):  # no such alias
            client.delete_registered_model_alias(name, ALIAS)
        return reason
    card = (study.folder / "model_card.md").read_text(encoding="utf-8")[:LONGEST_CARD]
    source = _sent_model(client, experiment_id, run_ids[folder], folder, choice)
    number = str(_version(client, name, source, run_ids[folder], choice, card))
    if client.get_registered_model(name).aliases.get(ALIAS) != number:
        client.set_registered_model_alias(name, ALIAS, number)
    chosen = f"{choice['variant']}, seed {choice['seed']}"
    return f"Registered model {name} version {number} ({ALIAS}): {chosen}"


def _reason(study: StudyFiles, folder: Path | None, run_ids: Mapping[Path, str]) -> str:
    """Export the chosen run; return why no model can be registered, "" where it can."""
    if not folder:
        return study.facts.get("reason") or "No model is registered: there are no results yet."
    if folder not in run_ids:
        return "No model is registered: the chosen run was not synced."
    if not (folder / WEIGHTS).exists():
        return "No model is registered: the chosen run has no weights in its folder."
    try:
        ensure_model(folder)
    except Exception as error:
        return f"No model is registered: {folder} cannot be exported: {brief(error)}"
    return ""


def _sent_model(
    client: MlflowClient, experiment_id: str, run_id: str, folder: Path, choice: Mapping[str, Any]
) -> str:
    """Upload the run's MLflow model unless MLflow has it; return its location."""
    from mlflow.entities import LoggedModelOutput

    digest = weights_digest(folder)
    for model in client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'"):
        if model.status != "READY":  # uploaded in part
            client.delete_logged_model(model.model_id)
        elif model.tags.get("weights") == digest:
            return model.artifact_location
    tags = {"weights": digest, "variant": choice["variant"]}
    name = "{variant}-seed{seed}".format(**choice).replace(".", "-")  # MLflow refuses dots
    model = client.create_logged_model(experiment_id, name, run_id, tags, model_type="classifier")
    client.log_model_artifacts(model.model_id, str(folder / FOLDER))
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    _log_accuracies(client, run_id, model.model_id)
    client.finalize_logged_model(model.model_id, "READY")
    return model.artifact_location


def _log_accuracies(client: MlflowClient, run_id: str, model_id: str) -> None:
    """Link the run's final accuracies to its model, each with the data set it was measured on.

    These points exist in the run already, so its curves do not change.
    """
    for used in client.get_run(run_id).inputs.dataset_inputs:
        data = used.dataset.name, used.dataset.digest
        name = f"{data[0].rpartition(' ')[2]}_top1"
        points = client.get_metric_history(run_id, name)  # none for the training images
        for last in sorted(points, key=lambda point: (point.step, point.timestamp))[-1:]:
            value = last.value, last.timestamp, last.step
            client.log_metric(run_id, name, *value, None, *data, model_id)


def _version(
    client: MlflowClient, name: str, source: str, run_id: str, choice: Mapping[str, Any], card: str
) -> str:
    """Register a version with the card as its description, or find it; return its number.

    The source is a location, not models:/<id>: MLflow would look that up in the store of the
    environment, not the client's.
    """
    from mlflow.exceptions import MlflowException

    with suppress(MlflowException):  # exists already
        client.create_registered_model(name)
    for version in client.search_model_versions(f"name = '{name}'"):
        if version.source == source:
            if version.description != card:
                client.update_model_version(name, version.version, description=card)
            return version.version
    tags = {"variant": choice["variant"], "seed": str(choice["seed"])}
    tags |= {"run_key": choice["key"], "chosen_by": "validation top-1, see the description"}
    return client.create_model_version(name, source, run_id, tags, description=card).version


def weights_digest(run_folder: Path) -> str:
    """16 hex digits of the SHA-256 of a run's weights."""
    return hashlib.sha256((run_folder / WEIGHTS).read_bytes()).hexdigest()[:16]


def ensure_model(run_folder: Path) -> Path:
    """Export a run's network to `model/` in its folder, unless that is up to date."""
    folder, digest = run_folder / FOLDER, weights_digest(run_folder)
    mark = folder / "weights.sha256"  # written last
    if not mark.exists() or mark.read_text() != digest:
        shutil.rmtree(folder, ignore_errors=True)
        _export(run_folder, folder)
        mark.write_text(digest)
    return folder


def _export(run_folder: Path, folder: Path) -> None:
    import mlflow.pytorch
    import numpy as np
    import torch
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    from posmlp.runs.trained_run import load_run

    run = load_run(run_folder)
    arguments = run.config.model_arguments()
    shape = (arguments["in_chans"], arguments["img_size"], arguments["img_size"])
    example = np.linspace(0, 255, EXAMPLE_IMAGES * int(np.prod(shape)), dtype=np.float32)
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype("float32"), (-1, *shape))]),
        outputs=Schema([TensorSpec(np.dtype("float32"), (-1, arguments["num_classes"]))]),
    )
    with warnings.catch_warnings(), torch.inference_mode(False):
        warnings.simplefilter("ignore")  # MLflow and torch warn about each other
        logging.getLogger("torch.export").setLevel(logging.ERROR)
        mlflow.pytorch.save_model(
            run.classifier,
            str(folder),
            signature=signature,
            input_example=example.reshape(EXAMPLE_IMAGES, *shape),
            serialization_format="pt2",
            pip_requirements=[f"{name}=={metadata.version(name)}" for name in PACKAGES],
        )
