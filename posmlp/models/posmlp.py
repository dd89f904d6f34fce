"""PosMLP: a hierarchical vision MLP that mixes tokens inside windows with PoSGU.

Paper: arXiv 2207.07284, figure 2; released code: models/posmlp.py and patch_downsample.py at
654f020. A convolutional stem, stages of gated blocks on windows, depthwise patch merging between
the stages.

Shape letters: B batch, H and W rows and columns of the feature map, C channels.
"""

from functools import partial

import torch
from timm.layers import ClassifierHead, LayerNorm2d, calculate_drop_path_rates, to_2tuple
from timm.models import build_model_with_cfg, checkpoint_seq, generate_default_cfgs, register_model
from timm.models.mlp_mixer import SpatialGatingBlock
from torch import Tensor, nn

from posmlp.layers import SettingError, TokenMixing
from posmlp.layers.window import half_shift, partition, reverse, shift_mask, stage_sizes
from posmlp.models.default_cfg import default_cfg
from posmlp.models.embedding import EPS, PatchMerging, stem
from posmlp.models.gated_mlp import default_groups, gated_mlp, positional_parameters


class Stage(nn.Module):
    """Patch merging, then blocks on windows; with `shift` every second block on shifted windows."""

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
        distance = half_shift(window, size) if shift else (0, 0)
        self.shifts = [distance if i % 2 else (0, 0) for i in range(len(drop_path_rates))]
        mask_WNN = shift_mask(window, size, distance)
        blocks = []
        for rate, moved in zip(drop_path_rates, self.shifts, strict=True):
            mask = mask_WNN if any(moved) else None
            mlp_layer = gated_mlp(dict(unit, window=window, mask_WNN=mask))
            norm_layer = partial(nn.LayerNorm, eps=EPS)
            num_tokens = window[0] * window[1]
            block = SpatialGatingBlock(
                dim, num_tokens, mlp_ratio, mlp_layer, norm_layer, nn.GELU, proj_drop_rate, rate
            )
            blocks.append(block)
        self.blocks = nn.Sequential(*blocks)

    def run(self, blocks: nn.Sequential, x: Tensor) -> Tensor:
        checkpointing = self.grad_checkpointing and not torch.jit.is_scripting()
        return checkpoint_seq(blocks, x) if checkpointing else blocks(x)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x = self.downsample(x_BCHW).permute(0, 2, 3, 1)
        if not any(map(any, self.shifts)):
            x = reverse(self.run(self.blocks, partition(x, self.window)), self.window, self.size)
            return x.permute(0, 3, 1, 2)
        for i, (rows, columns) in enumerate(self.shifts):
            x = partition(x.roll((-rows, -columns), (1, 2)), self.window)
            x = reverse(self.run(self.blocks[i : i + 1], x), self.window, self.size)
            x = x.roll((rows, columns), (1, 2))
        return x.permute(0, 3, 1, 2)


