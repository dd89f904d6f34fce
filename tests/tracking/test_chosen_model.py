"""The chosen network: registered, loaded, and served over HTTP from raw pixels."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from samples import Shown

from posmlp.data.sources import DATASETS
from posmlp.data.subsets import select
from posmlp.study import RunConfig
from posmlp.tracking.chosen_model import ensure_model
from posmlp.tracking.sync import sync_once

pytestmark = pytest.mark.xdist_group("MLflow")


@pytest.fixture(scope="module")
def choice(study_shown):
    return json.loads((study_shown / "small/study.json").read_text())["choice"]


@pytest.fixture(scope="module")
def version(study_shown):
    client = Shown(study_shown, "small").client
    return client.get_model_version_by_alias("small", "best")


def test_the_registered_network_repeats_the_accuracy_of_its_run(study_shown, version, choice):
    """Raw pixels of the validation images in, and exactly the validation accuracy out."""
    import mlflow
    import torch

    assert version.tags["variant"] == choice["variant"]
    assert f"# {choice['variant']} of the study small" in version.description
    network = mlflow.pytorch.load_model(version.source)
    folder = study_shown / "runs/small" / choice["variant"] / f"seed{choice['seed']}"
    config = RunConfig.read(folder / "config.yaml")
    images = DATASETS["digits"].load(study_shown, "train")
    images = images.take(select(images.labels_N, config.data, "validation"))
    pixels = torch.from_numpy(images.images_NHWC).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        right = network(pixels).argmax(1).numpy() == images.labels_N
    assert 100 * right.mean() == pytest.approx(choice["val_top1"])


def test_the_chosen_run_alone_has_a_model_with_signature(study_shown, choice):
    from mlflow.models import Model

    shown = Shown(study_shown, "small")
    (model,) = shown.client.search_logged_models([shown.id])
    (run,) = [run for run in shown.runs if run.outputs.model_outputs]
    tags = run.data.tags
    assert (tags["variant"], tags["seed"]) == (choice["variant"], str(choice["seed"]))
    assert [output.model_id for output in run.outputs.model_outputs] == [model.model_id]
    assert len(list(study_shown.glob("runs/small/*/seed*/model"))) == 1
    assert model.name == f"{choice['variant']}-seed{choice['seed']}"
    accuracies = {(metric.key, metric.dataset_name): metric.value for metric in model.metrics}
    assert accuracies == {
        (f"{split}_top1", f"digits {split}"): choice[f"{split}_top1"] for split in ("val", "test")
    }
    assert len(shown.points(run, "val_top1")) == 2  # one an epoch, and none beside
    described = Model.load(model.artifact_location)
    assert described.signature.inputs.inputs[0].shape == (-1, 1, 8, 8)


def test_a_model_is_exported_once_for_its_weights(trained, tmp_path):
    (source,) = trained.glob("runs/small/sgu/seed0")
    folder = tmp_path / "run"
    shutil.copytree(source, folder)
    marked = ensure_model(folder) / "marked"
    marked.touch()
    ensure_model(folder)
    assert marked.exists()
    shutil.copy(trained / "runs/small/sgu/seed1/model.safetensors", folder)
    ensure_model(folder)
    assert not marked.exists()


@pytest.mark.parametrize(
    ("weights", "message"),
    [(None, "has no weights in its folder"), (b"damaged", "cannot be exported: ")],
)
def test_a_network_that_cannot_be_registered_fails_nothing(study_results, choice, weights, message):
    sync_once(study_results)
    folder = study_results / "runs/small" / choice["variant"] / f"seed{choice['seed']}"
    (folder / "model.safetensors").unlink()
    if weights:
        (folder / "model.safetensors").write_bytes(weights)
    (report,) = sync_once(study_results)
    assert report.registry.startswith("No model is registered: ")
    assert message in report.registry
    assert report.counts()["runs"] == 4
    registered = Shown(study_results, "small").client.get_registered_model("small")
    assert "best" not in registered.aliases


def test_the_registered_network_is_served(version, tmp_path, unused_port):
    """`mlflow models serve` answers a real request with what the network says."""
    import mlflow
    import torch

    images = DATASETS["digits"].load(tmp_path, "test").images_NHWC[:3]
    pixels = images.transpose(0, 3, 1, 2).astype(np.float32)
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", version.source]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(unused_port)]
    # As in an environment that is activated: MLflow starts uvicorn by its name.
    paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=os.environ | {"PATH": paths},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        answer = ask(server, unused_port, {"inputs": pixels.tolist()})
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
    with torch.no_grad():
        expected = mlflow.pytorch.load_model(version.source)(torch.from_numpy(pixels)).numpy()
    np.testing.assert_allclose(np.array(answer["predictions"]), expected, rtol=1e-4, atol=1e-4)


def ask(server, port, question):
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations",
        data=json.dumps(question).encode(),
        headers={"Content-Type": "application/json"},
    )
    deadline = time.monotonic() + 180
    while server.poll() is None and time.monotonic() < deadline:
        with (
            suppress(ConnectionError, urllib.error.URLError),
            urllib.request.urlopen(request, timeout=30) as answer,
        ):
            return json.load(answer)
        time.sleep(0.5)
    raise AssertionError("no answer")
