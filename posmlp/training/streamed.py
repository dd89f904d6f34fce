"""Batches of image files: read and transformed by timm's parts in processes of their own."""

import atexit
import hashlib
import multiprocessing
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from PIL import Image
from timm.data import create_transform
from timm.data.loader import PrefetchLoader, fast_collate
from timm.data.random_erasing import RandomErasing
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from posmlp.data.image_folder import imagenet_samples
from posmlp.data.images import Part
from posmlp.data.subsets import select
from posmlp.study import Augment, Data
from posmlp.training.batches import Batches, Parts, Share, erased
from posmlp.training.errors import TrainingError
from posmlp.training.randomness import derive_seed, generator, seed_globals

LEFT_OUT = -1  # label of a test image that cannot be read


class ImageFiles(Dataset):
    """Image files with labels; an item is asked for as (index, seed of its random changes).

    A file that cannot be read is noted in `unreadable_N`, which all reading processes share. In
    training the next readable image stands in for it; in testing it gets the label LEFT_OUT.
    """

    def __init__(
        self, paths: list[str], labels: list[int], transform: Callable, training: bool
    ) -> None:
        self.paths, self.labels, self.transform = paths, labels, transform
        self.training = training
        self.unreadable_N = torch.zeros(len(paths), dtype=torch.bool).share_memory_()

    @property
    def digest(self) -> str:
        """16 hex digits over the images' names and labels."""
        sha256 = hashlib.sha256()
        for path, label in zip(self.paths, self.labels, strict=True):
            sha256.update(f"{Path(path).name} {label}\n".encode())
        return sha256.hexdigest()[:16]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, item: tuple[int, int]):
        index, seed = item
        seed_globals(seed)
        image = self.read(index)
        if image is None and self.training:
            others = ((index + step) % len(self) for step in range(1, len(self)))
            index, image = next(
                ((other, found) for other in others if (found := self.read(other)) is not None),
                (index, None),
            )
        label = self.labels[index]
        if image is None:
            image, label = Image.new("RGB", (8, 8)), LEFT_OUT
        return self.transform(image), label

    def read(self, index: int) -> Image.Image | None:
        """Decode an image, or note that it cannot be read."""
        try:
            with Image.open(self.paths[index]) as image:
                return image.convert("RGB")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # PIL's own
            self.unreadable_N[index] = True
            return None


class EpochOrder(Sampler):
    """Which images, with which seeds, make up the parts of an epoch; `at` says which epoch."""

    def __init__(self, num_images: int, share: Share) -> None:
        self.num_images, self.share = num_images, share
        self.num_steps = share.num_steps(num_images)
        self.at = (0, 0, 0)  # seed of the run, epoch, first step

    def __len__(self) -> int:
        return (self.num_steps - self.at[2]) * self.share.grad_accum

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        seed, epoch, start = self.at
        order = torch.randperm(self.num_images, generator=generator(seed, "order", epoch))
        for places in self.share.parts(start, self.num_steps):
            indices = order[places].tolist()
            yield [(index, derive_seed(seed, "augment", epoch, index)) for index in indices]


class WholeSet(Sampler):
    """This process's share of all images, each once and in order."""

    def __init__(self, num_images: int, share: Share) -> None:
        self.indices = range(share.rank, num_images, share.world_size)
        self.size = share.batch_size // share.world_size

    def __len__(self) -> int:
        return -(-len(self.indices) // self.size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for first in range(0, len(self.indices), self.size):
            yield [(index, 0) for index in self.indices[first : first + self.size]]


class StreamedBatches:
    """Image files through timm's transforms, a DataLoader and timm's prefetcher.

    Args:
        cfg: the model's timm cfg; mean and std are taken from it.
        erase: random erasing, on the device.
        max_unreadable: files that may be skipped before the run ends.
    """

    def __init__(
        self,
        files: ImageFiles,
        order: EpochOrder | WholeSet,
        share: Share,
        cfg: dict,
        device: torch.device,
        erase: RandomErasing | None = None,
        max_unreadable: int = 0,
    ) -> None:
        self.files, self.order, self.share, self.erase = files, order, share, erase
        self.num_images, self.digest, self.max_unreadable = len(files), files.digest, max_unreadable
        self.num_steps = getattr(order, "num_steps", None)
        self.unreadable_N = files.unreadable_N
        loader = DataLoader(
            files,
            batch_sampler=order,
            num_workers=torch.get_num_threads(),
            collate_fn=fast_collate,
            pin_memory=device.type == "cuda",
            persistent_workers=True,
            worker_init_fn=leave_signals_to_the_trainer,
        )
        self.pixel_mean, self.pixel_std = ([255 * x for x in cfg[k]] for k in ("mean", "std"))
        self.loader = PrefetchLoader(loader, cfg["mean"], cfg["std"], device=device)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for part in self.loader:
            self.check_readable()
            yield part

    def epoch(self, seed: int, epoch: int, start: int = 0) -> Batches:
        """Yield one epoch from step `start` on, shuffled and augmented."""
        self.order.at = (seed, epoch, start)
        return erased(iter(self), self.erase, self.share, seed, epoch, start)

    def check_readable(self) -> None:
        indices = self.unreadable_N.nonzero().flatten().tolist()
        if len(indices) <= self.max_unreadable:
            return
        paths = [self.files.paths[index] for index in indices]
        raise TrainingError(
            f"{len(paths)} images are missing or cannot be decoded and data.max_unreadable allows "
            f"{self.max_unreadable}: {', '.join(paths[:5])}{', ...' if paths[5:] else ''}. "
            "Restore them, or raise data.max_unreadable to train without them"
        )


def leave_signals_to_the_trainer(worker: int) -> None:
    """Let a reading process outlive signals sent to the whole job; it ends with the trainer."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)


@atexit.register
def end_reading_processes() -> None:
    """End them with a trainer that fails: Python's own SIGTERM is lost on them, it would wait."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch takes their end for a failure
    for child in multiprocessing.active_children():
        if child.daemon:
            child.kill()


def streamed_batches(
    data: Data, augment: Augment, share: Share, root: Path, device: torch.device, cfg: dict
) -> Parts:
    """Stream an image folder; `cfg` is the model's timm cfg."""
    size = (3, data.image_size, data.image_size)
    common = dict(mean=cfg["mean"], std=cfg["std"], use_prefetcher=True)
    changes = create_transform(
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

    def files(part: Part, transform: Callable) -> ImageFiles:
        split = "test" if part == "test" else "train"
        paths, labels, _ = imagenet_samples(root, split, lambda all_N: select(all_N, data, part))
        return ImageFiles(paths, labels.tolist(), transform, training=part == "train")

    train = files("train", changes)
    erase = None
    if augment.reprob:
        erase = RandomErasing(augment.reprob, mode="pixel", device=device)
    limit = dict(max_unreadable=data.max_unreadable)

    def for_test(part: Part) -> StreamedBatches:
        images = files(part, crop)
        return StreamedBatches(images, WholeSet(len(images), share), share, cfg, device, **limit)

    order = EpochOrder(len(train), share)
    return Parts(
        StreamedBatches(train, order, share, cfg, device, erase, **limit),
        for_test("validation") if data.validation else None,
        for_test("test"),
    )
