"""Batches: small data sets live on the device and are augmented there, ImageNet is streamed.

Both kinds give the same: `epoch(seed, epoch)` for training, iteration for testing, images as
normalised float (B, C, H, W) and labels (B,) on the device.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from timm.data import create_loader
from timm.data.random_erasing import RandomErasing
from torch import Tensor
from torch.utils.data import Dataset

from posmlp.data.image_folder import imagenet_samples
from posmlp.data.images import Images
from posmlp.data.sources import DATASETS
from posmlp.data.subsets import select
from posmlp.study.settings import Augment, Data
from posmlp.training.randomness import generator, seed_globals


class TrainingError(ValueError):
    """Training cannot start or go on; the message says why and what to do."""


class MemoryBatches:
    """A data set that fits in memory: bytes on the device, augmented a batch at a time.

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
        batch_size: int,
        device: torch.device,
        augment: Augment | None = None,
    ) -> None:
        pixels = torch.from_numpy(images.images_NHWC).permute(0, 3, 1, 2).contiguous()
        if pixels.shape[-1] != size:
            pixels = F.interpolate(pixels.float(), (size, size), mode="bilinear", antialias=True)
            pixels = pixels.round().to(torch.uint8)
        self.pixels_NCHW = pixels.to(device)
        self.labels_N = torch.from_numpy(images.labels_N).to(device)
        self.mean, self.std = (t.view(1, -1, 1, 1).to(device) for t in (mean, std))
        self.batch_size, self.device, self.augment = batch_size, device, augment
        self.num_images, self.digest = len(self.labels_N), images.digest
        reprob = augment.reprob if augment else 0.0
        self.erase = RandomErasing(reprob, mode="pixel", device=device) if reprob else None
        if augment and self.num_images < batch_size:
            raise TrainingError(
                f"recipe.batch_size: {batch_size} is more than the {self.num_images} training "
                "images; take a smaller batch or a larger data.train_fraction"
            )

    def __len__(self) -> int:
        """Return the batches per epoch; training drops a last incomplete one."""
        full, rest = divmod(self.num_images, self.batch_size)
        return full + bool(rest and not self.augment)

    def normalised(self, pixels_BCHW: Tensor) -> Tensor:
        return (pixels_BCHW.float() - self.mean) / self.std

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, self.num_images, self.batch_size):
            batch = slice(start, start + self.batch_size)
            yield self.normalised(self.pixels_NCHW[batch]), self.labels_N[batch]

    def epoch(self, seed: int, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield one epoch of shuffled, augmented batches, the same for equal seed and epoch."""
        n, reach = self.num_images, self.augment.shift
        order = torch.randperm(n, generator=generator(seed, "order", epoch)).to(self.device)
        draws = generator(seed, "augment", epoch)
        moves_N2 = torch.randint(0, 2 * reach + 1, (n, 2), generator=draws).to(self.device)
        flips_N = (torch.rand(n, generator=draws) < self.augment.hflip).to(self.device)
        for step in range(len(self)):
            places = slice(step * self.batch_size, (step + 1) * self.batch_size)
            index = order[places]
            pixels = self.pixels_NCHW[index]
            if reach:
                pixels = shifted(pixels, moves_N2[places], reach)
            if self.augment.hflip:
                pixels = torch.where(flips_N[places, None, None, None], pixels.flip(-1), pixels)
            images = self.normalised(pixels)
            yield (self.erase(images) if self.erase else images), self.labels_N[index]


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


class ImageFiles(Dataset):
    """Image files with labels; timm's loader sets `transform`, which turns an image to bytes."""

    def __init__(self, paths: list[str], labels: list[int]) -> None:
        self.paths, self.labels, self.transform = paths, labels, None

    @property
    def digest(self) -> str:
        """16 hex digits over the images' names and labels."""
        sha256 = hashlib.sha256()
        for path, label in zip(self.paths, self.labels, strict=True):
            sha256.update(f"{Path(path).name} {label}\n".encode())
        return sha256.hexdigest()[:16]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int):
        from PIL import Image  # only streamed data sets read image files

        with Image.open(self.paths[index]) as image:
            return self.transform(image.convert("RGB")), self.labels[index]


class StreamedBatches:
    """Image files through timm's loader, transforms and prefetcher."""

    def __init__(
        self, files: ImageFiles, size: int, cfg: dict, device: torch.device, **options
    ) -> None:
        self.num_images, self.digest = len(files), files.digest
        self.loader = create_loader(
            files,
            input_size=(3, size, size),
            mean=cfg["mean"],
            std=cfg["std"],
            pin_memory=device.type == "cuda",
            persistent_workers=False,  # an epoch starts from its own seed, so workers start anew
            device=device,
            **options,
        )

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        yield from self.loader

    def epoch(self, seed: int, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield one epoch; order and augmentation follow the global generators, seeded here."""
        seed_globals(seed, "order", epoch)
        yield from self.loader


def memory_batches(
    data: Data, augment: Augment, batch_size: int, root: Path, device: torch.device
) -> tuple[MemoryBatches, MemoryBatches]:
    """Load an in-memory data set as training and test batches."""
    source = DATASETS[data.name]
    train, test = source.load(root, "train"), source.load(root, "test")
    pixels = torch.from_numpy(train.images_NHWC).double()
    mean, std = pixels.mean((0, 1, 2)).float(), pixels.std((0, 1, 2)).float()
    train = train.take(select(train.labels_N, data, "train"))
    test = test.take(select(test.labels_N, data, "test"))
    common = dict(size=data.image_size, mean=mean, std=std, device=device)
    return (
        MemoryBatches(train, batch_size=batch_size, augment=augment, **common),
        MemoryBatches(test, batch_size=max(batch_size, 250), **common),
    )


def streamed_batches(
    data: Data, augment: Augment, batch_size: int, root: Path, device: torch.device, cfg: dict
) -> tuple[StreamedBatches, StreamedBatches]:
    """Stream an image folder as training and test batches; `cfg` is the model's timm cfg."""
    train = dict(
        is_training=True,
        scale=augment.scale or (1.0, 1.0),
        ratio=augment.ratio,
        hflip=augment.hflip,
        color_jitter=augment.color_jitter,
        auto_augment=augment.rand_augment,
        re_prob=augment.reprob,
        re_mode="pixel",
        interpolation=augment.interpolation,
    )
    test = dict(
        is_training=False,
        interpolation=cfg["interpolation"],
        crop_pct=augment.crop_pct or cfg["crop_pct"],
    )
    batches = []
    for split, fraction, options in (
        ("train", data.train_fraction, train),
        ("test", data.eval_fraction, test),
    ):
        paths, labels, _ = imagenet_samples(root, split, fraction, data.subset, data.subset_seed)
        files = ImageFiles(paths, labels.tolist())
        options |= dict(batch_size=batch_size, num_workers=torch.get_num_threads())
        batches.append(StreamedBatches(files, data.image_size, cfg, device, **options))
    return tuple(batches)
