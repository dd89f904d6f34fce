"""Loading the network of a finished run, and errors for folders without one."""

import shutil
from pathlib import Path

import pytest
import torch

import posmlp
from posmlp.data.sources import DATASETS


@pytest.fixture
def folder(finished) -> Path:
    return finished[1]


def test_the_classifier_has_the_recorded_accuracy_and_uses_no_random_numbers(folder):
    torch.manual_seed(3)
    first = torch.rand(1)
    torch.manual_seed(3)
    run = posmlp.load_run(str(folder))
    assert torch.equal(torch.rand(1), first)
    assert not run.network.training
    images = DATASETS["digits"].load("unused", "test")
    pixels = torch.from_numpy(images.images_NHWC).float().movedim(-1, 1)
    with torch.inference_mode():
        found = run.classifier(pixels).argmax(-1) == torch.from_numpy(images.labels_N)
    assert 100 * found.float().mean().item() == pytest.approx(run.metrics["test_top1"], abs=1e-4)


def regroup(folder: Path) -> None:
    path = folder / "config.yaml"
    path.write_text(path.read_text().replace("groups: 4", "groups: 2"))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (shutil.rmtree, "no such folder.*make reproduce"),
        (lambda folder: (folder / "config.yaml").unlink(), "no config.yaml"),
        (lambda folder: (folder / "metrics.json").unlink(), "not finished"),
        (lambda folder: (folder / "metrics.json").write_text("{"), "metrics.json: is damaged"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no such file"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x"), "cannot be read"),
        (regroup, "does not fit gmlp_posgu_xs1_8"),
    ],
)
def test_a_folder_without_a_finished_run_is_an_error(folder, tmp_path, fault, message):
    with pytest.raises(ValueError, match="trained without these weights"):
        posmlp.load_run(folder, "ema")
    copy = shutil.copytree(folder, tmp_path / "seed0")
    fault(copy)
    with pytest.raises(ValueError, match=f"seed0.*{message}"):
        posmlp.load_run(copy)
