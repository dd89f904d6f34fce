"""Cutting feature maps into windows, and the mask that keeps shifted windows apart.

Shape letters: B batch, H and W rows and columns of the map, C channels, N tokens of a window.
"""

import torch
from torch import Tensor


def partition(x_BHWC: Tensor, window: tuple[int, int]) -> Tensor:
    """Cut a map into (B, windows, N, C), windows and tokens in row-major order."""
    B, H, W, C = x_BHWC.shape
    h, w = window
    x = x_BHWC.reshape(B, H // h, h, W // w, w, C).transpose(2, 3)
    return x.reshape(B, (H // h) * (W // w), h * w, C)


def reverse(x: Tensor, window: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Put windows (B, windows, N, C) together again to (B, H, W, C); inverse of `partition`."""
    B, _, _, C = x.shape
    (h, w), (H, W) = window, size
    x = x.reshape(B, H // h, W // w, h, w, C).transpose(2, 3)
    return x.reshape(B, H, W, C)


def half_shift(window: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """Return the cyclic shift of half a window, zero along an axis that one window covers."""
    return tuple(w // 2 if w < s else 0 for w, s in zip(window, size, strict=True))


def shift_mask(window: tuple[int, int], size: tuple[int, int], shift: tuple[int, int]) -> Tensor:
    """Return (windows, N, N) booleans: may a query see a key after a cyclic shift?

    A shifted window at the border holds tokens from opposite sides of the image; only those that
    were neighbours before the shift may see each other (Swin, arXiv 2103.14030, section 3.2).
    """
    sides = []
    for length, step, distance in zip(size, window, shift, strict=True):
        side = torch.zeros(length, dtype=torch.long)
        if distance:
            side[length - step : length - distance] = 1
            side[length - distance :] = 2
        sides.append(side)
    regions_HW = sides[0][:, None] * 3 + sides[1][None, :]
    regions_WN = partition(regions_HW[None, :, :, None], window)[0, :, :, 0]
    return regions_WN[:, :, None] == regions_WN[:, None, :]
