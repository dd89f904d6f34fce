"""Batches of image files, read and transformed by worker processes with timm's components."""

import hashlib
import signal
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from PIL import Image
from timm.data import create_transform
from timm.data.loader import PrefetchLoader, fast_collate
from timm.data.random_erasing import RandomErasing
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision.transforms import Compose, Grayscale

from posmlp.data.data_set import DataSet
from posmlp.data.image_folder import LabelledFiles
from posmlp.data.image_reader import UnreadableImage, check_unreadable, read_image
from posmlp.data.images import Split
from posmlp.data.subsets import select
from posmlp.study import Augment, Data
from posmlp.training.batches import Batches, BatchSlice, Splits, erase_randomly, make_erase
from posmlp.training.randomness import derive_seed, generator, seed_globals

LEFT_OUT = -1  # label of an evaluated image that cannot be read


class ImageFiles(Dataset):
    """Image files with labels; an item is requested as (index, augmentation seed).

    A file that cannot be read is flagged in `unreadable_N`, which all workers share. In training
    the next readable image replaces it; in evaluation it gets the label LEFT_OUT.

    Args:
        max_unreadable: number of files that may be left out; more are an error that names
            `setting`.
    """

    def __init__(
        self,
        files: LabelledFiles,
        transform: Callable,
        training: bool,
        max_unreadable: int = 0,
        setting: str = "data.max_unreadable",
    ) -> None:
        self.paths, self.labels = files.paths, files.labels_N.tolist()
        self.transform, self.training = transform, training
        self.limit = max_unreadable, setting
        self.unreadable_N = torch.zeros(len(files), dtype=torch.bool).share_memory_()

    @property
    def digest(self) -> str:
        """16 hex digits over the images' names and labels."""
        sha256 = hashlib.sha256()
        for path, label in zip(self.paths, self.labels, strict=True):
            sha256.update(f"{Path(path).name} {label}\n".encode("utf-8", "surrogateescape"))
        return sha256.hexdigest()[:16]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, item: tuple[int, int]):
        index, seed = item
        seed_globals(seed)
        for step in range(len(self) if self.training else 1):
            other = (index + step) % len(self)
            if image := self.read(other):
                return self.transform(image), self.labels[other]
        return self.transform(Image.new("RGB", (8, 8))), LEFT_OUT

    def read(self, index: int) -> Image.Image | None:
        """Decode an image, or flag it as unreadable."""
        try:
            return read_image(self.paths[index])
        except UnreadableImage:
            self.unreadable_N[index] = True
            return None

    def check_readable(self) -> None:
        """Raise DataError if too many files are unreadable, with their names and the reasons."""
        indices = self.unreadable_N.nonzero().flatten().tolist()
        if len(indices) > self.limit[0]:
            reasons = dict.fromkeys((self.paths[index] for index in indices), "readable again")
            for path in reasons:
                try:
                    read_image(path)
                except UnreadableImage as error:
                    reasons[path] = str(error)
            check_unreadable(reasons, *self.limit)


class EpochOrder(Sampler):
    """Shuffled (index, augmentation seed) pairs by micro-batch, of the epoch given by `at`."""

    def __init__(self, num_images: int, batch_slice: BatchSlice) -> None:
        self.num_images, self.batch_slice = num_images, batch_slice
        self.num_steps = batch_slice.num_steps(num_images)
        self.at = (0, 0, 0)  # seed of the run, epoch, first step

    def __len__(self) -> int:
        return (self.num_steps - self.at[2]) * self.batch_slice.grad_accum

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        seed, epoch, start = self.at
        order = torch.randperm(self.num_images, generator=generator(seed, "order", epoch))
        for positions in self.batch_slice.micro_batches(start, self.num_steps):
            indices = order[positions].tolist()
            yield [(index, derive_seed(seed, "augment", epoch, index)) for index in indices]