class PosMlp(nn.Module):
    """Hierarchical PosMLP; one entry per stage in every tuple.

    Args:
        img_size: pixels, (height, width) or one number for both. Every stage's map must be a
            whole number of windows.
        dims, depths, windows, mlp_ratios: channels, blocks, tokens per side, MLP expansion.
        stem_strides: of the stem's two 3 x 3 convolutions; their product is the patch size.
        grouped: the network's own groups (the paper's gamma), used when `groups` is None.
        gate, softmax, psd, bias, gate_norm: see posmlp.layers.GatingUnit.
        groups: one number per stage, or one for all; None: `grouped`, and 1 for sgu.
        shift: move the windows by half in every second block of a stage (released: crashes).
        decay_position: let weight decay reach the positional parameters (released behaviour).
        drop_path_rate: of the last block; grows linearly from 0.

    Raises:
        SettingError: windows that do not divide the maps of this image size (with sizes that
            would work), tuples of unequal length, or as GatingUnit.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        img_size: int | tuple[int, int] = 224,
        in_chans: int = 3,
        dims: tuple[int, ...] = (96, 192, 384, 768),
        depths: tuple[int, ...] = (2, 2, 18, 2),
        windows: tuple[int, ...] = (14, 14, 14, 7),
        mlp_ratios: tuple[float, ...] = (4, 4, 4, 2),
        stem_strides: tuple[int, int] = (2, 2),
        grouped: tuple[int, ...] = (8, 16, 32, 64),
        gate: str = "gqpe",
        groups: int | tuple[int, ...] | None = None,
        softmax: bool | None = None,
        psd: bool | None = None,
        bias: bool = True,
        gate_norm: bool | None = None,
        shift: bool = False,
        decay_position: bool = False,
        drop_rate: float = 0.0,
        proj_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        global_pool: str = "avg",
    ) -> None:
        super().__init__()
        groups = default_groups(gate, grouped) if groups is None else groups
        groups = per_stage("groups", groups, len(dims))
        windows = [to_2tuple(w) for w in per_stage("windows", windows, len(dims))]
        sizes = stage_sizes(to_2tuple(img_size), stem_strides, windows)
        self.num_classes, self.in_chans, self.decay_position = num_classes, in_chans, decay_position
        self.num_features = self.head_hidden_size = dims[-1]
        self.stem = stem(in_chans, dims[0], stem_strides)
        reduction = stem_strides[0] * stem_strides[1]
        self.feature_info = [
            dict(module=f"stages.{i}", num_chs=dim, reduction=reduction * 2**i)
            for i, dim in enumerate(dims)
        ]
        rates = calculate_drop_path_rates(drop_path_rate, list(depths), stagewise=True)
        switches = dict(gate=gate, softmax=softmax, psd=psd, bias=bias, gate_norm=gate_norm)
        self.stages = nn.Sequential(
            *(
                Stage(
                    downsample=PatchMerging(dims[i - 1], dims[i]) if i else nn.Identity(),
                    dim=dims[i],
                    size=sizes[i],
                    window=windows[i],
                    mlp_ratio=mlp_ratios[i],
                    drop_path_rates=rates[i],
                    proj_drop_rate=proj_drop_rate,
                    shift=shift,
                    unit=dict(switches, groups=groups[i], eps=EPS),
                )
                for i in range(len(dims))
            )
        )
        self.norm = LayerNorm2d(dims[-1], eps=EPS)
        self.head = ClassifierHead(dims[-1], num_classes, global_pool, drop_rate)
        self.apply(init_weights)

    @torch.jit.ignore
    def no_weight_decay(self) -> set[str]:
        """Name the parameters that weight decay must leave alone (decay flattens the maps)."""
        return set() if self.decay_position else positional_parameters(self)

    @torch.jit.ignore
    def group_matcher(self, coarse: bool = False) -> dict:
        """Give timm's pattern for layer-wise learning rates."""
        stage = r"^stages\.(\d+)" if coarse else r"^stages\.(\d+)\.(?:blocks\.(\d+)|downsample)"
        return dict(stem=r"^stem", blocks=[(stage, None), (r"^norm", (99999,))])

    @torch.jit.ignore
    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Trade time for memory: recompute every block in the backward pass."""
        for stage in self.stages:
            stage.grad_checkpointing = enable

    @torch.jit.ignore
    def get_classifier(self) -> nn.Module:
        return self.head.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        self.num_classes = num_classes
        self.head.reset(num_classes, global_pool)

    def forward_features(self, x: Tensor) -> Tensor:
        """Map images to the last stage's normalised features (B, C, H, W)."""
        return self.norm(self.stages(self.stem(x)))

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        return self.head(x, pre_logits=pre_logits)

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))


def init_weights(module: nn.Module) -> None:
    """Initialise as posmlp.py:360-378, and the gating units as they ask (released: overwritten)."""
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, TokenMixing):
        module.init_weights()


def per_stage(key: str, values, num_stages: int) -> tuple:
    """Give one value per stage."""
    values = tuple(values) if isinstance(values, tuple | list) else (values,) * num_stages
    if len(values) != num_stages:
        raise SettingError(key, f"{key}={list(values)} must have {num_stages} entries, one a stage")
    return values


