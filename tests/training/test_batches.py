"""Batches: every image once, the same draws for the same seed, labels that stay with images."""

import numpy as np
import pytest
import torch
from PIL import Image

from posmlp.data.images import Images
from posmlp.study import Augment, Data
from posmlp.training.batches import (
    MemoryBatches,
    TrainingError,
    memory_batches,
    shifted,
    streamed_batches,
)

CPU = torch.device("cpu")


def numbered(num=10, size=4):
    """Images whose pixels and label are all their own number."""
    labels = np.arange(num, dtype=np.int64)
    pixels = np.broadcast_to(labels[:, None, None, None], (num, size, size, 1))
    return Images(pixels.astype(np.uint8), labels, "made here")


def batches(images, batch_size=4, augment=None):
    zero, one = torch.zeros(1), torch.ones(1)
    return MemoryBatches(images, images.images_NHWC.shape[1], zero, one, batch_size, CPU, augment)


def test_testing_sees_every_image_once_in_order():
    found = batches(numbered())
    assert len(list(found)) == len(found) == 3
    assert torch.cat([labels for _, labels in found]).tolist() == list(range(10))


def test_training_sees_images_at_most_once_and_labels_stay_with_them():
    found = batches(numbered(), augment=Augment())
    epoch = list(found.epoch(seed=0, epoch=0))
    assert len(epoch) == len(found) == 2
    labels = torch.cat([labels for _, labels in epoch])
    assert len(set(labels.tolist())) == 8
    for images, labels in epoch:
        assert torch.equal(images[:, 0, 0, 0], labels.float())


def test_an_epoch_depends_on_seed_and_number_alone():
    def draw(seed, epoch):
        augment = Augment(shift=2, hflip=0.5)
        return torch.cat([x for x, _ in batches(numbered(), augment=augment).epoch(seed, epoch)])

    assert torch.equal(draw(0, 3), draw(0, 3))
    assert not torch.equal(draw(0, 3), draw(0, 4))
    assert not torch.equal(draw(0, 3), draw(1, 3))


def test_shift_moves_each_image_by_its_own_offset_and_fills_with_zeros():
    pixels = torch.arange(1, 19, dtype=torch.uint8).reshape(2, 1, 3, 3)
    moved = shifted(pixels, torch.tensor([[1, 1], [2, 0]]), reach=1)
    assert torch.equal(moved[0], pixels[0])  # offset (0, 0)
    assert moved[1, 0].tolist() == [[0, 13, 14], [0, 16, 17], [0, 0, 0]]  # (1, -1)


def test_every_batch_has_shifts_of_its_own():
    alike = np.broadcast_to(np.arange(16, dtype=np.uint8).reshape(4, 4, 1), (16, 4, 4, 1))
    images = Images(np.ascontiguousarray(alike), np.zeros(16, dtype=np.int64), "made here")
    first, second = (x for x, _ in batches(images, 8, Augment(shift=2)).epoch(seed=0, epoch=0))
    assert not torch.equal(first, second)


def test_flips_are_drawn_at_their_rate():
    ramp = np.broadcast_to(np.arange(4, dtype=np.uint8)[None, None, :, None], (400, 4, 4, 1))
    images = Images(np.ascontiguousarray(ramp), np.zeros(400, dtype=np.int64), "made here")
    (x, _), *_ = batches(images, 400, Augment(hflip=0.25)).epoch(seed=0, epoch=0)
    assert (x[:, 0, 0, 0] == 3).float().mean() == pytest.approx(0.25, abs=0.06)


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(TrainingError, match=r"recipe.batch_size: 64 .* 10 training images"):
        batches(numbered(), 64, Augment())


def test_digits_are_normalised_and_resized_on_request(tmp_path):
    train, test = memory_batches(Data(name="digits"), Augment(), 1297, tmp_path, CPU)
    ((x, _),) = train.epoch(seed=0, epoch=0)
    assert x.mean().item() == pytest.approx(0, abs=1e-4)
    assert x.std().item() == pytest.approx(1, abs=1e-3)
    assert test.num_images == 500
    larger = Data(name="digits", image_size=16, train_fraction=0.1)
    train, _ = memory_batches(larger, Augment(), 8, tmp_path, CPU)
    assert next(train.epoch(0, 0))[0].shape == (8, 1, 16, 16)


def test_image_folders_stream_through_timm(tmp_path):
    for split, num in (("train", 6), ("val", 5)):
        for label, name in enumerate(("n00000001", "n00000002")):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for i in range(num):
                Image.new("RGB", (40, 36), (250 * label, 0, 0)).save(folder / f"{i}.JPEG")
    cfg = dict(mean=(0.5,) * 3, std=(0.5,) * 3, interpolation="bicubic", crop_pct=0.875)
    data = Data(name="imagenet", image_size=32, train_fraction=0.5, subset="first")
    augment = Augment(scale=(0.5, 1.0), rand_augment="rand-m6-n3-mstd1.0-inc1")
    train, test = streamed_batches(data, augment, 4, tmp_path, CPU, cfg)
    assert (train.num_images, test.num_images) == (6, 10)
    ((x, _),) = train.epoch(seed=0, epoch=0)
    assert x.shape == (4, 3, 32, 32)
    ((again, _),) = train.epoch(seed=0, epoch=0)
    assert torch.equal(x, again)
    labels = torch.cat([labels for _, labels in test])
    assert labels.tolist() == [0] * 5 + [1] * 5  # exact counts, no padded duplicates
    red = torch.cat([images for images, _ in test])[:, 0].mean((1, 2))
    assert red[:5].max() < -0.9 < 0.9 < red[5:].min()
