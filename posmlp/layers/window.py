"""Which maps windows divide, cutting maps into them, and the mask that keeps shifted ones apart.

Shape letters: B batch, H and W rows and columns of the map, C channels, N tokens of a window.
"""

import math

import torch
from torch import Tensor

from posmlp.layers.units import SettingError


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


def stage_sizes(
    img_size: tuple[int, int], strides: tuple[int, int], windows: list[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Return every stage's map; both axes must be a whole number of windows in each."""
    axes = [axis_sizes(img_size[a], strides, len(windows)) for a in (0, 1)]
    for axis, name in enumerate(("height", "width")):
        steps = [w[axis] for w in windows]
        if not divides(steps, axes[axis]):
            limit = 2 * img_size[axis] + 8 * max(steps) * math.prod(strides)
            grids = {tuple(axis_sizes(n, strides, len(steps))): n for n in range(1, limit)}
            works = [n for sizes, n in grids.items() if divides(steps, sizes)]
            nearest = sorted(sorted(works, key=lambda n: abs(n - img_size[axis]))[:3])
            raise SettingError(
                "img_size",
                f"img_size {name} {img_size[axis]} gives stages of {axes[axis]} tokens, which "
                f"windows {steps} do not divide; a {name} that works: "
                + (", ".join(map(str, nearest)) or "none near it; change the windows"),
            )
    return list(zip(*axes, strict=True))


def divides(steps: list[int], sizes: list[int]) -> bool:
    """Say whether every stage is a whole number of windows along an axis."""
    return not any(size % step for size, step in zip(sizes, steps, strict=True))


def axis_sizes(pixels: int, strides: tuple[int, int], num_stages: int) -> list[int]:
    """Return the tokens along one axis in each stage; a 3 x 3 convolution rounds up."""
    after_stem = math.ceil(math.ceil(pixels / strides[0]) / strides[1])
    return [math.ceil(after_stem / 2**stage) for stage in range(num_stages)]
