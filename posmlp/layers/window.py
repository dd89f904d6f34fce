"""Windows: partitioning feature maps, masks for shifted windows, and checks of sizes.

Shape letters: B batch, H and W rows and columns of the map, C channels, N tokens of a window.
"""

import math

import torch
from torch import Tensor

from posmlp.layers.gates import SettingError


def partition(x_BHWC: Tensor, window: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Cut a map of this size into (B, windows, N, C), windows and tokens in row-major order.

    Fails on a map of any other size, even if it has equally many windows, and in traced code.
    """
    (h, w), (H, W) = window, size
    x = x_BHWC.unflatten(1, (H // h, h)).unflatten(3, (W // w, w)).transpose(2, 3)
    return x.flatten(3, 4).flatten(1, 2)


def reverse(x: Tensor, window: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Reassemble windows (B, windows, N, C) into a map (B, H, W, C); inverse of `partition`."""
    (h, w), (H, W) = window, size
    x = x.unflatten(1, (H // h, W // w)).unflatten(3, (h, w)).transpose(2, 3)
    return x.flatten(3, 4).flatten(1, 2)


def half_shift(window: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """Cyclic shift by half a window; zero along an axis that a single window covers."""
    return tuple(w // 2 if w < s else 0 for w, s in zip(window, size, strict=True))


def shift_mask(window: tuple[int, int], size: tuple[int, int], shift: tuple[int, int]) -> Tensor:
    """Whether a query may see a key after a cyclic shift, (windows, N, N).

    A shifted window at the border holds tokens from opposite sides of the image. Only tokens that
    were adjacent before the shift may see each other (Swin, arXiv 2103.14030, section 3.2).
    """
    sides = []
    for length, step, distance in zip(size, window, shift, strict=True):
        side = torch.zeros(length, dtype=torch.long)
        if distance:
            side[length - step : length - distance] = 1
            side[length - distance :] = 2
        sides.append(side)
    regions_HW = sides[0][:, None] * 3 + sides[1][None, :]
    regions_WN = partition(regions_HW[None, :, :, None], window, size)[0, :, :, 0]
    return regions_WN[:, :, None] == regions_WN[:, None, :]


def stage_sizes(
    img_size: tuple[int, int], strides: tuple[int, int], windows: list[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Size of each stage's map in tokens.

    Raises:
        SettingError: a map is not a whole number of windows along an axis.
    """
    axes = [axis_sizes(pixels, strides, len(windows)) for pixels in img_size]
    for axis, name in enumerate(("height", "width")):
        steps = [window[axis] for window in windows]
        if not divides(steps, axes[axis]):
            stage = next(i for i in range(len(steps)) if axes[axis][i] % steps[i])
            side = axes[axis][stage]
            divisors = [str(n) for n in range(1, side + 1) if side % n == 0]
            nearest = working_sizes(img_size[axis], strides, steps)
            raise SettingError(
                "windows",
                f"windows of {steps} tokens do not divide the stages' {axes[axis]} tokens (image "
                f"{name} {img_size[axis]}); windows that work in stage {stage}: "
                f"{', '.join(divisors)}; image {name}s that work: {', '.join(nearest) or 'none'}",
            )
    return list(zip(*axes, strict=True))


def working_sizes(pixels: int, strides: tuple[int, int], steps: list[int]) -> list[str]:
    """The three nearest image sizes whose stages these windows divide."""
    limit = 2 * pixels + 8 * max(steps) * math.prod(strides)
    works = {tuple(axis_sizes(n, strides, len(steps))): n for n in range(1, limit)}
    works = [n for sizes, n in works.items() if divides(steps, sizes)]
    return [str(n) for n in sorted(sorted(works, key=lambda n: abs(n - pixels))[:3])]


def divides(steps: list[int], sizes: list[int]) -> bool:
    """Whether every stage is a whole number of windows along an axis."""
    return not any(size % step for size, step in zip(sizes, steps, strict=True))


def axis_sizes(pixels: int, strides: tuple[int, int], num_stages: int) -> list[int]:
    """Tokens along one axis in each stage; a 3 x 3 convolution rounds up."""
    after_stem = math.ceil(math.ceil(pixels / strides[0]) / strides[1])
    return [math.ceil(after_stem / 2**stage) for stage in range(num_stages)]
