"""The handwritten digits bundled with scikit-learn: 1,797 grey images of 8x8 pixels."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from posmlp.data.images import DataError, Images, SourceSplit
from posmlp.data.subsets import first_ranked, shuffled_within_classes

# Pixels are stored as 0..16; times 15 they use 0..240 of uint8, without rounding.
_PIXEL_SCALE = 15
# The split belongs to the data set: 50 digits of each class, drawn once, whatever a run's seed.
_TEST_PER_CLASS = 50
_SPLIT_SEED = 0


def read_digits(root: Path, split: SourceSplit) -> Images:
    """Read the split; `root` is not looked at, the images come with scikit-learn."""
    table = np.loadtxt(_bundled_file(), delimiter=",", dtype=np.int64)  # 64 pixels and the digit
    images_NHWC = (table[:, :-1] * _PIXEL_SCALE).astype(np.uint8).reshape(-1, 8, 8, 1)
    labels_N = table[:, -1]
    order_N = shuffled_within_classes(labels_N, _SPLIT_SEED)
    test = first_ranked(order_N, labels_N, lambda _: _TEST_PER_CLASS)
    chosen = test if split == "test" else np.setdiff1d(np.arange(len(labels_N)), test)
    return Images(images_NHWC, labels_N, "scikit-learn's bundled digits").take(chosen)


def _bundled_file() -> Path:
    """The file behind sklearn.datasets.load_digits, whose import would take 2 s of every run."""
    package = find_spec("sklearn")
    file = package and Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if not (file and file.exists()):
        raise DataError("digits: scikit-learn brings these images and is not installed: make env")
    return file
