"""PosMLP: a hierarchical vision MLP that mixes tokens inside windows with PoSGU.

Paper: arXiv 2207.07284, figure 2; released code: models/posmlp.py and patch_downsample.py at
654f020. A convolutional stem and stages of gated blocks on windows, with depthwise patch merging
between the stages.

Shape letters: B batch, H and W rows and columns of the feature map, C channels.
"""

from collections import Counter
from functools import partial
from itertools import pairwise

import torch
from timm.layers import ClassifierHead, LayerNorm2d, calculate_drop_path_rates, to_2tuple
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models._features import feature_take_indices
from torch import Tensor, nn

from posmlp.layers import SettingError, TokenMixing
from posmlp.layers.gates import check_positive
from posmlp.layers.window import stage_sizes
from posmlp.models.default_cfg import default_cfg
from posmlp.models.embedding import EPS, PatchMerging, Stem
from posmlp.models.gated_mlp import check_ratio, default_groups, positional_parameters
from posmlp.models.stage import Stage


class PosMlp(nn.Module):
    """Hierarchical PosMLP; per-stage settings are tuples, or one value for all stages.

    Args:
        img_size: pixels, (height, width) or one number for both. Every stage's map must be a
            whole number of windows.
        dims, depths, windows, mlp_ratios: channels, blocks, tokens per side, MLP expansion.
        stem_strides: strides of the stem's two 3 x 3 convolutions; their product is the patch size.
        grouped: default for `groups` (the paper's gamma).
        gate, softmax, psd, bias, gate_norm, center_init, spread_init, bias_init: see
            posmlp.layers.GatingUnit.
        groups: channel groups; None: `grouped`, or 1 for sgu.
        shift: shift windows by half in every second block of a stage (released: crashes).
        decay_position: apply weight decay to the positional parameters (released behaviour).
        drop_path_rate: drop-path rate of the last block; grows linearly from 0.

    Raises:
        SettingError: windows do not divide the maps of this image size (the message lists those
            that do), tuples differ in length, a value is out of range, or as for GatingUnit.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        img_size: int | tuple[int, int] = 224,
        in_chans: int = 3,
        dims: int | tuple[int, ...] = (96, 192, 384, 768),
        depths: int | tuple[int, ...] = (2, 2, 18, 2),
        windows: int | tuple[int, ...] = (14, 14, 14, 7),
        mlp_ratios: float | tuple[float, ...] = (4, 4, 4, 2),
        stem_strides: int | tuple[int, int] = (2, 2),
        grouped: int | tuple[int, ...] = (8, 16, 32, 64),
        gate: str = "gqpe",
        groups: int | tuple[int, ...] | None = None,
        softmax: bool | None = None,
        psd: bool | None = None,
        bias: bool = True,
        gate_norm: bool | None = None,
        center_init: float | None = None,
        spread_init: float | None = None,
        bias_init: float | None = None,
        shift: bool = False,
        decay_position: bool = False,
        drop_rate: float = 0.0,
        proj_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        global_pool: str = "avg",
    ) -> None:
        super().__init__()
        groups = default_groups(gate, grouped) if groups is None else groups
        dims, depths, windows, mlp_ratios, groups = per_stage(
            dims=dims, depths=depths, windows=windows, mlp_ratios=mlp_ratios, groups=groups
        )
        windows, stem_strides = [to_2tuple(w) for w in windows], to_2tuple(stem_strides)
        check_stages(dims, depths, windows, mlp_ratios, stem_strides)
        img_size = to_2tuple(img_size)
        check_positive("img_size", *img_size)
        sizes = stage_sizes(img_size, stem_strides, windows)
        self.num_classes, self.in_chans, self.decay_position = num_classes, in_chans, decay_position
        self.num_features = self.head_hidden_size = dims[-1]
        self.stem = Stem(in_chans, dims[0], stem_strides, img_size)
        reduction = stem_strides[0] * stem_strides[1]
        self.feature_info = [
            dict(module=f"stages.{i}", num_chs=dim, reduction=reduction * 2**i)
            for i, dim in enumerate(dims)
        ]
        rates = calculate_drop_path_rates(drop_path_rate, list(depths), stagewise=True)
        unit = dict(gate=gate, softmax=softmax, psd=psd, bias=bias, gate_norm=gate_norm)
        unit |= dict(center_init=center_init, spread_init=spread_init, bias_init=bias_init)
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
                    unit=dict(unit, groups=groups[i], eps=EPS),
                )
                for i in range(len(dims))
            )
        )
        if shift and not any(stage.shift for stage in self.stages):
            raise SettingError("shift", "shift has no effect: no stage has a block to shift")
        self.norm = LayerNorm2d(dims[-1], eps=EPS)
        self.head = ClassifierHead(dims[-1], num_classes, global_pool, drop_rate)
        self.apply(init_weights)

    @torch.jit.ignore
    def no_weight_decay(self) -> set[str]:
        """Names of the parameters without weight decay, which would flatten the maps."""
        return set() if self.decay_position else positional_parameters(self)

    @torch.jit.ignore
    def group_matcher(self, coarse: bool = False) -> dict:
        """timm's pattern for layer-wise learning rates."""
        blocks = [
            (r"^stages\.(\d+)\.downsample", (0,)),
            (r"^stages\.(\d+)\.blocks\.(\d+)", None),
            (r"^norm", (99999,)),
        ]
        return dict(stem=r"^stem", blocks=r"^stages\.(\d+)" if coarse else blocks)

    @torch.jit.ignore
    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Trade time for memory: recompute every block in the backward pass."""
        for stage in self.stages:
            stage.grad_checkpointing = enable

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """Compute features of intermediate stages, with timm's interface.

        Args:
            indices: the last n stages, a list of stages, or all (None).
            norm: normalise the last stage's features.
            stop_early: skip the stages after the last one requested.
            output_fmt: only NCHW is supported.
            intermediates_only: omit the final features from the result.
        """
        if output_fmt != "NCHW":
            raise ValueError(f"output_fmt={output_fmt!r}: this network has features in NCHW only")
        num_stages = len(self.feature_info)
        taken, last = feature_take_indices(num_stages, indices)
        x, found = self.stem(x), []
        for i, stage in enumerate(self.stages[: last + 1] if stop_early else self.stages):
            x = stage(x)
            if i in taken:
                found.append(self.norm(x) if norm and i == num_stages - 1 else x)
        if intermediates_only:
            return found
        complete = last == num_stages - 1 or not stop_early
        return self.norm(x) if complete else x, found

    def prune_intermediate_layers(
        self,
        indices: int | list[int] | None = 1,
        prune_norm: bool = False,
        prune_head: bool = True,
    ) -> list[int]:
        """Drop the stages after the last one requested; return the indices from the start."""
        taken, last = feature_take_indices(len(self.stages), indices)
        self.stages = self.stages[: last + 1]
        if prune_norm:
            self.norm = nn.Identity()
        if prune_head:
            self.reset_classifier(0, "")
        return taken

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
    """Initialise as posmlp.py:360-378, but leave gating units their own initialisation."""
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, TokenMixing):
        module.init_weights()


def per_stage(**settings: object) -> list[tuple]:
    """Repeat single values for every stage; refuse tuples of unequal length."""
    listed = {k: tuple(v) for k, v in settings.items() if isinstance(v, tuple | list)}
    lengths = Counter(len(values) for values in listed.values())
    num_stages = lengths.most_common(1)[0][0] if listed else 1
    for key, values in listed.items():
        if len(values) != num_stages:
            others = ", ".join(other for other in listed if len(listed[other]) == num_stages)
            raise SettingError(
                key,
                f"{key}={list(values)} must have {num_stages} entries, one per stage, as {others}",
            )
    return [listed.get(key, (value,) * num_stages) for key, value in settings.items()]


def check_stages(dims, depths, windows, mlp_ratios, stem_strides) -> None:
    """Refuse invalid per-stage settings."""
    check_positive("dims", *dims)
    check_positive("depths", *depths)
    check_positive("windows", *(side for window in windows for side in window))
    check_positive("stem_strides", *stem_strides)
    for ratio, dim in zip(mlp_ratios, dims, strict=True):
        check_ratio("mlp_ratios", ratio, dim)
    if any(wide % dim for dim, wide in pairwise(dims)):
        raise SettingError("dims", f"dims={list(dims)}: each must be a multiple of the one before")


def _create(variant: str, pretrained: bool, **kwargs) -> PosMlp:
    feature_cfg = dict(out_indices=None, feature_cls="getter")
    return build_model_with_cfg(PosMlp, variant, pretrained, feature_cfg=feature_cfg, **kwargs)


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
        "posmlp_tiny_224.untrained": _cfg(224, 7),
        "posmlp_small_224.untrained": _cfg(224, 7),
        "posmlp_base_224.untrained": _cfg(224, 7),
        "posmlp_xxs_28.untrained": _cfg(28, 7),
        "posmlp_xs_32.untrained": _cfg(32, 4),
    }
)


@register_model
def posmlp_tiny_224(pretrained: bool = False, **kwargs) -> PosMlp:
    """PosMLP-T, 20.9M parameters."""
    arch = dict(dims=(96, 192, 384, 768))
    return _create("posmlp_tiny_224", pretrained, **dict(arch, **kwargs))


@register_model
def posmlp_small_224(pretrained: bool = False, **kwargs) -> PosMlp:
    """PosMLP-S, 36.8M parameters."""
    arch = dict(dims=(128, 256, 512, 1024))
    return _create("posmlp_small_224", pretrained, **dict(arch, **kwargs))


@register_model
def posmlp_base_224(pretrained: bool = False, **kwargs) -> PosMlp:
    """PosMLP-B, 82.0M parameters; the widths are inferred from this count, not published."""
    arch = dict(dims=(192, 384, 768, 1536))
    return _create("posmlp_base_224", pretrained, **dict(arch, **kwargs))


@register_model
def posmlp_xxs_28(pretrained: bool = False, **kwargs) -> PosMlp:
    """Extra extra small for 28 x 28 images on CPUs: 14 x 14, then 7 x 7 tokens."""
    arch = dict(dims=(32, 64), depths=(2, 2), windows=(14, 7), mlp_ratios=(2, 2))
    arch |= dict(stem_strides=(2, 1), grouped=(8, 16))
    return _create("posmlp_xxs_28", pretrained, **dict(arch, **kwargs))


@register_model
def posmlp_xs_32(pretrained: bool = False, **kwargs) -> PosMlp:
    """Extra small for 32 x 32 images: 16 x 16 tokens in windows of 8, 8 x 8, 4 x 4."""
    arch = dict(dims=(48, 96, 192), depths=(2, 4, 2), windows=(8, 8, 4), mlp_ratios=(4, 4, 2))
    arch |= dict(stem_strides=(2, 1), grouped=(8, 16, 32))
    return _create("posmlp_xs_32", pretrained, **dict(arch, **kwargs))
