"""Batches of a data set that fits in memory: it lives on the device and is augmented there.

StreamedBatches (streamed.py) gives the same for image files: `epoch(seed, epoch, start)` for
training, iteration for testing, images as normalised float (B, C, H, W) and labels (B,) on the
device. An epoch's order and draws follow from seed and epoch, so it can be begun at any step.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from timm.data.random_erasing import RandomErasing
from torch import Tensor

from posmlp.data.images import Images
from posmlp.data.sources import DATASETS
from posmlp.data.subsets import select
from posmlp.study import Augment, Data
from posmlp.training.errors import TrainingError
from posmlp.training.randomness import derive_seed, generator, seed_globals

Batches = Iterable[tuple[Tensor, Tensor]]
LEAST_TEST_BATCH = 250  # images; testing needs less memory an image than training


class Parts(NamedTuple):
    """The batches of a run; `validation` is None where no images are withheld for it."""

    train: Any
    validation: Any | None
    test: Any


@dataclass(frozen=True)
class Share:
    """What one process computes of each batch, in parts small enough for its memory.

    Args:
        batch_size: images of an optimiser step, over all processes.
        grad_accum: parts that a process computes its share in.
        rank, world_size: which of how many processes.

    Raises:
        TrainingError: the batch cannot be split evenly.
    """

    batch_size: int
    grad_accum: int = 1
    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        if self.batch_size % (self.grad_accum * self.world_size):
            raise TrainingError(
                f"recipe.batch_size: {self.batch_size} images cannot be split evenly over "
                f"{self.world_size} processes with recipe.grad_accum {self.grad_accum}; take a "
                f"multiple of {self.grad_accum * self.world_size}"
            )

    @property
    def part_size(self) -> int:
        """Images that go through the network at once."""
        return self.batch_size // (self.grad_accum * self.world_size)

    def parts(self, start: int, num_steps: int) -> Iterator[slice]:
        """Yield this process's places in an epoch's order, step by step and part by part."""
        for step in range(start, num_steps):
            for part in range(self.grad_accum):
                first = step * self.batch_size
                first += (part * self.world_size + self.rank) * self.part_size
                yield slice(first, first + self.part_size)

    def num_steps(self, num_images: int) -> int:
        """Return the steps of an epoch; an incomplete last batch is dropped.

        Raises:
            TrainingError: there is not one batch.
        """
        if num_images < self.batch_size:
            raise TrainingError(
                f"recipe.batch_size: {self.batch_size} is more than the {num_images} training "
                "images; take a smaller batch or a larger data.train_fraction"
            )
        return num_images // self.batch_size


class MemoryBatches:
    """A data set that fits in memory: bytes on the device, augmented a part of a batch at a time.

    Args:
        images: uint8 pixels and labels.
        size: pixels per side that the network takes; images are resized once.
        mean, std: per channel, in units of the 0..255 range.
        augment: random changes, None for testing.
    """

    def __init__(
        self,
        images: Images,
        size: int,
        mean: Tensor,
        std: Tensor,
        share: Share,
        device: torch.device,
        augment: Augment | None = None,
    ) -> None:
        self.num_images, self.digest = len(images), images.digest
        self.share, self.device, self.augment = share, device, augment
        self.num_steps = share.num_steps(self.num_images) if augment else None
        self.unreadable_N = torch.zeros(self.num_images, dtype=torch.bool)  # refused when loaded
        pixels = torch.from_numpy(images.images_NHWC).permute(0, 3, 1, 2).contiguous()
        if pixels.shape[-1] != size:
            pixels = F.interpolate(pixels.float(), (size, size), mode="bilinear", antialias=True)
            pixels = pixels.round().to(torch.uint8)
        self.pixels_NCHW = pixels.to(device)
        self.labels_N = torch.from_numpy(images.labels_N).to(device)
        self.pixel_mean, self.pixel_std = mean.tolist(), std.tolist()  # of pixels from 0 to 255
        self.mean, self.std = (t.view(1, -1, 1, 1).to(device) for t in (mean, std))
        reprob = augment.reprob if augment else 0.0
        self.erase = RandomErasing(reprob, mode="pixel", device=device) if reprob else None

    def normalised(self, pixels_BCHW: Tensor) -> Tensor:
        return (pixels_BCHW.float() - self.mean) / self.std

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield this process's share of all images, each once and in order."""
        rank, world_size = self.share.rank, self.share.world_size
        for first in range(0, self.num_images, self.share.batch_size):
            places = slice(first + rank, first + self.share.batch_size, world_size)
            yield self.normalised(self.pixels_NCHW[places]), self.labels_N[places]

    def epoch(self, seed: int, epoch: int, start: int = 0) -> Batches:
        """Yield one epoch from step `start` on, shuffled and augmented."""
        parts = self.shuffled(seed, epoch, start)
        return erased(parts, self.erase, self.share, seed, epoch, start)

    def shuffled(self, seed: int, epoch: int, start: int) -> Batches:
        n, reach = self.num_images, self.augment.shift
        order = torch.randperm(n, generator=generator(seed, "order", epoch)).to(self.device)
        draws = generator(seed, "augment", epoch)
        moves_N2 = torch.randint(0, 2 * reach + 1, (n, 2), generator=draws).to(self.device)
        flips_N = (torch.rand(n, generator=draws) < self.augment.hflip).to(self.device)
        for places in self.share.parts(start, self.num_steps):
            index = order[places]
            pixels = self.pixels_NCHW[index]
            if reach:
                pixels = shifted(pixels, moves_N2[places], reach)
            if self.augment.hflip:
                pixels = torch.where(flips_N[places, None, None, None], pixels.flip(-1), pixels)
            yield self.normalised(pixels), self.labels_N[index]


