"""Positions of images on a larger canvas (`data.placement`)."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from posmlp.study.data_settings import Data

PLACEMENT_SEED = 2**33  # differs from every subset_seed and from VALIDATION_SEED


def fixed_corners(data: "Data", num_images: int, side: int) -> np.ndarray | None:
    """Place each image of a split: row and column of its first pixel on the canvas, (N, 2).

    A random place depends only on the image's position in the split, so all runs test on the same
    canvases. As in subsets.py, draws are raw output of PCG64.

    Args:
        side: pixels per side of an image.

    Returns:
        None if images fill the canvas.
    """
    if data.placement == "fill":
        return None
    room = data.image_size - side
    if data.placement == "centred":
        return np.full((num_images, 2), room // 2)
    random_N = np.random.PCG64(PLACEMENT_SEED).random_raw(2 * num_images)
    return (random_N % (room + 1)).astype(np.int64).reshape(-1, 2)
