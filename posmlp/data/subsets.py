"""The images of a data set that a run sees: a fraction of every class, drawn or the first ones.

Random choices use the raw output of PCG64, whose stream numpy guarantees for all versions and
machines; the shuffling methods of numpy's Generator carry no such promise.
"""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Protocol

import numpy as np

from posmlp.data.images import SPLITS, DataError, Split

VALIDATION_SEED = 2**32  # no subset_seed can be this one


class SubsetSettings(Protocol):
    """The settings of a study's `data` section that choose images."""

    validation: float
    train_fraction: float
    eval_fraction: float
    subset: str
    subset_seed: int


def select(labels_N: np.ndarray, data: SubsetSettings, split: Split) -> np.ndarray:
    """Choose the images that a run with these settings uses for `split`; sorted indices.

    Args:
        labels_N: of the whole test split for "test", else of the whole training split.
    """
    assert split in SPLITS, split
    if split == "validation":
        return withheld(labels_N, data.validation)
    if split == "test":
        return subset_indices(labels_N, data.eval_fraction, data.subset, data.subset_seed)
    others = np.setdiff1d(np.arange(len(labels_N)), withheld(labels_N, data.validation))
    chosen = subset_indices(labels_N[others], data.train_fraction, data.subset, data.subset_seed)
    return others[chosen]


def withheld(labels_N: np.ndarray, fraction: float) -> np.ndarray:
    """Choose the validation images, the same for every run of a data set; sorted indices.

    Raises:
        DataError: a class would have no image left to train on.
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


def subset_indices(
    labels_N: np.ndarray, fraction: float, subset: str = "random", subset_seed: int = 0
) -> np.ndarray:
    """Choose a subset of the kind `random` or `first`; sorted indices."""
    if subset == "random":
        return class_balanced_subset(labels_N, fraction, subset_seed)
    if subset == "first":
        return first_of_each_class(labels_N, fraction)
    raise DataError(f"data.subset: allowed are random and first, found {subset!r}")


def class_balanced_subset(labels_N: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Draw `fraction` of each class (rounded half up, at least 1 image); sorted indices.

    Subsets of one seed are nested: a larger fraction holds every image of a smaller one.
    """
    exact = _exact(fraction)
    order = shuffled_within_classes(labels_N, seed)
    return first_ranked(order, labels_N, lambda num: math.floor(num * exact + Fraction(1, 2)))


def first_of_each_class(labels_N: np.ndarray, fraction: float) -> np.ndarray:
    """Take the first `fraction` of each class in stored order (rounded up); sorted indices.

    This is the half of ImageNet on which the released ablations were trained: ceil(num * fraction)
    files of each class folder. The released code took the files in the order of `os.walk`, which
    the file system decides; ours come sorted by name, so the two halves differ in their images.
    """
    exact = _exact(fraction)
    order = np.argsort(labels_N, kind="stable")
    return first_ranked(order, labels_N, lambda num: math.ceil(num * exact))


def shuffled_within_classes(labels_N: np.ndarray, seed: int) -> np.ndarray:
    """Order all indices by class, and within each class as the seed decides."""
    random_N = np.random.PCG64(seed).random_raw(len(labels_N))
    return np.lexsort((random_N, labels_N))


def first_ranked(
    order_N: np.ndarray, labels_N: np.ndarray, num_kept: Callable[[int], int]
) -> np.ndarray:
    """Keep the first `num_kept(images of the class)`, at least 1, of each class; sorted indices.

    `order_N` lists the classes one after the other.
    """
    num_C = np.unique(labels_N, return_counts=True)[1]
    rank_N = np.arange(len(order_N)) - np.repeat(np.cumsum(num_C) - num_C, num_C)
    kept_C = np.array([max(1, num_kept(num)) for num in num_C.tolist()])
    return np.sort(order_N[rank_N < np.repeat(kept_C, num_C)])


def _exact(fraction: float) -> Fraction:
    """The decimal as written: in floats, 0.07 of 100 images rounds up to 8 of them."""
    if not 0 < fraction <= 1:
        raise DataError(
            f"data.train_fraction, data.eval_fraction: above 0 and at most 1, found {fraction}"
        )
    return Fraction(str(fraction))