def erased(
    parts: Batches, erase: RandomErasing | None, share: Share, seed: int, epoch: int, start: int
) -> Batches:
    """Erase random rectangles, drawn for each part anew; timm's RandomErasing uses the globals."""
    if erase is None:
        yield from parts
        return
    for part, (images, labels) in enumerate(parts, start * share.grad_accum):
        seed_globals(derive_seed(seed, "erase", epoch, part, share.rank))
        yield erase(images), labels


def shifted(pixels_BCHW: Tensor, moves_B2: Tensor, reach: int) -> Tensor:
    """Translate every image by its own 0..2*reach less reach pixels, filling with zeros."""
    B, C, H, W = pixels_BCHW.shape
    padded = F.pad(pixels_BCHW, (reach, reach, reach, reach))
    device = pixels_BCHW.device
    rows_BH = moves_B2[:, :1] + torch.arange(H, device=device)
    columns_BW = moves_B2[:, 1:] + torch.arange(W, device=device)
    image = torch.arange(B, device=device)[:, None, None, None]
    channel = torch.arange(C, device=device)[None, :, None, None]
    return padded[image, channel, rows_BH[:, None, :, None], columns_BW[:, None, None, :]]


def memory_batches(
    data: Data, augment: Augment, share: Share, root: Path, device: torch.device
) -> Parts:
    """Load an in-memory data set; mean and std are those of all images that are not withheld."""
    source = DATASETS[data.name]
    whole_train, test = source.load(root, "train"), source.load(root, "test")
    validation_indices = select(whole_train.labels_N, data, "validation")
    seen = np.delete(whole_train.images_NHWC, validation_indices, axis=0)
    pixels = torch.from_numpy(seen).double()
    mean, std = pixels.mean((0, 1, 2)).float(), pixels.std((0, 1, 2)).float()
    train = whole_train.take(select(whole_train.labels_N, data, "train"))
    validation = whole_train.take(validation_indices) if data.validation else None
    test = test.take(select(test.labels_N, data, "test"))
    common = dict(size=data.image_size, mean=mean, std=std, device=device)
    whole = share.batch_size * math.ceil(LEAST_TEST_BATCH / share.batch_size)
    for_test = replace(share, batch_size=whole, grad_accum=1)
    return Parts(
        MemoryBatches(train, share=share, augment=augment, **common),
        validation and MemoryBatches(validation, share=for_test, **common),
        MemoryBatches(test, share=for_test, **common),
    )
