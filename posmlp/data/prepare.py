"""The first step of a study: get the data set, check it once, and say in figures what it is."""

from pathlib import Path

from posmlp.data.folder_check import FolderExpectation, check_image_folder
from posmlp.data.image_folder import split_digest
from posmlp.data.images import SPLITS, DataError, dataset_digest
from posmlp.data.sources import DATASETS, DataSource


def prepare(
    name: str, root: str | Path, expected: FolderExpectation | None = None
) -> dict[str, object]:
    """Check the data set, downloading it where that is possible, and return its facts for JSON.

    Keys: name, title, source (folder), num_images and digests (by split), digest, num_classes,
    class_names, in_chans, image_size. `expected` replaces what an image folder should hold.
    """
    if name not in DATASETS:
        raise DataError(f"data.name: allowed are {', '.join(DATASETS)}, found {name!r}")
    source = DATASETS[name]
    held = _arrays(source, root) if source.in_memory else _folder(source, root, expected)
    return {
        "name": source.name,
        "title": source.title,
        **held,
        "digest": dataset_digest(held["digests"]),
        "num_classes": len(held["class_names"]),
        "in_chans": source.in_chans,
        "image_size": source.image_size,
    }


def _arrays(source: DataSource, root: str | Path) -> dict:
    splits = {split: source.load(root, split) for split in SPLITS}
    return {
        "source": splits["train"].source,
        "num_images": {split: len(images) for split, images in splits.items()},
        "digests": {split: images.digest for split, images in splits.items()},
        "class_names": list(source.class_names),
    }


def _folder(source: DataSource, root: str | Path, expected: FolderExpectation | None) -> dict:
    held = check_image_folder(root, expected or source.folder)
    digests = {split: split_digest(Path(root).expanduser(), split) for split in SPLITS}
    return {**held, "digests": digests}
