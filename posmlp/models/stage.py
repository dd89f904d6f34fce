"""A stage of PosMLP: patch merging, then gated blocks on windows of the map.

Paper: arXiv 2207.07284, figure 2; released code: models/posmlp.py at 654f020.

Shape letters: B batch, H and W rows and columns of the feature map, C channels.
"""

from functools import partial

import torch
from timm.models import checkpoint
from timm.models.mlp_mixer import SpatialGatingBlock
from torch import Tensor, nn

from posmlp.layers.window import half_shift, partition, reverse, shift_mask
from posmlp.models.embedding import EPS
from posmlp.models.gated_mlp import gated_mlp


class Stage(nn.Module):
    """Patch merging, then blocks on windows; `shift` moves the windows in every second block."""

    def __init__(
        self,
        downsample: nn.Module,
        dim: int,
        size: tuple[int, int],
        window: tuple[int, int],
        mlp_ratio: float,
        drop_path_rates: list[float],
        proj_drop_rate: float,
        shift: bool,
        unit: dict,
    ) -> None:
        super().__init__()
        self.downsample, self.size, self.window = downsample, size, window
        self.grad_checkpointing = False
        self.distance = half_shift(window, size)
        self.shift = shift and any(self.distance) and len(drop_path_rates) > 1
        mask_WNN = shift_mask(window, size, self.distance)
        norm_layer, num_tokens = partial(nn.LayerNorm, eps=EPS), window[0] * window[1]
        blocks = []
        for i, rate in enumerate(drop_path_rates):
            mask = mask_WNN if self.shift and i % 2 == 1 else None
            mlp_layer = gated_mlp(dict(unit, window=window, mask_WNN=mask))
            block = SpatialGatingBlock(
                dim, num_tokens, mlp_ratio, mlp_layer, norm_layer, nn.GELU, proj_drop_rate, rate
            )
            blocks.append(block)
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x = partition(self.downsample(x_BCHW).permute(0, 2, 3, 1), self.window, self.size)
        for i, block in enumerate(self.blocks):
            shifted = self.shift and i % 2 == 1
            if shifted:
                x = self.moved(x, -1)
            if self.grad_checkpointing and not torch.jit.is_scripting():
                x = checkpoint(block, x)
            else:
                x = block(x)
            if shifted:
                x = self.moved(x, 1)
        return reverse(x, self.window, self.size).permute(0, 3, 1, 2)

    def moved(self, x: Tensor, sign: int) -> Tensor:
        """Move the map by half a window and partition it again; `sign` gives the direction."""
        rows, columns = self.distance
        x_BHWC = reverse(x, self.window, self.size).roll((sign * rows, sign * columns), (1, 2))
        return partition(x_BHWC, self.window, self.size)
