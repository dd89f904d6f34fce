"""The final network of a run as an MLflow model, kept in the run's folder.

A graph (torch.export, "pt2"): loading it runs no code of ours and no pickle.  It takes pixels as
they are in a file, 0 to 255, so whoever serves it needs nothing but the images.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from posmlp.tracking.address import brief
from posmlp.tracking.record import file_digest, read_json
from posmlp.tracking.store import bound_mlflow

logger = logging.getLogger("posmlp.tracking")

NAME = "model"  # of the folder in the run's, and of the model in MLflow
WEIGHTS = "model.safetensors"
EXAMPLE_IMAGES = 2  # one would fix the batch at one image


def weights_digest(run_folder: Path) -> str:
    """16 hex digits of the SHA-256 of a run's weights."""
    return file_digest(run_folder / WEIGHTS)


def ensure_model(run_folder: Path, metrics: Mapping[str, Any]) -> Path | None:
    """Make `model/` from the weights of a finished run, unless it is of these weights already.

    None where the folder has no weights (a run whose large files were removed).
    """
    if not (run_folder / WEIGHTS).exists():
        return None
    folder, digest = run_folder / NAME, weights_digest(run_folder)
    mark = folder / "weights.sha256"
    if mark.exists() and mark.read_text() == digest:
        return folder
    with tempfile.TemporaryDirectory(dir=run_folder, prefix=".model") as parent:
        made = Path(parent) / NAME
        _save(run_folder, metrics, made)
        (made / mark.name).write_text(digest)
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)
    return folder


def make_models(run_folders: Iterable[Path]) -> None:
    """Make the models of these finished runs ahead of `sync`, which takes what is there.

    One that cannot be made is logged: `sync` tries again, and counts the run as not shown.
    """
    for folder in run_folders:
        try:
            ensure_model(folder, read_json(folder / "metrics.json"))
        except Exception as error:
            logger.warning("%s has no MLflow model: %s", folder, brief(error))


def _save(run_folder: Path, metrics: Mapping[str, Any], folder: Path) -> None:
    bound_mlflow()
    import mlflow.pytorch
    import numpy as np
    import timm
    import torch
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec
    from torchvision.transforms import Normalize

    from posmlp.analysis.networks import load_weights
    from posmlp.study import RunConfig

    config = RunConfig.read(run_folder / "config.yaml")
    arguments = config.model_arguments()
    network = timm.create_model(**arguments)
    network.load_state_dict(load_weights(run_folder))
    normalise = Normalize(metrics["pixel_mean"], metrics["pixel_std"])
    model = torch.nn.Sequential(normalise, network).eval()
    shape = (arguments["in_chans"], arguments["img_size"], arguments["img_size"])
    example = np.linspace(0, 255, EXAMPLE_IMAGES * int(np.prod(shape)), dtype=np.float32)
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype("float32"), (-1, *shape))]),
        outputs=Schema([TensorSpec(np.dtype("float32"), (-1, arguments["num_classes"]))]),
    )
    with warnings.catch_warnings(), torch.inference_mode(False):
        warnings.simplefilter("ignore")  # of MLflow and torch about each other
        logging.getLogger("torch.export").setLevel(logging.ERROR)
        mlflow.pytorch.save_model(
            model,
            str(folder),
            signature=signature,
            input_example=example.reshape(EXAMPLE_IMAGES, *shape),
            serialization_format="pt2",
            pip_requirements=[f"{name}=={version(name)}" for name in ("torch", "numpy", "mlflow")],
        )
