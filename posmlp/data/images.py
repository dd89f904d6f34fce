"""Images: one split of a data set in memory, with a digest that identifies it.

Shape letters: N images, H rows, W columns, C channels.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

SourceSplit = Literal["train", "test"]  # the splits of a data set
Split = Literal["train", "validation", "test"]  # the splits of a run


class DataError(ValueError):
    """A data set is missing, incomplete or wrong; the message says what to do."""


@dataclass(frozen=True, eq=False)
class Images:
    """Images (uint8) with their labels (int64).

    Args:
        source: where they were read from, for messages.
        files_digest: digest of the image files they were decoded from, if any. Pixels cannot
            identify files, because they may differ between versions of a decoder.
        unreadable: files that were left out because they could not be decoded.
    """

    images_NHWC: np.ndarray  # noqa: N815
    labels_N: np.ndarray  # noqa: N815
    source: str
    files_digest: str | None = None
    unreadable: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels_N)

    def take(self, indices: np.ndarray) -> "Images":
        """Select the images at `indices`, in that order."""
        return replace(self, images_NHWC=self.images_NHWC[indices], labels_N=self.labels_N[indices])

    @cached_property
    def digest(self) -> str:
        """16 hex digits of the SHA-256 over shape, pixels and labels, on every machine."""
        sha256 = hashlib.sha256(repr(self.images_NHWC.shape).encode())
        sha256.update(np.ascontiguousarray(self.images_NHWC))
        sha256.update(np.ascontiguousarray(self.labels_N, dtype="<i8"))
        return sha256.hexdigest()[:16]


def dataset_digest(digests: Mapping[str, str]) -> str:
    """Combine the digests of all splits into one of 16 hex digits."""
    text = "\n".join(f"{split} {digests[split]}" for split in sorted(digests))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
