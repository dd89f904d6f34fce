"""The catalogue of data sets: the digits, digests, and refusal of other images."""

from dataclasses import replace

import numpy as np
import pytest

from posmlp.data.array_sets import read_digits
from posmlp.data.images import DataError, Images
from posmlp.data.sources import DATASETS


def test_digits_are_scikit_learns_in_a_fixed_stratified_split():
    from sklearn.datasets import load_digits

    train, test = (DATASETS["digits"].load("unused", split) for split in ("train", "test"))
    assert (len(train), len(test)) == (1297, 500)
    np.testing.assert_array_equal(np.bincount(test.labels_N), [50] * 10)
    # Every image of scikit-learn is in one of the splits, once, with its label.
    both = np.concatenate([train.images_NHWC, test.images_NHWC])[..., 0] / 15
    labels = np.concatenate([train.labels_N, test.labels_N])
    bundle = load_digits()
    rows = np.column_stack([bundle.images.reshape(-1, 64), bundle.target])
    ours = np.column_stack([both.reshape(-1, 64), labels])
    np.testing.assert_array_equal(ours[np.lexsort(ours.T)], rows[np.lexsort(rows.T)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x[:-1], y[:-1]), r"shape \(499, 8, 8, 1\), expected \(500, 8, 8, 1\)"),
        (lambda x, y: (x, y % 9), "expected 0 to 9"),
        (lambda x, y: (x, y + 1), "expected 0 to 9"),
        (lambda x, y: (255 - x, y), "differ from the published ones"),
        (lambda x, y: (x, np.roll(y, 1)), "differ from the published ones"),
        (lambda x, y: (x, np.tile(y, 2)), "differ from the published ones"),
    ],
    ids=["cut", "class-missing", "class-unknown", "negative", "relabelled", "surplus-labels"],
)
def test_images_that_differ_from_the_data_set_are_refused(change, message, tmp_path):
    digits = read_digits(tmp_path, "test")
    images = Images(*change(digits.images_NHWC, digits.labels_N), "a folder")
    with pytest.raises(DataError, match=message):
        replace(DATASETS["digits"], read=lambda root, split: images).load(tmp_path, "test")


def test_digest_sees_pixels_labels_order_and_shape_but_not_source_or_layout():
    pixels = np.arange(16, dtype=np.uint8).reshape(4, 2, 2, 1)
    base = Images(pixels, np.arange(4, dtype=np.int64), "made here")
    assert base.digest == "4d262de9d4ff620e"  # on every machine
    assert Images(np.asfortranarray(pixels), base.labels_N, "elsewhere").digest == base.digest
    others = [
        Images(pixels + 1, base.labels_N, ""),
        Images(pixels.reshape(4, 1, 4, 1), base.labels_N, ""),
        Images(pixels, base.labels_N[::-1], ""),
        base.take(np.array([1, 0, 2, 3])),
    ]
    assert len({images.digest for images in [base, *others]}) == 5
