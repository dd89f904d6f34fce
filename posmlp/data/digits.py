"""The handwritten digits bundled with scikit-learn: 1,797 grey images of 8x8 pixels."""

from pathlib import Path

import numpy as np

from posmlp.data.images import Images, Split
from posmlp.data.subsets import first_ranked, shuffled_within_classes

# Pixels are stored as 0..16; times 15 they use 0..240 of uint8, without rounding.
_PIXEL_SCALE = 15
# The split belongs to the data set: 50 digits of each class, drawn once, whatever a run's seed.
_TEST_PER_CLASS = 50
_SPLIT_SEED = 0


def read_digits(root: Path, split: Split) -> Images:
    """Return the split; `root` is not looked at, the images come with scikit-learn."""
    # scikit-learn takes a second to import, which only reading the data should cost.
    from sklearn.datasets import load_digits

    bundle = load_digits()
    images_NHWC = (bundle.images * _PIXEL_SCALE).astype(np.uint8)[..., None]
    labels_N = bundle.target.astype(np.int64)
    order_N = shuffled_within_classes(labels_N, _SPLIT_SEED)
    test = first_ranked(order_N, labels_N, lambda _: _TEST_PER_CLASS)
    chosen = test if split == "test" else np.setdiff1d(np.arange(len(labels_N)), test)
    return Images(images_NHWC, labels_N, "scikit-learn's bundled digits").take(chosen)
