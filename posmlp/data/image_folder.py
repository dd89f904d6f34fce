"""Labelled image files: train/<class>/** and val/<class>/** (or test/), in a folder or archive.

A label is the position of its class among the sorted class folders of train. If a split has a table
`<split>_annotations.txt` (as Tiny ImageNet's val), the table gives the class of each image instead.
"""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice

import numpy as np
from PIL import Image, ImageOps

from posmlp.data.file_tree import NUM_THREADS, FolderTree, Read
from posmlp.data.image_reader import (
    COUNTED,
    IMAGE_SUFFIXES,
    UnreadableImage,
    check_unreadable,
    printable,
    read_image,
    some,
)
from posmlp.data.images import DataError, Images, SourceSplit

CHUNK = 1_024  # files read ahead of decoding


@dataclass(frozen=True, eq=False)
class LabelledFiles:
    """The image files of one split, by class and name.

    Args:
        names: of the images, in the tree.
        others: ignored files, whose endings are not those of images.
    """

    tree: FolderTree
    names: list[str]
    labels_N: np.ndarray  # noqa: N815
    class_names: list[str]
    others: list[str]

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def paths(self) -> list[str]:
        return [self.tree.path(name) for name in self.names]

    def take(self, indices: np.ndarray) -> "LabelledFiles":
        names = [self.names[index] for index in indices.tolist()]
        return replace(self, names=names, labels_N=self.labels_N[indices])

    @cached_property
    def sizes(self) -> list[int | None]:
        """Size of each file in bytes; None for a broken link."""
        with ThreadPoolExecutor(NUM_THREADS) as threads:
            return list(threads.map(self.tree.size, self.names))

    @cached_property
    def digest(self) -> str:
        """16 hex digits over names, labels and sizes."""
        return _digest(self, ["missing" if size is None else str(size) for size in self.sizes])


def labelled_files(
    tree: FolderTree, split: SourceSplit, class_names: list[str] | None = None
) -> LabelledFiles:
    """List a split's images.

    Args:
        class_names: by label; None: the split's own class folders, sorted.

    Raises:
        DataError: there are no images, an image has no class, or a class is not in `class_names`.
    """
    folder = split
    if split == "test" and (tree.has("val") or not tree.has("test")):
        folder = "val"
    where = printable(tree.path(folder))
    names = [name.removeprefix(f"{folder}/") for name in tree.names(folder)]
    images = [name for name in names if name.lower().endswith(IMAGE_SUFFIXES)]
    table = f"{folder}_annotations.txt"
    if table in names:
        class_of = _read_table(tree, f"{folder}/{table}")
        classes = [class_of.get(name.rpartition("/")[2], "") for name in images]
    else:
        classes = [name.partition("/")[0] if "/" in name else "" for name in images]
    if loose := [name for name, label in zip(images, classes, strict=True) if not label]:
        raise DataError(
            f"{where}: {len(loose):,} images without a class ({some(loose)}); move each into the "
            f"folder of its class, {folder}/<class>/"
        )
    if not images:
        files = [name for name in names if not name.endswith("/")]
        raise DataError(f"{where}: holds no image, but {some(files) or 'nothing'}; {COUNTED}")
    if class_names is None:
        class_names = sorted({name.partition("/")[0] for name in names if "/" in name})
    label_of = {name: label for label, name in enumerate(class_names)}
    if unknown := sorted(set(classes) - label_of.keys()):
        raise DataError(f"{where}: classes without a folder in train: {some(unknown)}")
    counted = {*images, table}
    return LabelledFiles(
        tree,
        [f"{folder}/{name}" for name in images],
        np.array([label_of[name] for name in classes], dtype=np.int64),
        class_names,
        [f"{folder}/{name}" for name in names if name not in counted and not name.endswith("/")],
    )


def _read_table(tree: FolderTree, name: str) -> dict[str, str]:
    """Map images to classes, the first two columns of a tab-separated table."""
    ((_, read),) = tree.readers([name])
    rows = [line.split("\t") for line in read().decode("utf-8", "replace").splitlines()]
    return {row[0]: row[1] for row in rows if len(row) > 1}


def load_images(files: LabelledFiles, size: int, in_chans: int, max_unreadable: int) -> Images:
    """Decode all files into memory, centre-cropped to squares of `size` pixels per side.

    Raises:
        DataError: more than `max_unreadable` files cannot be decoded; the message names some.
    """
    pixels_NHWC = np.zeros((len(files), size, size, in_chans), dtype=np.uint8)
    digests = [""] * len(files)
    reasons: dict[int, str] = {}
    mode = "L" if in_chans == 1 else "RGB"

    def load(item: tuple[int, Read]) -> None:
        position, read = item
        try:
            content = read()
            digests[position] = hashlib.sha256(content).hexdigest()
            image = read_image(content, mode)
        except (OSError, UnreadableImage) as error:
            reasons[position] = getattr(error, "strerror", None) or str(error)
        else:
            image = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
            pixels_NHWC[position] = np.asarray(image).reshape(size, size, in_chans)

    with ThreadPoolExecutor(NUM_THREADS) as threads:
        items = files.tree.readers(files.names)
        while chunk := list(islice(items, CHUNK)):
            list(threads.map(load, chunk))
    unreadable = {files.paths[k]: reasons[k] for k in sorted(reasons)}
    check_unreadable(unreadable, max_unreadable)
    images = Images(
        pixels_NHWC,
        files.labels_N,
        str(files.tree.root),
        _digest(files, digests),
        tuple(unreadable),
    )
    return images.take(np.delete(np.arange(len(files)), list(reasons))) if reasons else images


def _digest(files: LabelledFiles, facts: list[str]) -> str:
    """Hash names, labels and one fact per file to 16 hex digits; names need not be UTF-8."""
    sha256 = hashlib.sha256()
    for name, label, fact in zip(files.names, files.labels_N.tolist(), facts, strict=True):
        sha256.update(f"{name} {label} {fact}\n".encode("utf-8", "surrogateescape"))
    return sha256.hexdigest()[:16]
