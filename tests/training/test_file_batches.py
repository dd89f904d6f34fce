"""Batches of image files: exact counts, repeatability, unreadable files, worker processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from posmlp.data import data_set
from posmlp.data.data_set import open_data
from posmlp.data.images import DataError
from posmlp.study import Augment, Data
from posmlp.training.batches import BatchSlice
from posmlp.training.distributed import World
from posmlp.training.evaluation import evaluate, predict
from posmlp.training.file_batches import EpochOrder, file_batches

CPU = torch.device("cpu")
CFG = dict(mean=(0.5,) * 3, std=(0.5,) * 3, interpolation="bicubic", crop_pct=0.875)
CLASSES = ("n00000001", "n00000002")
AUGMENT = Augment(scale=(0.5, 1.0), hflip=0.5, rand_augment="rand-m6-n3-mstd1.0-inc1", reprob=0.5)


@pytest.fixture
def root(tmp_path):
    """ImageNet's layout: two classes, black and red, 6 training and 5 test images each."""
    for split, num in (("train", 6), ("val", 5)):
        for label, name in enumerate(CLASSES):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for i in range(num):
                Image.new("RGB", (40, 36), (250 * label, 20 * i, 0)).save(folder / f"{i}.JPEG")
    return tmp_path


@pytest.fixture(autouse=True)
def no_memory(monkeypatch):
    """Stream images that would fit into memory."""
    monkeypatch.setattr(data_set, "MEMORY_LIMIT", 0)


def stream(root, batch_size=4, augment=AUGMENT, batch_slice=None, **data):
    settings = Data(**dict(name="folder", image_size=32, num_classes=2) | data)
    batch_slice = BatchSlice(batch_size, **(batch_slice or {}))
    opened = open_data(settings, augment, root)
    return file_batches(opened, settings, augment, batch_slice, CPU, CFG)[:3]


def assert_same(some, others):
    for (x, y), (images, labels) in zip(some, others, strict=True):
        assert torch.equal(x, images)
        assert torch.equal(y, labels)


def test_image_folders_stream_through_timm(root):
    augment = Augment(scale=(0.5, 1.0), rand_augment="rand-m6-n3-mstd1.0-inc1")
    train, _, test = stream(root, augment=augment, train_fraction=0.5, subset="first")
    assert (train.num_images, test.num_images) == (6, 10)
    ((x, _),) = train.epoch(seed=0, epoch=0)
    assert x.shape == (4, 3, 32, 32)
    ((again, _),) = train.epoch(seed=0, epoch=0)
    assert torch.equal(x, again)
    labels = torch.cat([labels for _, labels in test])
    assert labels.tolist() == [0] * 5 + [1] * 5  # exact counts, no padded duplicates
    red = torch.cat([images for images, _ in test])[:, 0].mean((1, 2))
    assert red[:5].max() < -0.9 < 0.9 < red[5:].min()


def test_validation_images_are_withheld_and_read_like_test_images(root):
    train, validation, test = stream(root, batch_size=2, validation=0.5, train_fraction=0.4)
    assert (train.num_images, validation.num_images, test.num_images) == (2, 6, 10)
    assert not set(train.files.paths) & set(validation.files.paths)
    assert all("/train/" in path for path in validation.files.paths)
    assert_same(validation, list(validation))
    assert validation.files.transform is test.files.transform


def test_an_epoch_can_start_at_any_step(root):
    train, *_ = stream(root, batch_slice=dict(grad_accum=2))
    whole = list(train.epoch(seed=0, epoch=1))
    assert len(whole) == 6
    for start in range(4):
        assert_same(train.epoch(seed=0, epoch=1, start=start), whole[2 * start :])


def test_every_epoch_has_its_own_order_and_augmentation():
    order, epochs = EpochOrder(12, BatchSlice(4)), []
    for epoch in (0, 1):
        order.at = (0, epoch, 0)
        epochs.append(dict(image for micro_batch in order for image in micro_batch))
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(12))
    assert list(epochs[0]) != list(epochs[1])
    assert not [index for index in range(12) if epochs[0][index] == epochs[1][index]]
    order.at = (0, 0, 1)
    assert len(order) == len(list(order)) == 2


def test_the_number_of_workers_changes_nothing(root):
    num_threads, epochs = torch.get_num_threads(), []
    try:
        for num in (1, 2):
            torch.set_num_threads(num)
            train, *_ = stream(root)
            assert train.loader.loader.num_workers == num
            epochs.append(list(train.epoch(seed=0, epoch=0)))
    finally:
        torch.set_num_threads(num_threads)
    assert_same(*epochs)


