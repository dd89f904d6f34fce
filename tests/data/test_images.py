import numpy as np

from posmlp.data.images import Images, dataset_digest


def images(num=4, size=2, value=0) -> Images:
    pixels = np.arange(num * size * size, dtype=np.uint8).reshape(num, size, size, 1) + value
    return Images(pixels, np.arange(num, dtype=np.int64), "made here")


def test_digest_is_the_same_on_every_machine():
    assert images().digest == "4d262de9d4ff620e"


def test_digest_sees_pixels_labels_order_and_shape_but_not_the_source():
    base = images()
    reshaped = Images(base.images_NHWC.reshape(4, 1, 4, 1), base.labels_N, "made here")
    relabelled = Images(base.images_NHWC, base.labels_N[::-1], "made here")
    others = [images(value=1), reshaped, relabelled, base.take(np.array([1, 0, 2, 3]))]
    assert len({i.digest for i in [base, *others]}) == 5
    assert Images(base.images_NHWC, base.labels_N, "elsewhere").digest == base.digest


def test_digest_does_not_depend_on_memory_layout():
    base = images()
    pixels = np.asfortranarray(base.images_NHWC)
    assert Images(pixels, base.labels_N, "").digest == base.digest


def test_take_keeps_images_and_labels_together():
    taken = images().take(np.array([3, 1]))
    assert taken.labels_N.tolist() == [3, 1]
    assert taken.images_NHWC[:, 0, 0, 0].tolist() == [12, 4]


def test_dataset_digest_sees_which_split_is_which():
    digests = {"train": "a", "test": "b"}
    assert dataset_digest(digests) == dataset_digest(dict(reversed(digests.items())))
    assert dataset_digest(digests) != dataset_digest({"train": "b", "test": "a"})
