"""The chosen network: registered by the rule, loaded, and served over HTTP from raw pixels."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from posmlp.data import DATASETS, select
from posmlp.study import RunConfig
from posmlp.tracking.models import ensure_model, make_models


@pytest.fixture
def registered(study_results, sync_study):
    """The store, and what the study says of its choice."""
    store, report = sync_study(study_results)
    choice = json.loads((study_results / "small/comparison.json").read_text())["choice"]
    assert report["registry"] == (
        f"small version 1 (best): {choice['variant']}, seed {choice['seed']}"
    )
    return store, choice


def test_the_registered_network_repeats_the_accuracy_of_its_run(
    registered, study_results, monkeypatch
):
    """Raw pixels of the validation images in, and exactly the validation accuracy out."""
    import mlflow
    import torch
    from mlflow import MlflowClient

    store, choice = registered
    version = MlflowClient(store.uri, store.uri).get_model_version_by_alias("small", "best")
    assert version.tags["variant"] == choice["variant"]
    assert f"# {choice['variant']} of the study small" in version.description
    assert "Test images play no part" in version.description
    network = mlflow.pytorch.load_model(version.source)
    folder = study_results / "runs/small" / choice["variant"] / f"seed{choice['seed']}"
    config = RunConfig.read(folder / "config.yaml")
    images = DATASETS["digits"].load(study_results, "train")
    images = images.take(select(images.labels_N, config.data, "validation"))
    pixels = torch.from_numpy(images.images_NHWC).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        right = network(pixels).argmax(1).numpy() == images.labels_N
    assert 100 * right.mean() == pytest.approx(choice["val_top1"])


def test_every_finished_run_has_its_model_with_signature_and_example(registered):
    from mlflow import MlflowClient
    from mlflow.models import Model

    store, _ = registered
    client = MlflowClient(store.uri, store.uri)
    logged = client.search_logged_models([store.experiment_id])
    assert len(logged) == 4
    for model in logged:
        described = Model.load(model.artifact_location)
        assert described.signature.inputs.inputs[0].shape == (-1, 1, 8, 8)
        assert described.signature.outputs.inputs[0].shape == (-1, 10)
        assert described.saved_input_example_info
        outputs = client.get_run(model.source_run_id).outputs.model_outputs
        assert [output.model_id for output in outputs] == [model.model_id]


def test_a_model_is_made_once_for_its_weights(trained, tmp_path):
    (source,) = trained.glob("runs/small/sgu/seed0")
    folder = tmp_path / "run"
    shutil.copytree(source, folder)
    metrics = json.loads((folder / "metrics.json").read_text())
    made = ensure_model(folder, metrics)
    marked = made / "marked"
    marked.touch()
    assert ensure_model(folder, metrics) == made
    assert marked.exists()
    shutil.copy(trained / "runs/small/sgu/seed1/model.safetensors", folder)
    ensure_model(folder, metrics)
    assert not marked.exists()
    (folder / "model.safetensors").unlink()
    assert ensure_model(folder, metrics) is None


def test_models_are_made_ahead_and_one_that_fails_stops_no_other(trained, tmp_path, caplog):
    results = tmp_path / "results"
    shutil.copytree(trained, results)
    damaged, whole = sorted(results.glob("runs/small/sgu/seed*"))
    (damaged / "model.safetensors").write_bytes(b"damaged")
    make_models([damaged, whole])
    assert not (damaged / "model").exists()
    assert (whole / "model/data/model.pt2").exists()
    (line,) = [r.getMessage() for r in caplog.records if r.name == "posmlp.tracking"]
    assert line.startswith(f"{damaged} has no MLflow model: ")


def test_the_registered_network_is_served(registered, tmp_path, unused_port):
    """`mlflow models serve` answers a real request with what the network says."""
    import mlflow
    import torch
    from mlflow import MlflowClient

    store, _ = registered
    source = MlflowClient(store.uri, store.uri).get_model_version_by_alias("small", "best").source
    images = DATASETS["digits"].load(tmp_path, "test").images_NHWC[:3]
    pixels = images.transpose(0, 3, 1, 2).astype(np.float32)
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", source]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(unused_port)]
    with (tmp_path / "log").open("w+") as log:
        # As in an environment that is activated: MLflow starts uvicorn by its name.
        paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        server = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=os.environ | {"PATH": paths},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            answer = ask(server, unused_port, {"inputs": pixels.tolist()}, log)
        finally:
            stop(server)
    with torch.no_grad():
        expected = mlflow.pytorch.load_model(source)(torch.from_numpy(pixels)).numpy()
    np.testing.assert_allclose(np.array(answer["predictions"]), expected, rtol=1e-4, atol=1e-4)


def ask(server, port, question, log):
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations",
        data=json.dumps(question).encode(),
        headers={"Content-Type": "application/json"},
    )
    deadline = time.monotonic() + 180
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except (ConnectionError, urllib.error.URLError) as error:
            log.seek(0)
            gone = server.poll() is not None or time.monotonic() > deadline
            if gone or isinstance(error, urllib.error.HTTPError):
                raise RuntimeError(log.read()) from error
            time.sleep(0.5)


def stop(server):
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, number)
            server.wait(20)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
