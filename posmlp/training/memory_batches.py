"""Batches of a data set in memory, which is held and augmented on the device."""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from posmlp.data.data_set import DataSet
from posmlp.data.images import Images, Split
from posmlp.data.placement import fixed_corners
from posmlp.data.subsets import select
from posmlp.study import Augment, Data
from posmlp.training.batches import Batches, BatchSlice, Splits, erase_randomly, make_erase
from posmlp.training.randomness import generator

MIN_EVALUATION_BATCH = 250  # images; evaluation needs less memory per image than training
CHUNK = 4_096  # images per step of pixel_statistics


class MemoryBatches:
    """Pixels as uint8 on the device, augmented one micro-batch at a time.

    Args:
        images: uint8 pixels and labels.
        size: input size of the network in pixels per side.
        mean, std: per channel, in units of the 0..255 range.
        corners_N2: row and column of each image's first pixel on a canvas of `size`; None: images
            are resized to `size`, once.
        room: in training, if positive, corners from 0 to `room` are drawn per image and epoch
            instead.
        augment: augmentation; None for evaluation.
    """

    def __init__(
        self,
        images: Images,
        size: int,
        mean: Tensor,
        std: Tensor,
        batch_slice: BatchSlice,
        device: torch.device,
        augment: Augment | None = None,
        corners_N2: np.ndarray | None = None,
        room: int = 0,
    ) -> None:
        self.num_images, self.digest = len(images), images.digest
        self.batch_slice, self.device, self.augment = batch_slice, device, augment
        self.num_steps = batch_slice.num_steps(self.num_images) if augment else None
        self.unreadable_N = torch.ones(len(images.unreadable), dtype=torch.bool)  # of all files
        pixels = torch.from_numpy(images.images_NHWC).permute(0, 3, 1, 2).contiguous()
        if corners_N2 is None and pixels.shape[-1] != size:
            pixels = F.interpolate(pixels.float(), (size, size), mode="bilinear", antialias=True)
            pixels = pixels.round().to(torch.uint8)
        self.pixels_NCHW, self.size, self.room = pixels.to(device), size, room
        self.corners_N2 = None if corners_N2 is None else torch.from_numpy(corners_N2).to(device)
        self.labels_N = torch.from_numpy(images.labels_N).to(device)
        self.pixel_mean, self.pixel_std = mean.tolist(), std.tolist()  # of pixels from 0 to 255
        self.mean, self.std = (t.view(1, -1, 1, 1).to(device) for t in (mean, std))
        self.erase = make_erase(augment, device) if augment else None

    def close(self) -> None:
        """Do nothing: there are no worker processes."""

    def normalised(self, pixels_BCHW: Tensor) -> Tensor:
        return pixels_BCHW.float().sub_(self.mean).div_(self.std)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield this process's slice of all images, each once and in order."""
        rank, world_size = self.batch_slice.rank, self.batch_slice.world_size
        for first in range(0, self.num_images, self.batch_slice.batch_size):
            positions = slice(first + rank, first + self.batch_slice.batch_size, world_size)
            pixels = self.pixels_NCHW[positions]
            if self.corners_N2 is not None:
                pixels = placed(pixels, self.corners_N2[positions], self.size)
            yield self.normalised(pixels), self.labels_N[positions]

    def epoch(self, seed: int, epoch: int, start: int = 0) -> Batches:
        """Yield one epoch from step `start` on, shuffled and augmented."""
        shuffled = self.shuffled(seed, epoch, start)
        return erase_randomly(shuffled, self.erase, self.batch_slice, seed, epoch, start)

    def shuffled(self, seed: int, epoch: int, start: int) -> Batches:
        n, reach = self.num_images, self.augment.shift
        order = torch.randperm(n, generator=generator(seed, "order", epoch)).to(self.device)
        draws = generator(seed, "augment", epoch)
        moves_N2 = torch.randint(0, 2 * reach + 1, (n, 2), generator=draws).to(self.device)
        flips_N = (torch.rand(n, generator=draws) < self.augment.hflip).to(self.device)
        corners_N2 = reach - moves_N2
        if self.room:
            places = generator(seed, "placement", epoch)
            corners_N2 += torch.randint(0, self.room + 1, (n, 2), generator=places).to(self.device)
        elif self.corners_N2 is not None:
            corners_N2 += self.corners_N2[order]
        for positions in self.batch_slice.micro_batches(start, self.num_steps):
            index = order[positions]
            pixels = self.pixels_NCHW[index]
            if reach or self.corners_N2 is not None:
                pixels = placed(pixels, corners_N2[positions], self.size)
            if self.augment.hflip:
                pixels = torch.where(flips_N[positions, None, None, None], pixels.flip(-1), pixels)
            yield self.normalised(pixels), self.labels_N[index]


def placed(pixels_BCHW: Tensor, corners_B2: Tensor, size: int) -> Tensor:
    """Place each image on a black canvas of `size` and crop what lies outside.

    Args:
        corners_B2: row and column of each image's first pixel; may be negative.
    """
    windows = F.pad(pixels_BCHW, (size,) * 4).unfold(2, size, 1).unfold(3, size, 1)
    rows_B, columns_B = (size - corners_B2).clamp(0, windows.shape[2] - 1).unbind(1)
    image = torch.arange(len(pixels_BCHW), device=pixels_BCHW.device)
    return windows[image, :, rows_B, columns_B]


def memory_batches(
    opened: DataSet, data: Data, augment: Augment, batch_slice: BatchSlice, device: torch.device
) -> Splits:
    """Put the chosen images on the device; all images not withheld give the mean and std."""
    train = opened.train
    withheld = select(train.labels_N, data, "validation")
    mean, std = pixel_statistics(train, np.delete(np.arange(len(train)), withheld))
    common = dict(size=data.image_size, mean=mean, std=std, device=device)
    size = batch_slice.batch_size * math.ceil(MIN_EVALUATION_BATCH / batch_slice.batch_size)
    evaluated = replace(batch_slice, batch_size=size, grad_accum=1)

    def batches(images: Images, split: Split) -> MemoryBatches:
        indices, side = select(images.labels_N, data, split), images.images_NHWC.shape[1]
        chosen, corners_N2 = images.take(indices), fixed_corners(data, len(images), side)
        if corners_N2 is not None:
            corners_N2 = corners_N2[indices]
        if split != "train":
            return MemoryBatches(chosen, batch_slice=evaluated, corners_N2=corners_N2, **common)
        room = data.image_size - side if data.placement == "random" else 0
        return MemoryBatches(
            chosen,
            batch_slice=batch_slice,
            augment=augment,
            corners_N2=corners_N2,
            room=room,
            **common,
        )

    return Splits(
        batches(train, "train"),
        batches(train, "validation") if data.validation else None,
        batches(opened.test, "test"),
    )


def pixel_statistics(images: Images, indices: np.ndarray) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel, in units of the 0..255 range; exact sums."""
    counts_CV = np.zeros((images.images_NHWC.shape[-1], 256), dtype=np.int64)
    for first in range(0, len(indices), CHUNK):
        pixels_NHWC = images.images_NHWC[indices[first : first + CHUNK]]
        for channel, counts_V in enumerate(counts_CV):
            counts_V += np.bincount(pixels_NHWC[..., channel].ravel(), minlength=256)
    values_V = np.arange(256.0)
    num = counts_CV[0].sum()
    mean_C = counts_CV @ values_V / num
    squares_CV = (values_V - mean_C[:, None]) ** 2
    std_C = np.sqrt((counts_CV * squares_CV).sum(axis=1) / (num - 1))
    return torch.tensor(mean_C).float(), torch.tensor(std_C).float()
