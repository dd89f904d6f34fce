"""Where images lie on a canvas that is larger than they are (`data.placement`)."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from posmlp.study.data_settings import Data

PLACEMENT_SEED = 2**33  # neither a subset_seed nor the seed of the validation images


def fixed_corners(data: "Data", num_images: int, side: int) -> np.ndarray | None:
    """Place each image of a split: row and column of its first pixel on the canvas, (N, 2).

    A random place depends on the image's position in the split alone, so every run tests the same
    canvases. As in subsets.py the draws are PCG64's raw output. None: images fill the canvas.

    Args:
        side: pixels of an image's side.
    """
    if data.placement == "fill":
        return None
    room = data.image_size - side
    if data.placement == "centred":
        return np.full((num_images, 2), room // 2)
    random_N = np.random.PCG64(PLACEMENT_SEED).random_raw(2 * num_images)
    return (random_N % (room + 1)).astype(np.int64).reshape(-1, 2)
