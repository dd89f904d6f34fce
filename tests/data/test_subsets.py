import math
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from posmlp.data.images import DataError
from posmlp.data.subsets import class_balanced_subset, first_of_each_class, select

FRACTIONS = (0.001, 0.05, 0.07, 0.1, 0.25, 0.3, 0.5, 0.75, 0.999, 1.0)
# Classes of 1, 2, 7, 100 and 61 images, in mixed order.
MIXED = np.random.default_rng(3).permutation(np.repeat(np.arange(5), (1, 2, 7, 100, 61)))
COUNTS = np.bincount(MIXED)


@pytest.mark.parametrize(
    "take",
    [lambda f: class_balanced_subset(MIXED, f, 0), lambda f: first_of_each_class(MIXED, f)],
)
def test_subsets_are_nested_and_fraction_1_takes_everything(take):
    subsets = [take(fraction) for fraction in FRACTIONS]
    for smaller, larger in pairwise(subsets):
        assert set(smaller) <= set(larger)
    assert all(np.all(np.diff(indices) > 0) for indices in subsets)
    np.testing.assert_array_equal(subsets[-1], np.arange(len(MIXED)))


@pytest.mark.parametrize(
    ("fraction", "expected"),
    [(0.001, [1, 1, 1, 1, 1]), (0.07, [1, 1, 1, 7, 4]), (0.5, [1, 1, 4, 50, 31])],
)
def test_random_subset_holds_the_rounded_fraction_of_each_class(fraction, expected):
    chosen = class_balanced_subset(MIXED, fraction, seed=1)
    np.testing.assert_array_equal(np.bincount(MIXED[chosen]), expected)


def test_random_subset_depends_on_the_seed_and_is_the_same_on_every_machine():
    labels = np.tile(np.arange(3), 6)
    message = "the subsets of all studies have changed, so old and new results are not comparable"
    chosen, other = (class_balanced_subset(labels, 0.5, seed).tolist() for seed in (0, 1))
    assert chosen == [1, 2, 3, 6, 7, 11, 13, 15, 17], message
    assert other != chosen


@pytest.mark.parametrize("fraction", [0.05, 0.5, 1.0])
def test_first_subset_keeps_as_many_files_as_the_released_code(fraction):
    """The released loop stops after the first file with `index >= num * ratio - 1`."""
    for num in range(1, 1301):
        kept = next(i + 1 for i in range(num) if i >= num * fraction - 1)
        assert len(first_of_each_class(np.zeros(num, int), fraction)) == kept


def test_first_subset_takes_the_first_in_stored_order():
    chosen = first_of_each_class(MIXED, 0.3)
    for label, num in enumerate(COUNTS):
        expected = np.flatnonzero(np.equal(MIXED, label))[: math.ceil(0.3 * num)]
        np.testing.assert_array_equal(chosen[MIXED[chosen] == label], expected)


def test_first_subset_rounds_the_decimal_not_the_float():
    assert 0.07 * 100 > 7  # so rounding up the float gives 8
    assert len(first_of_each_class(np.zeros(100, int), 0.07)) == 7


def settings(**values):
    common = dict(validation=0, train_fraction=0.5, eval_fraction=1.0, subset="random")
    return SimpleNamespace(**common | {"subset_seed": 0} | values)


def test_select_reads_the_fraction_of_the_split():
    data = settings(eval_fraction=0.05, subset_seed=4)
    np.testing.assert_array_equal(
        select(MIXED, data, "train"), class_balanced_subset(MIXED, 0.5, 4)
    )
    data.subset = "first"
    np.testing.assert_array_equal(select(MIXED, data, "test"), first_of_each_class(MIXED, 0.05))


LARGE = np.random.default_rng(4).permutation(np.repeat(np.arange(3), (100, 60, 41)))


def test_validation_is_withheld_from_every_class_and_from_training():
    data = settings(validation=0.1, train_fraction=1)
    validation, train = (select(LARGE, data, split) for split in ("validation", "train"))
    np.testing.assert_array_equal(np.bincount(LARGE[validation]), [10, 6, 4])
    np.testing.assert_array_equal(np.sort([*validation, *train]), np.arange(len(LARGE)))
    assert np.all(np.diff(train) > 0)


@pytest.mark.parametrize("subset", ["random", "first"])
def test_validation_does_not_depend_on_the_training_subset(subset):
    whole = select(LARGE, settings(validation=0.2, train_fraction=1), "validation")
    for fraction, seed in ((0.01, 0), (0.5, 3), (1, 9)):
        data = settings(validation=0.2, train_fraction=fraction, subset=subset, subset_seed=seed)
        np.testing.assert_array_equal(select(LARGE, data, "validation"), whole)
        assert not set(select(LARGE, data, "train")) & set(whole)


def test_train_fraction_applies_to_images_not_withheld():
    chosen = select(LARGE, settings(validation=0.2, train_fraction=0.5), "train")
    np.testing.assert_array_equal(np.bincount(LARGE[chosen]), [40, 24, 17])  # of 80, 48, 33


def test_validation_that_takes_all_of_a_class_is_refused():
    with pytest.raises(DataError, match=r"data\.validation: 0\.5 leaves class 0 without"):
        select(MIXED, settings(validation=0.5), "train")