class StoredOrder(Sampler):
    """This process's slice of all images, each once and in order."""

    def __init__(self, num_images: int, batch_slice: BatchSlice) -> None:
        self.indices = range(batch_slice.rank, num_images, batch_slice.world_size)
        self.size = batch_slice.batch_size // batch_slice.world_size

    def __len__(self) -> int:
        return -(-len(self.indices) // self.size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for first in range(0, len(self.indices), self.size):
            yield [(index, 0) for index in self.indices[first : first + self.size]]


class FileBatches:
    """Image files through timm's transforms, a DataLoader and timm's prefetcher.

    Its workers end with `close`, and with the process that owns it.

    Args:
        cfg: the model's timm default_cfg, for mean and std.
        erase: random erasing, on the device.
    """

    def __init__(
        self,
        files: ImageFiles,
        order: EpochOrder | StoredOrder,
        batch_slice: BatchSlice,
        cfg: dict,
        device: torch.device,
        erase: RandomErasing | None = None,
        in_chans: int = 3,
    ) -> None:
        self.files, self.order, self.erase, self.batch_slice = files, order, erase, batch_slice
        self.num_images, self.digest = len(files), files.digest
        self.num_steps = getattr(order, "num_steps", None)
        self.unreadable_N = files.unreadable_N
        loader = DataLoader(
            files,
            batch_sampler=order,
            num_workers=torch.get_num_threads(),
            collate_fn=fast_collate,
            pin_memory=device.type == "cuda",
            persistent_workers=True,
            worker_init_fn=ignore_signals,
        )
        mean, std = cfg["mean"], cfg["std"]
        if in_chans == 1:
            mean, std = ((sum(values) / len(values),) for values in (mean, std))
        self.pixel_mean, self.pixel_std = ([255 * x for x in values] for values in (mean, std))
        self.loader = PrefetchLoader(loader, mean, std, channels=in_chans, device=device)
        self.close = weakref.finalize(self, end_readers, loader)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for images, labels in self.loader:
            self.files.check_readable()
            if not self.files.training and self.unreadable_N.any():
                images, labels = images[labels != LEFT_OUT], labels[labels != LEFT_OUT]
            if len(labels):
                yield images, labels

    def epoch(self, seed: int, epoch: int, start: int = 0) -> Batches:
        """Yield one epoch from step `start` on, shuffled and augmented."""
        self.order.at = (seed, epoch, start)
        return erase_randomly(iter(self), self.erase, self.batch_slice, seed, epoch, start)


def ignore_signals(worker: int) -> None:
    """Keep a worker alive when the whole job is signalled; the trainer ends it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)


def end_readers(loader: DataLoader) -> None:
    """End a loader's workers, which ignore the signal that Python ends child processes with."""
    iterator, loader._iterator = loader._iterator, None
    if iterator is not None:
        iterator._shutdown_workers()


def file_batches(
    opened: DataSet,
    data: Data,
    augment: Augment,
    batch_slice: BatchSlice,
    device: torch.device,
    cfg: dict,
) -> Splits:
    """Stream image files; `cfg` is the model's timm default_cfg."""
    random_changes, crop = transforms(data, augment, cfg)
    common = dict(batch_slice=batch_slice, cfg=cfg, device=device, in_chans=data.in_chans)
    train = opened.train.take(select(opened.train.labels_N, data, "train"))
    images = ImageFiles(train, random_changes, training=True, max_unreadable=data.max_unreadable)
    order = EpochOrder(len(images), batch_slice)
    erase = make_erase(augment, device)

    def for_evaluation(files: LabelledFiles, split: Split) -> FileBatches:
        chosen = files.take(select(files.labels_N, data, split))
        images = ImageFiles(chosen, crop, training=False, max_unreadable=data.max_unreadable)
        return FileBatches(images, StoredOrder(len(images), batch_slice), **common)

    return Splits(
        FileBatches(images, order, erase=erase, **common),
        for_evaluation(opened.train, "validation") if data.validation else None,
        for_evaluation(opened.test, "test"),
    )


def transforms(data: Data, augment: Augment, cfg: dict) -> tuple[Compose, Compose]:
    """Build timm's augmentation for training and its centre crop for evaluation."""
    size = (3, data.image_size, data.image_size)
    common = dict(mean=cfg["mean"], std=cfg["std"], use_prefetcher=True)
    random_changes = create_transform(
        size,
        is_training=True,
        scale=augment.scale or (1.0, 1.0),
        ratio=augment.ratio,
        hflip=augment.hflip,
        color_jitter=augment.color_jitter,
        auto_augment=augment.rand_augment,
        interpolation=augment.interpolation,
        **common,
    )
    crop = create_transform(
        size,
        interpolation=cfg["interpolation"],
        crop_pct=augment.crop_pct or cfg["crop_pct"],
        **common,
    )
    if data.in_chans == 1:  # after timm's colour changes
        for changes in (random_changes, crop):
            changes.transforms.insert(-1, Grayscale())
    return random_changes, crop
