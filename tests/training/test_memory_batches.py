"""Batches in memory: each image once, repeatable draws, labels kept with their images."""

import numpy as np
import pytest
import torch

from posmlp.data.data_set import open_data
from posmlp.data.images import Images
from posmlp.study import Augment, Data
from posmlp.training.batches import BatchSlice
from posmlp.training.memory_batches import MemoryBatches, memory_batches, pixel_statistics, placed
from posmlp.training.training_error import TrainingError

CPU = torch.device("cpu")


def numbered(num=10, size=4):
    """Images whose pixels and label equal their index."""
    labels = np.arange(num, dtype=np.int64)
    pixels = np.broadcast_to(labels[:, None, None, None], (num, size, size, 1))
    return Images(pixels.astype(np.uint8), labels, "made here")


def batches(images, batch_size=4, augment=None, corners=None, room=0, **batch_slice):
    zero, one, size = torch.zeros(1), torch.ones(1), images.images_NHWC.shape[1] + room
    batch_slice = BatchSlice(batch_size, **batch_slice)
    return MemoryBatches(images, size, zero, one, batch_slice, CPU, augment, corners, room)


def test_evaluation_sees_every_image_once_in_order_also_across_processes():
    found = batches(numbered())
    assert len(list(found)) == 3
    assert torch.cat([labels for _, labels in found]).tolist() == list(range(10))
    slices = [batches(numbered(), rank=rank, world_size=2) for rank in (0, 1)]
    labels = [label for found in slices for _, y in found for label in y.tolist()]
    assert sorted(labels) == list(range(10))


def test_training_sees_images_at_most_once_and_labels_stay_with_them():
    found = batches(numbered(), augment=Augment())
    epoch = list(found.epoch(seed=0, epoch=0))
    assert len(epoch) == found.num_steps == 2
    labels = torch.cat([labels for _, labels in epoch])
    assert len(set(labels.tolist())) == 8
    for images, labels in epoch:
        assert torch.equal(images[:, 0, 0, 0], labels.float())


def test_an_epoch_depends_only_on_seed_and_number():
    def draw(seed, epoch):
        augment = Augment(shift=2, hflip=0.5)
        return torch.cat([x for x, _ in batches(numbered(), augment=augment).epoch(seed, epoch)])

    assert torch.equal(draw(0, 3), draw(0, 3))
    assert not torch.equal(draw(0, 3), draw(0, 4))
    assert not torch.equal(draw(0, 3), draw(1, 3))


def test_images_are_placed_at_their_corners_on_black():
    pixels = torch.arange(1, 19, dtype=torch.uint8).reshape(2, 1, 3, 3)
    moved = placed(pixels, torch.tensor([[0, 0], [-1, 1]]), size=3)
    assert torch.equal(moved[0], pixels[0])
    assert moved[1, 0].tolist() == [[0, 13, 14], [0, 16, 17], [0, 0, 0]]
    (canvas,) = placed(pixels[1:], torch.tensor([[2, 1]]), size=5)
    assert torch.equal(canvas[0, 2:, 1:4], pixels[1, 0])
    assert canvas.sum() == pixels[1].sum()


def test_flips_are_drawn_at_their_rate():
    ramp = np.broadcast_to(np.arange(4, dtype=np.uint8)[None, None, :, None], (400, 4, 4, 1))
    images = Images(np.ascontiguousarray(ramp), np.zeros(400, dtype=np.int64), "made here")
    (x, _), *_ = batches(images, 400, Augment(hflip=0.25)).epoch(seed=0, epoch=0)
    assert (x[:, 0, 0, 0] == 3).float().mean() == pytest.approx(0.25, abs=0.06)


def test_batches_that_do_not_fit_are_refused():
    with pytest.raises(TrainingError, match=r"recipe.batch_size: 64 .* 10 training images"):
        batches(numbered(), 64, Augment())
    with pytest.raises(TrainingError, match=r"recipe.batch_size: 10 images .* a multiple of 4"):
        BatchSlice(10, grad_accum=2, world_size=2)


def load(data, batch_slice):
    opened = open_data(data, Augment(), "unused")
    return memory_batches(opened, data, Augment(), batch_slice, CPU)


def test_digits_are_normalised_and_resized_on_request():
    train, _, test, _ = load(Data(name="digits"), BatchSlice(1297))
    ((x, _),) = train.epoch(seed=0, epoch=0)
    assert x.mean().item() == pytest.approx(0, abs=1e-4)
    assert x.std().item() == pytest.approx(1, abs=1e-3)
    assert test.num_images == 500
    larger = Data(name="digits", image_size=16, train_fraction=0.1)
    train, *_ = load(larger, BatchSlice(8))
    assert next(train.epoch(0, 0))[0].shape == (8, 1, 16, 16)


