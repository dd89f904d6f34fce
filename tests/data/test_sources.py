import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from posmlp.data.digits import read_digits
from posmlp.data.images import SOURCE_SPLITS, DataError, Images
from posmlp.data.sources import DATASETS


def test_importing_the_registry_loads_no_heavy_package():
    code = "import sys, posmlp.data.sources; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    heavy = {"torch", "torchvision", "timm", "sklearn", "scipy", "pandas", "matplotlib", "mlflow"}
    assert not heavy & set(loaded)


@pytest.mark.parametrize("name", DATASETS)
def test_every_entry_is_consistent(name):
    source = DATASETS[name]
    assert source.name == name
    if source.read:
        assert len(set(source.class_names)) == source.num_classes


def test_cifar100_classes_are_in_the_order_of_its_labels():
    assert list(DATASETS["cifar100"].class_names) == sorted(DATASETS["cifar100"].class_names)


def test_digits_are_scikit_learns_in_a_fixed_stratified_split():
    from sklearn.datasets import load_digits

    train, test = (DATASETS["digits"].load("unused", split) for split in SOURCE_SPLITS)
    assert (len(train), len(test)) == (1297, 500)
    np.testing.assert_array_equal(np.bincount(test.labels_N), [50] * 10)
    # Every image of scikit-learn is in one of the splits, once, with its label.
    both = np.concatenate([train.images_NHWC, test.images_NHWC])[..., 0] / 15
    labels = np.concatenate([train.labels_N, test.labels_N])
    bundle = load_digits()
    rows = np.column_stack([bundle.images.reshape(-1, 64), bundle.target])
    ours = np.column_stack([both.reshape(-1, 64), labels])
    np.testing.assert_array_equal(ours[np.lexsort(ours.T)], rows[np.lexsort(rows.T)])


def fake_source(images: Images, **facts):
    """The digits, except that they are read from `images`."""
    return replace(DATASETS["digits"], read=lambda root, split: images, **facts)


@pytest.mark.parametrize(
    ("change", "facts", "message"),
    [
        (lambda x, y: (x[:-1], y[:-1]), {}, r"shape \(499, 8, 8, 1\), expected \(500, 8, 8, 1\)"),
        (lambda x, y: (x, y % 9), {}, "expected 0 to 9"),
        (lambda x, y: (x, y + 1), {}, "expected 0 to 9"),
        (lambda x, y: (255 - x, y), {}, "differ from the published ones"),
        (lambda x, y: (x, np.roll(y, 1)), {}, "differ from the published ones"),
        (lambda x, y: (x, y), {"in_chans": 3}, "shape"),
    ],
    ids=["cut", "class-missing", "class-unknown", "negative", "relabelled", "grey"],
)
def test_images_that_are_not_the_data_set_are_refused(change, facts, message, tmp_path):
    digits = read_digits(tmp_path, "test")
    images = Images(*change(digits.images_NHWC, digits.labels_N), "a folder")
    with pytest.raises(DataError, match=message):
        fake_source(images, **facts).load(tmp_path, "test")
