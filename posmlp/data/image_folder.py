"""ImageNet as a folder of images: root/train/<class>/*.JPEG and root/val/<class>/*.JPEG."""

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from posmlp.data.images import DataError, Split

SPLIT_FOLDERS: dict[Split, str] = {"train": "train", "test": "val"}
_IMAGE_SUFFIXES = (".jpeg", ".jpg", ".png")
_ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".zip")
# A network file system answers many requests at once; one after the other takes many minutes.
_NUM_THREADS = 16


class Listing(NamedTuple):
    """The names in one folder, each kind sorted; hidden ones are left out."""

    folders: list[str]
    images: list[str]
    archives: list[str]


class SplitListing(NamedTuple):
    """The names in the folder of a split, and those in each of its class folders."""

    top: Listing
    classes: dict[str, Listing]

    @property
    def num_images_by_class(self) -> dict[str, int]:
        """Images directly in each class folder."""
        return {name: len(listing.images) for name, listing in self.classes.items()}

    @property
    def num_images(self) -> int:
        """Images in all class folders."""
        return sum(self.num_images_by_class.values())


def list_folder(folder: Path) -> Listing:
    """Sort the names in a folder by kind, without asking for more than the names of the images."""
    listing = Listing([], [], [])
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name.lower()
                if name.startswith("."):
                    continue
                if name.endswith(_IMAGE_SUFFIXES):
                    listing.images.append(entry.name)
                elif name.endswith(_ARCHIVE_SUFFIXES):
                    listing.archives.append(entry.name)
                elif entry.is_dir():
                    listing.folders.append(entry.name)
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror}); check data_root") from None
    return Listing(*map(sorted, listing))


def list_split(folder: Path) -> SplitListing:
    """List the folder of a split and all its class folders."""
    top = list_folder(folder)
    with ThreadPoolExecutor(_NUM_THREADS) as threads:
        listings = threads.map(lambda name: list_folder(folder / name), top.folders)
        return SplitListing(top, dict(zip(top.folders, listings, strict=True)))


def imagenet_samples(
    root: str | Path,
    split: Split,
    choose: Callable[[np.ndarray], np.ndarray] | None = None,
) -> tuple[list[str], np.ndarray, list[str]]:
    """Return paths and labels (int64) of the chosen images, by class and name, and the classes.

    A label is the place of its class among the sorted class folders of the train split.

    Args:
        choose: takes the labels of all images and returns indices; None: all.
    """
    root = Path(root).expanduser()
    folder = root / SPLIT_FOLDERS[split]
    class_names = list_folder(root / SPLIT_FOLDERS["train"]).folders
    label_of = {name: label for label, name in enumerate(class_names)}
    listing = list_split(folder)
    if unknown := sorted(listing.classes.keys() - label_of.keys()):
        raise DataError(f"{folder}: classes without a folder in train: {', '.join(unknown[:5])}")
    paths = [
        f"{folder}/{name}/{image}"
        for name, names in listing.classes.items()
        for image in names.images
    ]
    labels_N = np.repeat(
        np.array([label_of[name] for name in listing.classes], dtype=np.int64),
        list(listing.num_images_by_class.values()),
    )
    if choose is None:
        return paths, labels_N, class_names
    chosen = choose(labels_N)
    return [paths[index] for index in chosen.tolist()], labels_N[chosen], class_names


def split_digest(root: Path, split: Split) -> str:
    """16 hex digits over the names and sizes in bytes of a split's images."""
    folder = root / SPLIT_FOLDERS[split]

    def names_and_sizes(item: tuple[str, Listing]) -> str:
        name, listing = item
        sizes = [os.stat(f"{folder}/{name}/{image}").st_size for image in listing.images]
        pairs = zip(listing.images, sizes, strict=True)
        return "".join(f"{name}/{image} {size}\n" for image, size in pairs)

    sha256 = hashlib.sha256()
    try:
        with ThreadPoolExecutor(_NUM_THREADS) as threads:
            for lines in threads.map(names_and_sizes, list_split(folder).classes.items()):
                sha256.update(lines.encode())
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror})") from None
    return sha256.hexdigest()[:16]
