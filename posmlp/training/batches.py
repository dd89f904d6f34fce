"""Shared parts of MemoryBatches and FileBatches, among them each process's slice of a batch.

MemoryBatches holds its images on the device; FileBatches reads image files. Both offer
`epoch(seed, epoch, start)` for training and iteration for evaluation, and yield normalised float
images (B, C, H, W) with labels (B,) on the device. Order and augmentation depend only on seed and
epoch, so an epoch can start at any step.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from timm.data.random_erasing import RandomErasing
from torch import Tensor

from posmlp.study import Augment
from posmlp.training.randomness import derive_seed, seed_globals
from posmlp.training.training_error import TrainingError

Batches = Iterable[tuple[Tensor, Tensor]]


class Splits(NamedTuple):
    """The batches of a run."""

    train: Any
    validation: Any | None  # None if no images are withheld
    test: Any
    source_digest: str | None = None  # of the whole data set; None if that takes too long

    def present(self) -> dict[str, Any]:
        """Batches by the split's name in metrics, without an absent validation split."""
        named = {"train": self.train, "val": self.validation, "test": self.test}
        return {name: batches for name, batches in named.items() if batches}


@dataclass(frozen=True)
class BatchSlice:
    """One process's share of each batch, in micro-batches that fit into memory.

    Args:
        batch_size: images per optimiser step, over all processes.
        grad_accum: micro-batches per step in each process.
        rank, world_size: index of this process and number of processes.

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
    def micro_batch_size(self) -> int:
        """Images per forward pass in each process."""
        return self.batch_size // (self.grad_accum * self.world_size)

    def micro_batches(self, start: int, num_steps: int) -> Iterator[slice]:
        """Yield this process's positions in an epoch's order, one slice per micro-batch."""
        for step in range(start, num_steps):
            for micro_batch in range(self.grad_accum):
                first = step * self.batch_size
                first += (micro_batch * self.world_size + self.rank) * self.micro_batch_size
                yield slice(first, first + self.micro_batch_size)

    def num_steps(self, num_images: int) -> int:
        """Steps per epoch; an incomplete last batch is dropped.

        Raises:
            TrainingError: there are fewer images than one batch needs.
        """
        if num_images < self.batch_size:
            raise TrainingError(
                f"recipe.batch_size: {self.batch_size} is more than the {num_images} training "
                "images; take a smaller batch or a larger data.train_fraction"
            )
        return num_images // self.batch_size


def make_erase(augment: Augment, device: torch.device) -> RandomErasing | None:
    """Build timm's random erasing if the recipe uses it."""
    if augment.reprob:
        return RandomErasing(augment.reprob, mode="pixel", device=device)
    return None


def erase_randomly(
    batches: Batches,
    erase: RandomErasing | None,
    batch_slice: BatchSlice,
    seed: int,
    epoch: int,
    start: int,
) -> Batches:
    """Erase random rectangles; global generators, used by timm, are seeded per micro-batch."""
    if erase is None:
        yield from batches
        return
    for number, (images, labels) in enumerate(batches, start * batch_slice.grad_accum):
        seed_globals(derive_seed(seed, "erase", epoch, number, batch_slice.rank))
        yield erase(images), labels