def _create(variant: str, pretrained: bool, dims: tuple[int, ...], **kwargs) -> PosMlp:
    feature_cfg = dict(out_indices=tuple(range(len(dims))), flatten_sequential=True)
    return build_model_with_cfg(
        PosMlp, variant, pretrained, feature_cfg=feature_cfg, dims=dims, **kwargs
    )


_cfg = partial(
    default_cfg,
    crop_pct=0.9,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    first_conv="stem.0",
    classifier="head.fc",
)

default_cfgs = generate_default_cfgs(
    {
        "posmlp_tiny_224.untrained": _cfg(224),
        "posmlp_small_224.untrained": _cfg(224),
        "posmlp_base_224.untrained": _cfg(224),
        "posmlp_xxs_28.untrained": _cfg(28),
        "posmlp_xs_28.untrained": _cfg(28),
        "posmlp_xs_32.untrained": _cfg(32),
        "posmlp_xs_64.untrained": _cfg(64),
    }
)


@register_model
def posmlp_tiny_224(pretrained: bool = False, **kwargs) -> PosMlp:
    """PosMLP-T, 20.9M parameters."""
    return _create("posmlp_tiny_224", pretrained, dims=(96, 192, 384, 768), **kwargs)


@register_model
def posmlp_small_224(pretrained: bool = False, **kwargs) -> PosMlp:
    """PosMLP-S, 36.8M parameters."""
    return _create("posmlp_small_224", pretrained, dims=(128, 256, 512, 1024), **kwargs)


@register_model
def posmlp_base_224(pretrained: bool = False, **kwargs) -> PosMlp:
    """PosMLP-B, 82.0M parameters; its widths are inferred from that number, not published."""
    return _create("posmlp_base_224", pretrained, dims=(192, 384, 768, 1536), **kwargs)


@register_model
def posmlp_xxs_28(pretrained: bool = False, **kwargs) -> PosMlp:
    """Extra extra small for 28 x 28 images on CPUs: 14 x 14, then 7 x 7 tokens."""
    arch = dict(dims=(32, 64), depths=(2, 2), windows=(14, 7), mlp_ratios=(2, 2))
    arch |= dict(stem_strides=(2, 1), grouped=(8, 16))
    return _create("posmlp_xxs_28", pretrained, **arch, **kwargs)


@register_model
def posmlp_xs_28(pretrained: bool = False, **kwargs) -> PosMlp:
    """Extra small for 28 x 28 images: 14 x 14, then 7 x 7 tokens."""
    arch = dict(dims=(48, 96), depths=(3, 3), windows=(14, 7), mlp_ratios=(4, 2))
    arch |= dict(stem_strides=(2, 1), grouped=(8, 16))
    return _create("posmlp_xs_28", pretrained, **arch, **kwargs)


@register_model
def posmlp_xs_32(pretrained: bool = False, **kwargs) -> PosMlp:
    """Extra small for 32 x 32 images: 16 x 16 tokens in windows of 8, 8 x 8, 4 x 4."""
    arch = dict(dims=(48, 96, 192), depths=(2, 4, 2), windows=(8, 8, 4), mlp_ratios=(4, 4, 2))
    arch |= dict(stem_strides=(2, 1), grouped=(8, 16, 32))
    return _create("posmlp_xs_32", pretrained, **arch, **kwargs)


@register_model
def posmlp_xs_64(pretrained: bool = False, **kwargs) -> PosMlp:
    """Extra small for 64 x 64 images: 16 x 16 tokens in windows of 8, 8 x 8, 4 x 4."""
    arch = dict(dims=(48, 96, 192), depths=(2, 4, 2), windows=(8, 8, 4), mlp_ratios=(4, 4, 2))
    arch |= dict(stem_strides=(2, 2), grouped=(8, 16, 32))
    return _create("posmlp_xs_64", pretrained, **arch, **kwargs)
