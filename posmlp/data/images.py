"""One split of a data set in memory, and the digest that tells two data sets apart.

Shape letters: N images, H rows, W columns, C channels.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = ("train", "test")
Part = Literal["train", "validation", "test"]  # what a run makes of the two splits
PARTS: tuple[Part, ...] = ("train", "validation", "test")


class DataError(ValueError):
    """A data set is absent, incomplete or not what it should be; says what to do about it."""


@dataclass(frozen=True, eq=False)
class Images:
    """Images (uint8) with their labels (int64) and, in words, where they were read."""

    images_NHWC: np.ndarray  # noqa: N815
    labels_N: np.ndarray  # noqa: N815
    source: str

    def __post_init__(self) -> None:
        assert self.images_NHWC.dtype == np.uint8
        assert self.images_NHWC.ndim == 4
        assert self.labels_N.dtype == np.int64
        assert self.labels_N.shape == self.images_NHWC.shape[:1]

    def __len__(self) -> int:
        return len(self.labels_N)

    def take(self, indices: np.ndarray) -> "Images":
        """Return the images at `indices`, in that order."""
        return Images(self.images_NHWC[indices], self.labels_N[indices], self.source)

    @cached_property
    def digest(self) -> str:
        """16 hex digits of the SHA-256 over shape, pixels and labels; the same on every machine."""
        sha256 = hashlib.sha256(repr(self.images_NHWC.shape).encode())
        sha256.update(np.ascontiguousarray(self.images_NHWC))
        sha256.update(np.ascontiguousarray(self.labels_N, dtype="<i8"))
        return sha256.hexdigest()[:16]


def dataset_digest(digests: Mapping[str, str]) -> str:
    """One digest (16 hex digits) from the digest of each split."""
    text = "\n".join(f"{split} {digests[split]}" for split in sorted(digests))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
