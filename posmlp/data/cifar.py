"""CIFAR-10 and CIFAR-100: 60,000 colour images, 32x32, in their python (pickle) layout."""

from pathlib import Path

import numpy as np

from posmlp.data.download import explained
from posmlp.data.images import DataError, Images, SourceSplit


def read_cifar(class_name: str, root: Path, split: SourceSplit) -> Images:
    """Read the split as torchvision's class of that name reads and checks it.

    `root` holds the unpacked folder or is that folder; only where it is absent it is unpacked from
    the archive in `root`, or downloaded.
    """
    # torchvision imports torch, seconds that only reading the data should cost.
    from torchvision import datasets

    reader = getattr(datasets, class_name)
    parent = root.parent if root.name == reader.base_folder else root
    folder = parent / reader.base_folder
    if not folder.is_dir():
        by_hand = f"by hand: put {reader.filename} into {parent}, it is unpacked there"
        with explained(class_name, f"looked for: {folder}, {parent / reader.filename}", by_hand):
            reader(parent, download=True)
    try:
        dataset = reader(parent, train=split == "train")
    except (OSError, RuntimeError):
        raise DataError(
            f"{class_name} in {folder} is incomplete or damaged: of its files "
            f"{', '.join(_files(reader))} some are missing or differ from the published ones; "
            f"remove the folder and unpack {reader.filename} again"
        ) from None
    labels_N = np.array(dataset.targets, dtype=np.int64)
    return Images(np.ascontiguousarray(dataset.data), labels_N, str(folder))


def _files(reader: type) -> list[str]:
    listed = [*reader.train_list, *reader.test_list]
    return [*(name for name, _ in listed), reader.meta["filename"]]