def test_two_processes_read_the_same_batches_between_them(root):
    augment = Augment(scale=(0.5, 1.0), hflip=0.5)
    one, *_ = stream(root, augment=augment)
    two = [stream(root, augment=augment, batch_slice=dict(rank=r, world_size=2)) for r in (0, 1)]
    epochs = [train.epoch(seed=0, epoch=0) for train, *_ in two]
    joined = [[torch.cat(pair) for pair in zip(*p, strict=True)] for p in zip(*epochs, strict=True)]
    assert_same(joined, one.epoch(seed=0, epoch=0))
    tested = [len(labels) for *_, test in two for _, labels in test]
    assert tested == [2, 2, 1, 2, 2, 1]


@pytest.fixture
def damaged(root):
    """Damage a training and a test image."""
    paths = [root / split / CLASSES[1] / "3.JPEG" for split in ("train", "val")]
    paths[0].write_bytes(paths[0].read_bytes()[:100])
    paths[1].write_bytes(b"no JPEG at all")
    return paths


def test_a_damaged_image_is_named_with_advice(root, damaged):
    train, _, test = stream(root)
    for batches, path in zip((train, test), damaged, strict=True):
        with pytest.raises(DataError, match=rf"data.max_unreadable allows 0: {path} \(.*Restore"):
            list(batches.epoch(0, 0) if batches.num_steps else batches)


def test_allowed_unreadable_images_are_skipped_counted_and_not_scored(root, damaged):
    train, _, test = stream(root, batch_size=12, max_unreadable=1)
    ((x, labels),) = train.epoch(seed=0, epoch=0)
    assert (len(x), sorted(labels.tolist())) == (12, [0] * 6 + [1] * 6)  # another image replaces it
    assert [train.files.paths[i] for i in train.unreadable_N.nonzero()] == [str(damaged[0])]
    labels = torch.cat([labels for _, labels in test])
    assert labels.tolist() == [0] * 5 + [1] * 4
    assert int(test.unreadable_N.sum()) == 1
    always_first = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(2))
    always_first(torch.zeros(1, 3, 32, 32))
    with torch.no_grad():
        always_first[1].weight.zero_()
        always_first[1].bias.copy_(torch.tensor([1.0, 0.0]))
    scores = evaluate(always_first, test, World(CPU))
    assert (scores["top1"], scores["top5"]) == (pytest.approx(100 * 5 / 9), 100)
    classes_N, labels_N = predict(always_first, test, World(CPU))
    assert (classes_N.tolist(), labels_N.tolist()) == ([0] * 9, labels.tolist())


def test_own_grey_images_have_one_channel(root):
    train, _, test = stream(root, augment=AUGMENT, in_chans=1)
    ((x, _), *_) = train.epoch(seed=0, epoch=0)
    assert x.shape == (4, 1, 32, 32)
    assert next(iter(test))[0].shape == (4, 1, 32, 32)
    assert len(train.pixel_mean) == 1


READS = """
import multiprocessing, time
from pathlib import Path
import torch
from posmlp.data.data_set import open_data
from posmlp.study import Augment, Data
from posmlp.training.batches import BatchSlice
from posmlp.training.file_batches import file_batches

cfg = dict(mean=(0.5,) * 3, std=(0.5,) * 3, interpolation="bicubic", crop_pct=0.875)
data, augment = Data(name="folder", image_size=32, num_classes=2), Augment(scale=(0.5, 1))
opened = open_data(data, augment, Path("."))
train, *_ = file_batches(opened, data, augment, BatchSlice(2), torch.device("cpu"), cfg)
batches = iter(train.epoch(0, 0))
next(batches)
"""
FAILS = 'raise RuntimeError("nobody knows this error")'
IS_KILLED = """
from posmlp.training.training_error import explained
try:
    for child in multiprocessing.active_children():
        child.kill()
    list(batches)
except Exception as error:
    known = explained(error, 4, 1)
    try:
        time.sleep(1)
    except RuntimeError:  # torch raises again when it notices that the child has ended
        pass
    print(type(known).__name__, known)
"""


def ended(root, lines):
    """Run a process that reads part of an epoch and then executes `lines`."""
    return subprocess.run(
        [sys.executable, "-c", READS + lines],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_failing_trainer_does_not_wait_for_its_workers(root):
    process = ended(root, FAILS)
    assert process.returncode == 1
    assert process.stderr.endswith("RuntimeError: nobody knows this error\n")  # nothing after it


def test_a_killed_worker_is_explained(root):
    process = ended(root, IS_KILLED)
    assert process.stdout.startswith("TrainingError a process that reads images has died (")
    assert process.returncode == 0
