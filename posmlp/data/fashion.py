"""Fashion-MNIST: 70,000 grey images of clothes, 28x28, in the file format of MNIST."""

from pathlib import Path

import numpy as np

from posmlp.data.download import explained
from posmlp.data.idx import read_idx
from posmlp.data.images import DataError, Images, SourceSplit

_PREFIXES: dict[SourceSplit, str] = {"train": "train", "test": "t10k"}
_FILES = tuple(
    f"{p}-{kind}-ubyte" for p in _PREFIXES.values() for kind in ("images-idx3", "labels-idx1")
)
_DEBIAN = Path("/usr/share/datasets/fashion-mnist")
_BY_HAND = (
    "by hand: install Debian's package dataset-fashion-mnist, or put the four files "
    f"{', '.join(_FILES)} (plain or .gz) into the first folder"
)


def search_folders(root: Path) -> tuple[Path, ...]:
    """Folders that may hold the idx files, in the order in which they are searched."""
    return (root, _torchvision_folder(root), root / "fashion", _DEBIAN)


def read_fashion(root: Path, split: SourceSplit) -> Images:
    """Read the split from the first search folder with any of the files, or download it."""
    folder = next((f for f in search_folders(root) if any(_paths(f).values())), None)
    if folder is None:
        folder = _download(root)
    paths = _paths(folder)
    if missing := [name for name, path in paths.items() if path is None]:
        raise DataError(
            f"Fashion-MNIST in {folder} is incomplete: {', '.join(missing)} (plain or .gz) not "
            "found; add what is missing, or remove the other files to have them downloaded"
        )
    images_NHW = read_idx(paths[f"{_PREFIXES[split]}-images-idx3-ubyte"], num_dims=3)
    labels_N = read_idx(paths[f"{_PREFIXES[split]}-labels-idx1-ubyte"], num_dims=1)
    if len(images_NHW) != len(labels_N):
        raise DataError(
            f"Fashion-MNIST in {folder}: {len(images_NHW):,} {split} images but "
            f"{len(labels_N):,} labels; the files are of different data sets"
        )
    return Images(images_NHW[..., None], labels_N.astype(np.int64), str(folder))


def _torchvision_folder(root: Path) -> Path:
    return root / "FashionMNIST" / "raw"


def _paths(folder: Path) -> dict[str, Path | None]:
    """Each idx file's path in `folder`, the plain one before the .gz, None where there is none."""
    choices = {name: (folder / name, folder / f"{name}.gz") for name in _FILES}
    return {name: next((p for p in pair if p.is_file()), None) for name, pair in choices.items()}


def _download(root: Path) -> Path:
    # torchvision imports torch, seconds that only a download should cost.
    from torchvision.datasets import FashionMNIST

    looked_for = ", ".join(map(str, search_folders(root)))
    with explained("Fashion-MNIST", f"looked for its idx files in: {looked_for}", _BY_HAND):
        FashionMNIST(root, download=True)
    return _torchvision_folder(root)
