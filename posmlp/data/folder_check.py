"""Check that an image folder is all of ImageNet and correctly labelled, before any run."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from posmlp.data.file_tree import ARCHIVE_SUFFIXES, FolderTree
from posmlp.data.image_folder import some
from posmlp.data.image_reader import IMAGE_SUFFIXES
from posmlp.data.images import DataError

FOLDERS = ("train", "val")
_WNID = re.compile(r"n\d{8}")
_TRAIN_IMAGE = re.compile(r"(n\d{8})_\d+\.")
# The class of five validation images, to notice a val sorted by another order of the classes.
_VAL_CLASSES = {
    "ILSVRC2012_val_00000001.JPEG": "n01751748",
    "ILSVRC2012_val_00000002.JPEG": "n09193705",
    "ILSVRC2012_val_00000003.JPEG": "n02105855",
    "ILSVRC2012_val_00000004.JPEG": "n04263257",
    "ILSVRC2012_val_00000293.JPEG": "n01440764",
}


@dataclass(frozen=True)
class FolderExpectation:
    """What a complete image folder holds; the defaults are ImageNet-1k's.

    Train may lack a few images (copies of ImageNet do, and its classes hold 732 to 1,300); val has
    the same number in every class.
    """

    num_classes: int = 1_000
    min_train: int = 1_200_000
    min_train_per_class: int = 700
    num_test: int = 50_000


class SplitListing:
    """What lies in the folder of one split.

    Args:
        names: below it, as FolderTree lists them.
    """

    def __init__(self, names: list[str]) -> None:
        self.classes: dict[str, list[str]] = {
            name[:-1]: [] for name in names if name.endswith("/") and name.count("/") == 1
        }
        self.loose_images: list[str] = []
        self.archives: list[str] = []
        for name in names:
            folder, _, image = name.partition("/")
            if image and name.lower().endswith(IMAGE_SUFFIXES):
                self.classes[folder].append(image)
            elif name.lower().endswith(IMAGE_SUFFIXES):
                self.loose_images.append(name)
            elif not image and name.lower().endswith(ARCHIVE_SUFFIXES):
                self.archives.append(name)

    @property
    def num_by_class(self) -> dict[str, int]:
        return {name: len(images) for name, images in self.classes.items()}

    @property
    def num_images(self) -> int:
        return sum(self.num_by_class.values())


def check_image_folder(root: str | Path, expected: FolderExpectation) -> None:
    """Compare a folder with what it should hold.

    Raises:
        DataError: lists every fault.
    """
    root = Path(root).expanduser()
    if not root.is_dir():
        raise DataError(_report(root, ["there is no such folder"], expected))
    tree = FolderTree(root)
    found = {
        name: SplitListing([path.removeprefix(f"{name}/") for path in tree.names(name)])
        for name in FOLDERS
        if tree.has(name)
    }
    if problems := [*_missing_splits(root), *_problems(found, expected)]:
        raise DataError(_report(root, problems, expected))


def _report(root: Path, problems: list[str], expected: FolderExpectation) -> str:
    return "\n".join(
        [
            f"The image folder {root} cannot be used as it is:",
            *(f"  - {problem}" for problem in problems),
            f"Expected: {expected.num_classes:,} class folders named by wnid in each of train and "
            f"val, as in {root}/train/n01440764/*.JPEG and {root}/val/n01440764/*.JPEG. "
            "Correct the folder, or name another one as data_root.",
        ]
    )


def _missing_splits(root: Path) -> Iterator[str]:
    """Name the split folders that are absent, with what is there instead."""
    inside = sorted(path for path in root.iterdir() if not path.name.startswith("."))
    archives = [p.name for p in inside if p.name.lower().endswith(ARCHIVE_SUFFIXES)]
    present = some([*(p.name for p in inside if p.is_dir()), *archives]) or "no folder"
    unpack = "; unpack the archives first" if archives else ""
    for name in FOLDERS:
        if not (root / name).is_dir():
            yield f"{name}: missing; found instead: {present}{unpack}"


def _problems(found: dict[str, SplitListing], expected: FolderExpectation) -> Iterator[str]:
    for folder, listing in found.items():
        of_images = _train_problems if folder == "train" else _val_problems
        for problem in (*_layout_problems(listing, expected), *of_images(listing, expected)):
            yield f"{folder}: {problem}"
    # A split without any class folder has its own problem already.
    if len(found) == len(FOLDERS) and all(listing.classes for listing in found.values()):
        train, val = (set(found[folder].classes) for folder in FOLDERS)
        if train - val:
            yield f"classes in train but not in val: {some(sorted(train - val))}"
        if val - train:
            yield f"classes in val but not in train: {some(sorted(val - train))}"


def _layout_problems(listing: SplitListing, expected: FolderExpectation) -> Iterator[str]:
    """Find what is wrong with the class folders of one split, not with the images in them."""
    classes = listing.classes
    full = {name for name, images in classes.items() if images}
    if listing.loose_images:
        yield (
            f"{len(listing.loose_images):,} images lie in it directly "
            f"({some(listing.loose_images, 2)}); move each into the folder of its class, for val "
            "with the script valprep.sh of imagenetloader.torch"
        )
    packed = [name for name in listing.archives if name.split(".")[0] not in full]
    if packed and len(full) < expected.num_classes:
        yield (
            f"{len(packed):,} archives are not unpacked ({some(packed)}); unpack each into a "
            "folder of its name"
        )
    if len(classes) != expected.num_classes:
        yield f"{len(classes):,} class folders, expected {expected.num_classes:,}"
    if unnamed := [name for name in classes if not _WNID.fullmatch(name)]:
        yield (
            f"{len(unnamed):,} class folders are not named by wnid (n and 8 digits): "
            f"{some(unnamed)}; labels follow the sorted wnids, so other names are other labels"
        )
    if empty := [name for name in classes if name not in full]:
        yield f"{len(empty):,} class folders hold no image: {some(empty)}"


def _train_problems(train: SplitListing, expected: FolderExpectation) -> Iterator[str]:
    """Find too few images, in all or in a class, and images in the folder of another class."""
    num_of = train.num_by_class
    if num_of and train.num_images < expected.min_train:
        yield (
            f"{train.num_images:,} images, expected at least {expected.min_train:,}; smallest "
            f"classes: {_counts(num_of)}; unpack it completely"
        )
    few = {n: num for n, num in num_of.items() if 0 < num < expected.min_train_per_class}
    if few:
        yield (
            f"{len(few):,} classes hold fewer than {expected.min_train_per_class:,} images: "
            f"{_counts(few)}; unpack them again"
        )
    strays = [
        f"{name}/{image}"
        for name, images in train.classes.items()
        for image in images
        if (match := _TRAIN_IMAGE.match(image)) and match[1] != name
    ]
    if strays:
        yield f"wrongly labelled: {len(strays):,} images of another class: {some(strays)}"


def _val_problems(val: SplitListing, expected: FolderExpectation) -> Iterator[str]:
    """Find images missing or surplus, in all or in a class, and known images in a wrong folder."""
    num_of = val.num_by_class
    if num_of and val.num_images != expected.num_test:
        yield f"{val.num_images:,} images in class folders, expected {expected.num_test:,}"
    each = expected.num_test // expected.num_classes
    if uneven := {name: num for name, num in num_of.items() if num not in (0, each)}:
        yield f"{len(uneven):,} classes do not hold {each:,} images: {_counts(uneven)}"
    wrong = [
        f"{image} is in {name} but belongs in {_VAL_CLASSES[image]}"
        for name, images in val.classes.items()
        for image in images
        if _VAL_CLASSES.get(image, name) != name
    ]
    if wrong:
        yield f"wrongly labelled: {'; '.join(wrong)}; sort val again"


def _counts(num_of: dict[str, int]) -> str:
    """List the smallest classes with their numbers of images."""
    smallest_first = sorted(num_of.items(), key=lambda item: (item[1], item[0]))
    return some([f"{name} {num:,}" for name, num in smallest_first])
