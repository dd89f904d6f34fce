"""A released checkpoint on a folder of images, as a user runs it."""

import shutil
from pathlib import Path

import pytest
import torch

from posmlp.cli import main
from posmlp.data.images import DataError
from posmlp.published import Published
from posmlp.released.convert import released_network
from posmlp.released.evaluate import batches, beside, measure, validation_images
from posmlp.training.distributed import World

ROOT = Path(__file__).parents[2]
CPU = World(torch.device("cpu"))


def test_accuracy_is_that_of_the_guesses(image_folder, tiny_state):
    """The head always predicts the second class, which 2 of 6 images have."""
    state = tiny_state | {
        "head.weight": torch.zeros_like(tiny_state["head.weight"]),
        "head.bias": torch.tensor([0.0, 1.0, 0.5]),
    }
    files = validation_images(image_folder, 3)
    assert files.labels_N.tolist() == [0, 1, 1, 2, 2, 2]
    scores, num_images = measure(released_network(state, {}), batches(files, 224, CPU, 0), CPU)
    assert (scores["top1"], scores["top5"], num_images) == (pytest.approx(100 / 3), 100.0, 6)


def test_preprocessing_is_the_released_one(image_folder):
    found = batches(validation_images(image_folder, 3), 224, CPU, 0)
    resize, crop = found.files.transform.transforms[:2]
    assert resize.size == 248  # int(224 / 0.9)
    assert str(resize.interpolation).endswith("BICUBIC")
    assert tuple(crop.size) == (224, 224)
    assert (found.loader.mean.flatten() / 255).tolist() == pytest.approx([0.485, 0.456, 0.406])
    assert (found.loader.std.flatten() / 255).tolist() == pytest.approx([0.229, 0.224, 0.225])


def test_the_command_prints_accuracy_beside_the_published(
    write_checkpoint, image_folder, tmp_path, monkeypatch, capsys
):
    folder = tmp_path / "images"
    shutil.copytree(image_folder, folder)
    next((folder / "val").rglob("*.JPEG")).write_bytes(b"no image")
    monkeypatch.chdir(ROOT)
    arguments = ["evaluate-checkpoint", write_checkpoint(), folder, "--max-unreadable", 1]
    status = main([*map(str, arguments)])
    out, err = capsys.readouterr()
    assert status == 0, err
    for message in (
        "Network  PosMLP-T, 20,158,845 parameters",
        "averaged (ema), epoch 299",
        "5 of 3 classes",
        "Top-1",
        "from 82.1 %",
        "from 81.976 % (top-1, best ema",
        "differences with other images mean little",
    ):
        assert message in out
    assert "best raw" not in out


def test_only_accuracies_of_the_same_weights_are_compared():
    def number(weights: str) -> Published:
        fields = dict(source="log", model="PosMLP-T", quantity="top1", value="81.5", unit="%")
        return Published(**fields, weights=weights, confidence="verbatim", where="log")

    published = [number(w) for w in ("", "best raw", "best ema")]
    lines = beside({"top1": 81.0, "top5": 95.0}, "raw", published)
    assert [line.split()[0] for line in lines] == ["−0.50", "−0.50"]
    assert len(beside({"top1": 81.0}, "", published)) == 3


def test_folders_that_do_not_fit_are_refused(image_folder, tmp_path):
    with pytest.raises(DataError, match=r"val: no such folder; DATA is the folder that holds val/"):
        validation_images(tmp_path, 3)
    with pytest.raises(DataError, match=r"3 class folders, but the network has 1,000"):
        validation_images(image_folder, 1_000)
