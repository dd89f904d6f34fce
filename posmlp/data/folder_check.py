"""Is a folder of images all of ImageNet, and labelled as it should be? Found out before any run."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from posmlp.data.image_folder import SPLIT_FOLDERS, Listing, SplitListing, list_folder, list_split
from posmlp.data.images import SPLITS, DataError, Split

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

    Train may lack a few images (copies of ImageNet do, and its classes hold 732 to 1,300); test has
    the same number in every class.
    """

    num_classes: int = 1_000
    min_train: int = 1_200_000
    min_train_per_class: int = 700
    num_test: int = 50_000


def check_image_folder(
    root: str | Path, expected: FolderExpectation = FolderExpectation()
) -> dict[str, object]:
    """Return source, num_images (by split), class_names, or raise one error listing every fault."""
    root = Path(root).expanduser()
    if not root.is_dir():
        raise DataError(_report(root, ["there is no such folder"], expected))
    top = list_folder(root)
    found = {s: list_split(root / f) for s, f in SPLIT_FOLDERS.items() if f in top.folders}
    if problems := [*_missing_splits(top), *_problems(found, expected)]:
        raise DataError(_report(root, problems, expected))
    return {
        "source": str(root),
        "num_images": {split: listing.num_images for split, listing in found.items()},
        "class_names": list(found["train"].classes),
    }


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


def _missing_splits(top: Listing) -> Iterator[str]:
    """Name the split folders that are absent, with what is there instead."""
    held = _some([*top.folders, *top.archives]) or "no folder"
    unpack = "; unpack the archives first" if top.archives else ""
    for name in SPLIT_FOLDERS.values():
        if name not in top.folders:
            yield f"{name}: missing; found instead: {held}{unpack}"


def _problems(found: dict[Split, SplitListing], expected: FolderExpectation) -> Iterator[str]:
    for split, listing in found.items():
        of_images = _train_problems if split == "train" else _val_problems
        for problem in (*_layout_problems(listing, expected), *of_images(listing, expected)):
            yield f"{SPLIT_FOLDERS[split]}: {problem}"
    # A split without any class folder has its own problem already.
    if len(found) == len(SPLITS) and all(listing.classes for listing in found.values()):
        train, val = (set(found[split].classes) for split in SPLITS)
        if train - val:
            yield f"classes in train but not in val: {_some(sorted(train - val))}"
        if val - train:
            yield f"classes in val but not in train: {_some(sorted(val - train))}"


def _layout_problems(listing: SplitListing, expected: FolderExpectation) -> Iterator[str]:
    """Whatever is wrong with the class folders of one split, not with the images in them."""
    classes = listing.classes
    full = {name for name, folder in classes.items() if folder.images}
    if flat := listing.top.images:
        yield (
            f"{len(flat):,} images lie in it directly ({_some(flat, 2)}); move each into the "
            "folder of its class, for val with the script valprep.sh of imagenetloader.torch"
        )
    packed = [name for name in listing.top.archives if name.split(".")[0] not in full]
    if packed and len(full) < expected.num_classes:
        yield (
            f"{len(packed):,} archives are not unpacked ({_some(packed)}); unpack each into a "
            "folder of its name"
        )
    if len(classes) != expected.num_classes:
        yield f"{len(classes):,} class folders, expected {expected.num_classes:,}"
    if unnamed := [name for name in classes if not _WNID.fullmatch(name)]:
        yield (
            f"{len(unnamed):,} class folders are not named by wnid (n and 8 digits): "
            f"{_some(unnamed)}; labels follow the sorted wnids, so other names are other labels"
        )
    if empty := [name for name in classes if name not in full]:
        deeper = [f"{name}/{classes[name].folders[0]}" for name in empty if classes[name].folders]
        hint = f"; move the images up out of {_some(deeper, 2)}" if deeper else ""
        yield f"{len(empty):,} class folders hold no image: {_some(empty)}{hint}"


def _train_problems(train: SplitListing, expected: FolderExpectation) -> Iterator[str]:
    """Too few images in all or in a class, and images in the folder of another class."""
    num_of = train.num_images_by_class
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
        for name, listing in train.classes.items()
        for image in listing.images
        if (match := _TRAIN_IMAGE.match(image)) and match[1] != name
    ]
    if strays:
        yield f"wrongly labelled: {len(strays):,} images of another class: {_some(strays)}"


def _val_problems(val: SplitListing, expected: FolderExpectation) -> Iterator[str]:
    """Images missing or surplus, in all or in a class, and known images in a wrong folder."""
    num_of = val.num_images_by_class
    if num_of and val.num_images != expected.num_test:
        yield f"{val.num_images:,} images in class folders, expected {expected.num_test:,}"
    each = expected.num_test // expected.num_classes
    if uneven := {name: num for name, num in num_of.items() if num not in (0, each)}:
        yield f"{len(uneven):,} classes do not hold {each:,} images: {_counts(uneven)}"
    wrong = [
        f"{image} is in {name} and belongs into {_VAL_CLASSES[image]}"
        for name, listing in val.classes.items()
        for image in listing.images
        if _VAL_CLASSES.get(image, name) != name
    ]
    if wrong:
        yield f"wrongly labelled: {'; '.join(wrong)}; sort val again"


def _some(names: list[str], num: int = 5) -> str:
    rest = f" and {len(names) - num:,} more" if len(names) > num else ""
    return ", ".join(names[:num]) + rest


def _counts(num_of: dict[str, int]) -> str:
    """The smallest classes with their numbers of images."""
    smallest_first = sorted(num_of.items(), key=lambda item: (item[1], item[0]))
    return _some([f"{name} {num:,}" for name, num in smallest_first])
