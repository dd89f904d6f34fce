"""The convolutions of PosMLP: the patch embedding, and patch merging between the stages.

Paper: figure 2 (b) and (c); released code: models/patch_downsample.py at 654f020.

Shape letters: B batch, C channels, H and W rows and columns of the feature map.
"""

from timm.layers import LayerNorm2d
from timm.layers.trace_utils import _assert
from torch import Tensor, nn

EPS = 1e-6  # for every normalisation, posmlp.py:270 and patch_downsample.py:47,91


class Stem(nn.Sequential):
    """Convolutional patch embedding for a fixed image size (patch_downsample.py:75-103)."""

    def __init__(
        self, in_chans: int, dim: int, strides: tuple[int, int], img_size: tuple[int, int]
    ) -> None:
        half = dim // 2
        super().__init__(
            nn.Conv2d(in_chans, half, 3, stride=strides[0], padding=1),
            nn.BatchNorm2d(half, eps=EPS),
            nn.GELU(),
            nn.Conv2d(half, dim, 3, stride=strides[1], padding=1),
            nn.BatchNorm2d(dim, eps=EPS),
            nn.GELU(),
            nn.Conv2d(dim, dim, 1),
            nn.BatchNorm2d(dim, eps=EPS),
        )
        self.img_size = img_size

    def forward(self, x_BCHW: Tensor) -> Tensor:
        (h, w), (height, width) = x_BCHW.shape[-2:], self.img_size
        message = f"Input of {h} x {w} pixels doesn't match the network's {height} x {width}."
        _assert(h == height, message)
        _assert(w == width, message)
        for layer in self:
            x_BCHW = layer(x_BCHW)
        return x_BCHW


class PatchMerging(nn.Module):
    """Halve the map, double the channels: a depthwise convolution (patch_downsample.py:33)."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_dim, out_dim, 3, stride=2, padding=1, groups=in_dim)
        self.norm = LayerNorm2d(out_dim, eps=EPS)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.norm(self.conv(x_BCHW))