def on_canvas(placement, shift=0, **data):
    """Training and test batches of digits on a 12 x 12 canvas, with background 0."""
    data = Data(name="digits", image_size=12, placement=placement, **data)
    opened, augment = open_data(data, Augment(), "unused"), Augment(shift=shift)
    splits = memory_batches(opened, data, augment, BatchSlice(100), CPU)
    for batches in splits.present().values():
        batches.mean.zero_()
        batches.std.fill_(1)
    return splits.train, splits.test


def inks(batches):
    return torch.cat([x for x, _ in batches])


def test_centred_images_are_in_the_middle_of_the_canvas_and_shift_from_there():
    train, test = on_canvas("centred")
    for x in (inks(train.epoch(0, 0)), inks(test)):
        assert x.shape[1:] == (1, 12, 12)
        assert x.any(dim=0)[0, 2:10, 3:9].all()
        assert x.sum() == x[:, :, 2:10, 2:10].sum() > 0
    train, _ = on_canvas("centred", shift=1)
    x = inks(train.epoch(0, 0))
    assert x[:, :, 1].any()
    assert not x[:, :, 0].any()


def test_training_images_get_new_random_places_every_epoch():
    pixels = Images(np.full((40, 4, 4, 1), 7, np.uint8), np.arange(40), "made here")
    found = batches(pixels, 40, Augment(), np.zeros((40, 2), np.int64), room=3)
    corners = []
    for epoch in (0, 1, 1):
        ((x, labels),) = found.epoch(0, epoch)
        assert x.sum().item() == 40 * 16 * 7  # nothing is cut off
        rows, columns = (x.any(dim=d).float().argmax(-1)[:, 0] for d in (3, 2))
        corners.append((4 * rows + columns)[labels.argsort()])
    assert torch.equal(corners[1], corners[2])
    assert (corners[0] != corners[1]).sum() > 20
    assert len(corners[0].unique()) > 10  # of 16


def test_test_images_have_the_same_random_places_in_every_run():
    tested = inks(on_canvas("random")[1])
    assert tested[:, :, [0, -1]].any(dim=0).any(dim=-1).all()
    assert torch.equal(inks(on_canvas("random", train_fraction=0.1)[1]), tested)
    part = {x.numpy().tobytes() for x in inks(on_canvas("random", eval_fraction=0.5)[1])}
    assert len(part) == 250
    assert part <= {x.numpy().tobytes() for x in tested}


def test_a_batch_in_micro_batches_has_the_same_images_and_draws():
    augment = Augment(shift=1, hflip=0.5)

    def step(**batch_slice):
        return list(
            batches(numbered(40, 6), 8, augment, **batch_slice).epoch(seed=0, epoch=1, start=2)
        )

    (whole, labels), *_ = step()
    micro = step(grad_accum=2)[:2]
    assert torch.equal(torch.cat([x for x, _ in micro]), whole)
    slices = [step(grad_accum=2, rank=rank, world_size=2)[:2] for rank in (0, 1)]
    assert [len(y) for batches in slices for _, y in batches] == [2] * 4
    found = torch.cat([y for micro in zip(*slices, strict=True) for _, y in micro])
    assert torch.equal(found, labels)


@pytest.mark.parametrize("erased", [0.0, 0.7])
def test_an_epoch_can_start_at_any_step(erased):
    augment = Augment(shift=2, hflip=0.5, reprob=erased)
    corners = np.zeros((20, 2), dtype=np.int64)
    found = batches(numbered(20, 8), 4, augment, corners, room=3, grad_accum=2)
    whole = list(found.epoch(seed=3, epoch=1))
    assert len(whole) == 10
    for start in range(6):
        tail = list(found.epoch(seed=3, epoch=1, start=start))
        assert len(tail) == 10 - 2 * start
        for (x, y), (again, labels) in zip(whole[2 * start :], tail, strict=True):
            assert torch.equal(x, again)
            assert torch.equal(y, labels)


def test_pixel_statistics_cover_only_the_chosen_images(monkeypatch):
    monkeypatch.setattr("posmlp.training.memory_batches.CHUNK", 3)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 5, 5, 3), dtype=np.uint8)
    images = Images(pixels, np.zeros(8, dtype=np.int64), "made here")
    chosen = np.array([0, 2, 3, 5, 7])
    mean, std = pixel_statistics(images, chosen)
    expected = torch.from_numpy(pixels[chosen]).double()
    assert mean.tolist() == pytest.approx(expected.mean((0, 1, 2)).tolist())
    assert std.tolist() == pytest.approx(expected.std((0, 1, 2)).tolist())
