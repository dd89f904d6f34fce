"""A released checkpoint on a folder of images, as a user runs it."""

import shutil
from pathlib import Path

import pytest
import torch

from posmlp.cli import main
from posmlp.data.images import DataError
from posmlp.published import Published
from posmlp.released import ReleasedError, export_network
from posmlp.released.architecture import architecture, released_network
from posmlp.released.evaluate import (
    Accuracy,
    batches,
    beside,
    caveats,
    evaluate_checkpoint,
    measure,
    published_model,
    validation_images,
)
from posmlp.training.distributed import World
from posmlp.training.training_error import TrainingError

ROOT = Path(__file__).parents[2]
CPU = World(torch.device("cpu"))


def test_accuracy_is_that_of_the_guesses(image_folder, tiny_state):
    """The head is made to guess the second class: 2 of 6 images are of it."""
    state = tiny_state | {
        "head.weight": torch.zeros_like(tiny_state["head.weight"]),
        "head.bias": torch.tensor([0.0, 1.0, 0.5]),
    }
    files = validation_images(image_folder, 3)
    assert files.labels_N.tolist() == [0, 1, 1, 2, 2, 2]
    found = measure(released_network(state, {}), batches(files, (224, 224), CPU, 0), CPU)
    assert found == Accuracy(pytest.approx(100 / 3), 100.0, 6)


def test_preprocessing_is_the_released_one(image_folder):
    found = batches(validation_images(image_folder, 3), (224, 224), CPU, 0)
    resize, crop = found.files.transform.transforms[:2]
    assert resize.size == 248  # int(224 / 0.9)
    assert str(resize.interpolation).endswith("BICUBIC")
    assert tuple(crop.size) == (224, 224)
    assert (found.loader.mean.flatten() / 255).tolist() == pytest.approx([0.485, 0.456, 0.406])
    assert (found.loader.std.flatten() / 255).tolist() == pytest.approx([0.229, 0.224, 0.225])


@pytest.fixture
def command(monkeypatch, capsys):
    """Run `posmlp released` in this process; returns exit status, output, errors."""

    def run(*arguments) -> tuple[int, str, str]:
        monkeypatch.chdir(ROOT)
        status = main(["released", *map(str, arguments)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_the_command_prints_accuracy_beside_the_published(command, write_checkpoint, image_folder):
    status, out, err = command("evaluate", write_checkpoint(), image_folder)
    assert status == 0, err
    for words in (
        "Network  PosMLP-T, 20,158,845 parameters",
        "averaged (ema), epoch 299; --weights raw takes the others",
        "6 of 3 classes",
        "Top-1",
        "from 82.1 %",
        "from 81.976 % (top-1, best ema",
        "with others the differences mean little",
    ):
        assert words in out
    assert "best raw" not in out


def test_the_command_says_a_mistake_in_a_line(command, tmp_path):
    found = command("evaluate", tmp_path / "absent.pth", ".")
    assert found == (2, "", f"error: {tmp_path}/absent.pth: no such file\n")


def test_another_network_has_no_published_accuracy(small_posmlp, tiny_state):
    shape = architecture(export_network(small_posmlp(gate="sgu")), {"img_size": (64, 64)})
    name, published = published_model(shape)
    assert name.startswith("no published one")
    assert published == []
    assert beside(Accuracy(50, 90, 5), "raw", []) == [
        "         published accuracy of this network: unknown"
    ]
    assert published_model(architecture(tiny_state, {}))[0] == "PosMLP-T"
    assert published_model(architecture(tiny_state, {"symmetric": False}))[1] == []


def test_only_figures_of_the_same_weights_stand_beside():
    def number(weights: str) -> Published:
        fields = dict(source="log", model="PosMLP-T", quantity="top1", value="81.5", unit="%")
        return Published(**fields, weights=weights, confidence="verbatim", where="log")

    published = [number(w) for w in ("", "best raw", "best ema")]
    lines = beside(Accuracy(81.0, 95.0, 5), "raw", published)
    assert [line.split()[0] for line in lines] == ["−0.50", "−0.50"]
    assert len(beside(Accuracy(81.0, 95.0, 5), "", published)) == 3


def test_all_of_imagenet_needs_no_caveat():
    assert caveats(Accuracy(82.0, 95.9, 50_000), 1_000) == []
    assert caveats(Accuracy(82.0, 95.9, 49_999), 1_000)


def test_a_network_for_grey_images_is_refused(write_checkpoint, tiny_state, image_folder):
    first = "patch_embed.projs.0.weight"
    grey = tiny_state | {first: tiny_state[first][:, :1]}
    with pytest.raises(ReleasedError, match="images of 1 channels"):
        evaluate_checkpoint(write_checkpoint(state_dict_ema=grey), image_folder, None, CPU)


def test_folders_that_do_not_fit_are_refused(image_folder, tmp_path):
    with pytest.raises(DataError, match=r"val: no such folder; DATA is the folder that holds val/"):
        validation_images(tmp_path, 3)
    with pytest.raises(DataError, match=r"3 class folders, and the network knows 1,000"):
        validation_images(image_folder, 1_000)
    (tmp_path / "val" / "n01440764").mkdir(parents=True)
    with pytest.raises(DataError, match="holds no image; images are files that end in"):
        validation_images(tmp_path, 1)


def test_a_broken_image_is_named_or_left_out(image_folder, tmp_path, write_checkpoint):
    root = tmp_path / "broken"
    shutil.copytree(image_folder, root)
    broken = next((root / "val").rglob("*.JPEG"))
    broken.write_bytes(b"no image")
    with pytest.raises(TrainingError, match=r"--max-unreadable allows 0: .*\(empty or not an im"):
        evaluate_checkpoint(write_checkpoint(), root, None, CPU)
    assert "5 of 3 classes" in evaluate_checkpoint(write_checkpoint(), root, None, CPU, 1)
