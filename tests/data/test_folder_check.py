"""Every way in which an image folder may be wrong, each on the small complete folder."""

import shutil
from pathlib import Path

import pytest

from posmlp.data.folder_check import FolderExpectation, check_image_folder
from posmlp.data.images import DataError

A, B, C = "n01440764", "n01443537", "n01484850"


def test_a_complete_folder_passes(image_folder, small):
    check_image_folder(image_folder, small)


def test_hidden_files_kept_archives_and_lists_do_no_harm(image_folder, small):
    (image_folder / "train" / ".cache").mkdir()
    (image_folder / "val" / A / "._ILSVRC2012_val_107641.JPEG").touch()
    (image_folder / "train" / "ILSVRC2012_img_train.tar").touch()
    (image_folder / "train" / f"{A}.tar").touch()
    (image_folder / "val_map.txt").touch()
    check_image_folder(image_folder, small)


def move_up(folder: Path) -> None:
    """Undo the sorting into class folders."""
    for path in list(folder.glob("*/*")):
        path.rename(folder / path.name)
    for path in [path for path in folder.iterdir() if path.is_dir()]:
        path.rmdir()


def pack(folder: Path) -> None:
    """Replace the class folders by archives of their names."""
    for path in list(folder.iterdir()):
        shutil.rmtree(path)
        path.with_suffix(".tar").touch()


def rename_classes(root: Path) -> None:
    for split in ("train", "val"):
        (root / split / A).rename(root / split / "tench")


def move(root: Path, path: str, folder: str) -> None:
    (root / path).rename(root / folder / Path(path).name)


FAULTS = {
    "no-root": (shutil.rmtree, ["there is no such folder"]),
    "no-split": (
        lambda root: shutil.rmtree(root / "val"),
        ["val: missing; found instead: train"],
    ),
    "nothing": (
        lambda root: [shutil.rmtree(path) for path in list(root.iterdir())],
        ["train: missing; found instead: no folder", "val: missing; found instead: no folder"],
    ),
    "root-of-archives": (
        lambda root: [pack(root)],
        ["train: missing; found instead: train.tar, val.tar; unpack the archives first"],
    ),
    "empty-split": (
        lambda root: [shutil.rmtree(path) for path in list((root / "train").iterdir())],
        ["train: 0 class folders, expected 3"],
    ),
    "missing-class": (
        lambda root: shutil.rmtree(root / "val" / B),
        [
            "val: 2 class folders, expected 3",
            "val: 4 images in class folders, expected 6",
            f"classes in train but not in val: {B}",
        ],
    ),
    "surplus-class": (
        lambda root: (root / "val" / "lost+found").mkdir(),
        [
            "val: 4 class folders, expected 3",
            "val: 1 class folders are not named by wnid (n and 8 digits): lost+found",
            "val: 1 class folders hold no image: lost+found",
            "classes in val but not in train: lost+found",
        ],
    ),
    "empty-class": (
        lambda root: [path.unlink() for path in (root / "val" / C).iterdir()],
        [
            f"val: 1 class folders hold no image: {C}",
            "val: 4 images in class folders, expected 6",
        ],
    ),
    "flat-val": (
        lambda root: move_up(root / "val"),
        ["val: 6 images lie in it directly", "valprep.sh", "val: 0 class folders, expected 3"],
    ),
    "archives": (
        lambda root: pack(root / "train"),
        [f"train: 3 archives are not unpacked ({A}.tar, {B}.tar, {C}.tar)"],
    ),
    "not-wnids": (
        rename_classes,
        [
            "train: 1 class folders are not named by wnid (n and 8 digits): tench; labels",
            "val: 1 class folders are not named by wnid (n and 8 digits): tench; labels",
        ],
    ),
    "half-unpacked-train": (
        lambda root: [path.unlink() for path in sorted((root / "train" / B).iterdir())[:3]],
        [
            f"train: 9 images, expected at least 12; smallest classes: {B} 1, {A} 4, {C} 4",
            f"train: 1 classes hold fewer than 3 images: {B} 1",
        ],
    ),
    "half-unpacked-val": (
        lambda root: next((root / "val" / B).iterdir()).unlink(),
        [
            "val: 5 images in class folders, expected 6",
            f"val: 1 classes do not hold 2 images: {B} 1",
        ],
    ),
    "unevenly-sorted-val": (
        lambda root: move(root, f"val/{B}/ILSVRC2012_val_135371.JPEG", f"val/{C}"),
        [f"val: 2 classes do not hold 2 images: {B} 1, {C} 3"],
    ),
    "train-image-in-a-wrong-class": (
        lambda root: move(root, f"train/{A}/{A}_10.JPEG", f"train/{B}"),
        [f"train: wrongly labelled: 1 images of another class: {B}/{A}_10.JPEG"],
    ),
    "val-sorted-by-another-order": (
        lambda root: (root / f"val/{B}/ILSVRC2012_val_135372.JPEG").rename(
            root / f"val/{B}/ILSVRC2012_val_00000293.JPEG"
        ),
        [f"val: wrongly labelled: ILSVRC2012_val_00000293.JPEG is in {B} but belongs in {A}"],
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_reported_with_what_was_expected(image_folder, small, fault):
    damage, expected = FAULTS[fault]
    damage(image_folder)
    with pytest.raises(DataError) as caught:
        check_image_folder(image_folder, small)
    told = str(caught.value)
    for text in expected:
        assert text in told
    assert told.startswith(f"The image folder {image_folder} cannot be used as it is:")
    assert "Expected: 3 class folders named by wnid in each of train and val" in told


def test_one_error_lists_all_faults(image_folder, small):
    move_up(image_folder / "val")
    rename_to = image_folder / "train" / "tench"
    (image_folder / "train" / A).rename(rename_to)
    next(rename_to.iterdir()).unlink()
    with pytest.raises(DataError) as caught:
        check_image_folder(image_folder, small)
    faults = [line for line in str(caught.value).splitlines() if line.startswith("  - ")]
    assert [fault[4:].split(":")[0] for fault in faults] == ["train"] * 3 + ["val"] * 2


def test_the_default_expectation_is_imagenets(image_folder):
    with pytest.raises(DataError) as caught:
        check_image_folder(image_folder, FolderExpectation())
    told = str(caught.value)
    assert "train: 3 class folders, expected 1,000" in told
    assert "train: 12 images, expected at least 1,200,000" in told
    assert "val: 6 images in class folders, expected 50,000" in told
