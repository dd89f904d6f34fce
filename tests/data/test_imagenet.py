"""Faults of ImageNet folders, each made in a small complete one."""

import shutil
from pathlib import Path

import pytest
from trees import image, write

from posmlp.data import imagenet
from posmlp.data.images import DataError
from posmlp.data.prepare import prepare
from posmlp.data.sources import DATASETS
from posmlp.study import Augment, Data

A, B, C = "n01440764", "n01443537", "n01484850"


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A complete folder of 3 classes, with 4 training and 2 validation images each."""
    monkeypatch.setattr(imagenet, "LEAST_TRAIN", 3)
    monkeypatch.setattr(imagenet, "NUM_VAL", 2)
    files = {f"train/{w}/{w}_{k}.JPEG": b"" for w in (A, B, C) for k in (10, 9, 100, 2)}
    files |= {f"val/{w}/val_{w[-4:]}{k}.JPEG": b"" for w in (A, B, C) for k in (1, 2)}
    # Hidden files, archives and lists are harmless.
    files |= {"train/.cache/x.JPEG": b"", f"train/{A}.tar": b"", "val_map.txt": b""}
    return write(tmp_path, files)


def check(folder):
    DATASETS["imagenet"].list_files(folder, 3)


def rename_class(root: Path) -> None:
    for split in ("train", "val"):
        (root / split / A).rename(root / split / "tench")


FAULTS = {
    "no val": (lambda root: shutil.rmtree(root / "val"), ["/val", "cannot be listed"]),
    "class missing in val": (
        lambda root: shutil.rmtree(root / "val" / B),
        [f"1 classes do not hold 2 validation images: {B} 0"],
    ),
    "not wnids": (
        rename_class,
        ["1 class folders are not named by wnid (n and 8 digits), so labels would differ: tench"],
    ),
    "half unpacked": (
        lambda root: [path.unlink() for path in sorted((root / "train" / B).iterdir())[:3]],
        [f"1 classes hold fewer than 3 training images; unpack them again: {B} 1"],
    ),
    "train image in a wrong class": (
        lambda root: (root / f"train/{A}/{A}_10.JPEG").rename(root / f"train/{B}/{A}_10.JPEG"),
        [f"1 images are in the folder of another class: train/{B}/{A}_10.JPEG belongs in {A}"],
    ),
    "val sorted by another order": (
        lambda root: (root / f"val/{B}/val_35371.JPEG").rename(
            root / f"val/{B}/ILSVRC2012_val_00000293.JPEG"
        ),
        [f"val/{B}/ILSVRC2012_val_00000293.JPEG belongs in {A}"],
    ),
    "several faults": (
        lambda root: (rename_class(root), shutil.rmtree(root / "val" / C)),
        ["are not named by wnid", "do not hold 2 validation images"],
    ),
}


def test_a_complete_folder_passes(folder):
    check(folder)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_reported(folder, fault):
    damage, expected = FAULTS[fault]
    damage(folder)
    with pytest.raises(DataError) as caught:
        check(folder)
    for text in (str(folder), *expected):
        assert text in str(caught.value)


def test_imagenet_is_expected_in_full(tmp_path):
    root = write(tmp_path, {f"{split}/{A}/1.JPEG": image(0) for split in ("train", "val")})
    with pytest.raises(DataError, match=r"1 class folders in train and data.num_classes is 1,000"):
        prepare(Data(name="imagenet"), Augment(), root)
