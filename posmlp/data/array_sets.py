"""Readers of data sets stored as arrays: digits, Fashion-MNIST, CIFAR-10 and CIFAR-100.

Each is a function `(root, split) -> Images`; `DataSource.load` checks its result. torchvision
imports torch, so functions import it only when they need it.
"""

import gzip
import zlib
from collections.abc import Callable
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from posmlp.data.images import DataError, Images, SourceSplit
from posmlp.data.subsets import first_ranked, shuffled_within_classes

# The digits' split is part of the data set and independent of a run's seed.
_TEST_DIGITS_PER_CLASS, _DIGITS_SEED = 50, 0
_DEBIAN = Path("/usr/share/datasets/fashion-mnist")


def read_digits(root: Path, split: SourceSplit) -> Images:
    """Read the split of scikit-learn's 1,797 grey digits of 8x8 pixels; `root` is not used."""
    # Read the file of sklearn.datasets.load_digits directly: importing sklearn takes 2 s.
    package = find_spec("sklearn")
    if not package:
        raise DataError("digits: scikit-learn brings these images and is not installed: make env")
    file = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    table = np.loadtxt(file, delimiter=",", dtype=np.int64)  # 64 pixels and the digit
    # Pixels are 0..16; times 15 they use 0..240 of uint8, without rounding.
    images_NHWC = (table[:, :-1] * 15).astype(np.uint8).reshape(-1, 8, 8, 1)
    labels_N = table[:, -1]
    order_N = shuffled_within_classes(labels_N, _DIGITS_SEED)
    test = first_ranked(order_N, labels_N, lambda _: _TEST_DIGITS_PER_CLASS)
    chosen = test if split == "test" else np.setdiff1d(np.arange(len(labels_N)), test)
    return Images(images_NHWC, labels_N, "scikit-learn's bundled digits").take(chosen)


def read_fashion(root: Path, split: SourceSplit) -> Images:
    """Read the split of 70,000 grey images of clothes, 28x28, from idx files, plain or .gz.

    Files are searched for in `root`, in torchvision's folder and `fashion` below it, and in the
    folder of Debian's package. If none has them, torchvision downloads them.
    """
    prefix = "train" if split == "train" else "t10k"
    names = f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"
    downloaded = root / "FashionMNIST" / "raw"
    folders = (root, downloaded, root / "fashion", _DEBIAN)
    folder = next((f for f in folders if all(_plain_or_gz(f / n) for n in names)), downloaded)
    if folder == downloaded and not all(_plain_or_gz(folder / n) for n in names):
        from torchvision.datasets import FashionMNIST

        _download(
            lambda: FashionMNIST(root, download=True),
            f"Fashion-MNIST was not found: {' and '.join(names)} (plain or .gz) in any of "
            f"{', '.join(map(str, folders))}",
            "install Debian's package dataset-fashion-mnist, or put its four files into the first",
        )
    images_NHW, labels_N = (_read_idx(_plain_or_gz(folder / name)) for name in names)
    return Images(images_NHW[..., None], labels_N.astype(np.int64), str(folder))


def read_cifar(class_name: str, root: Path, split: SourceSplit) -> Images:
    """Read the split of colour images, 32x32, with the torchvision class of that name.

    `root` is the unpacked folder or holds it. If the folder is absent, it is unpacked from the
    archive in `root`, or downloaded.
    """
    from torchvision import datasets

    reader = getattr(datasets, class_name)
    parent = root.parent if root.name == reader.base_folder else root
    folder = parent / reader.base_folder
    if not folder.is_dir():
        _download(
            lambda: reader(parent, download=True),
            f"{class_name} was not found: {folder}, {parent / reader.filename}",
            f"put {reader.filename} into {parent}, it is unpacked there",
        )
    try:
        dataset = reader(parent, train=split == "train")
    except (OSError, RuntimeError):
        raise DataError(
            f"{class_name} in {folder} is incomplete or damaged; remove the folder and unpack "
            f"{reader.filename} again"
        ) from None
    labels_N = np.array(dataset.targets, dtype=np.int64)
    return Images(np.ascontiguousarray(dataset.data), labels_N, str(folder))


def _download(download: Callable[[], object], missing: str, by_hand: str) -> None:
    try:
        download()
    except (OSError, RuntimeError, HTTPException) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{missing}\n  download failed: {reason}\n  by hand: {by_hand}") from None


def _plain_or_gz(path: Path) -> Path | None:
    return next((p for p in (path, path.with_name(f"{path.name}.gz")) if p.is_file()), None)


def _read_idx(path: Path) -> np.ndarray:
    """Read uint8 values in MNIST's idx format: 3 type bytes, 1 byte with the number of dimensions,
    a big-endian 32-bit size per dimension, then the values.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        num_dims = content[3]
        shape = np.frombuffer(content, ">u4", num_dims, offset=4)
        values = np.frombuffer(content, np.uint8, offset=4 + 4 * num_dims).reshape(shape)
    except (OSError, EOFError, zlib.error, ValueError, IndexError) as error:
        raise DataError(f"{path}: damaged ({error}); replace it by the original") from None
    return values.copy()  # torch warns about read-only arrays
