"""Choose a run's images: a fraction of every class, drawn at random or the first ones.

Random choices use raw output of PCG64, which numpy keeps the same across versions and machines. The
shuffling methods of numpy's Generator carry no such guarantee.
"""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from posmlp.data.images import DataError, Split

if TYPE_CHECKING:
    from posmlp.study.data_settings import Data

VALIDATION_SEED = 2**32  # differs from every subset_seed


def select(labels_N: np.ndarray, data: "Data", split: Split) -> np.ndarray:
    """Choose the images of `split`; sorted indices.

    Args:
        labels_N: labels of the whole test split for "test", otherwise of the whole training split.
    """
    if split == "validation":
        return _withheld(labels_N, data.validation)
    fraction, others = data.eval_fraction, np.arange(len(labels_N))
    if split == "train":
        fraction = data.train_fraction
        others = np.delete(others, _withheld(labels_N, data.validation))
    if data.subset == "first":
        return others[first_of_each_class(labels_N[others], fraction)]
    return others[class_balanced_subset(labels_N[others], fraction, data.subset_seed)]


def _withheld(labels_N: np.ndarray, fraction: float) -> np.ndarray:
    """Choose the validation images, the same for all runs on a data set; sorted indices.

    Raises:
        DataError: a class would be left without training images.
    """
    if fraction == 0:
        return np.arange(0)
    chosen = class_balanced_subset(labels_N, fraction, VALIDATION_SEED)
    lost = np.setdiff1d(labels_N, np.delete(labels_N, chosen))
    if len(lost):
        raise DataError(
            f"data.validation: {fraction} leaves class {lost[0]} without a training image; take "
            "less, or 0"
        )
    return chosen


def class_balanced_subset(labels_N: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Draw `fraction` of each class (rounded half up, at least 1 image); sorted indices.

    Subsets with the same seed are nested: a larger fraction includes every smaller one.
    """
    exact = Fraction(str(fraction))  # with floats, 0.07 of 100 images would round up to 8
    order = shuffled_within_classes(labels_N, seed)
    return first_ranked(order, labels_N, lambda num: math.floor(num * exact + Fraction(1, 2)))


def first_of_each_class(labels_N: np.ndarray, fraction: float) -> np.ndarray:
    """Take the first `fraction` of each class in stored order (rounded up); sorted indices.

    The released ablations were trained on such a half of ImageNet: ceil(num * fraction) files of
    each class folder. The released code takes them in the order of `os.walk`, which depends on the
    file system; ours are sorted by name, so the two halves contain different images.
    """
    exact = Fraction(str(fraction))
    order = np.argsort(labels_N, kind="stable")
    return first_ranked(order, labels_N, lambda num: math.ceil(num * exact))


def shuffled_within_classes(labels_N: np.ndarray, seed: int) -> np.ndarray:
    """Order all indices by class, shuffled by `seed` within each class."""
    random_N = np.random.PCG64(seed).random_raw(len(labels_N))
    return np.lexsort((random_N, labels_N))


def first_ranked(
    order_N: np.ndarray, labels_N: np.ndarray, num_kept: Callable[[int], int]
) -> np.ndarray:
    """Keep the first `num_kept(images of the class)`, at least 1, of each class; sorted indices.

    `order_N` lists indices class by class.
    """
    num_C = np.unique(labels_N, return_counts=True)[1]
    rank_N = np.arange(len(order_N)) - np.repeat(np.cumsum(num_C) - num_C, num_C)
    kept_C = np.array([max(1, num_kept(num)) for num in num_C.tolist()])
    return np.sort(order_N[rank_N < np.repeat(kept_C, num_C)])
