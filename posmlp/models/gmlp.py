"""Isotropic gMLP with any gating unit: timm's MlpMixer with PoSGU in place of SGU.

Papers: gMLP, arXiv 2105.08050; PosMLP, arXiv 2207.07284 (its abstract's 19.4M -> 18.2M is
gMLP-S/16 with SGU against a positional unit). With `gate="sgu"` the network is timm's
gmlp_s16_224: same parameters, same names, same logits.
"""

from functools import partial

import torch
from timm.layers import to_2tuple
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.mlp_mixer import MlpMixer, SpatialGatingBlock
from torch import nn

from posmlp.layers import SettingError
from posmlp.layers.gates import check_positive
from posmlp.models.default_cfg import default_cfg
from posmlp.models.gated_mlp import (
    check_ratio,
    default_groups,
    gated_mlp,
    positional_parameters,
)


class PosGmlp(MlpMixer):
    """gMLP whose blocks gate with `gate`; every token sees the whole image.

    Args:
        gate, groups, softmax, psd, bias, gate_norm, center_init, spread_init, bias_init: see
            posmlp.layers.GatingUnit; `groups=None` means `grouped`, the network's default, or 1
            for sgu.
        decay_position: apply weight decay to the positional parameters (released behaviour).
        Others: see timm's MlpMixer. All blocks have the same drop-path rate, as in the released
            runs.

    Raises:
        SettingError: a value is out of range, the patch does not divide the image, or as for
            GatingUnit.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        img_size: int | tuple[int, int] = 224,
        in_chans: int = 3,
        patch_size: int | tuple[int, int] = 16,
        num_blocks: int = 30,
        embed_dim: int = 256,
        mlp_ratio: float = 6.0,
        grouped: int = 32,
        gate: str = "gqpe",
        groups: int | None = None,
        softmax: bool | None = None,
        psd: bool | None = None,
        bias: bool = True,
        gate_norm: bool | None = None,
        center_init: float | None = None,
        spread_init: float | None = None,
        bias_init: float | None = None,
        decay_position: bool = False,
        drop_rate: float = 0.0,
        proj_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        global_pool: str = "avg",
    ) -> None:
        img_size, patch_size = to_2tuple(img_size), to_2tuple(patch_size)
        check_shape(img_size, patch_size, num_blocks, embed_dim)
        check_ratio("mlp_ratio", mlp_ratio, embed_dim)
        if global_pool not in ("", "avg"):
            raise SettingError("global_pool", f"global_pool={global_pool!r}; allowed: avg")
        unit = dict(
            window=(img_size[0] // patch_size[0], img_size[1] // patch_size[1]),
            gate=gate,
            groups=default_groups(gate, grouped) if groups is None else groups,
            softmax=softmax,
            psd=psd,
            bias=bias,
            gate_norm=gate_norm,
            center_init=center_init,
            spread_init=spread_init,
            bias_init=bias_init,
        )
        super().__init__(
            num_classes=num_classes,
            img_size=img_size,
            in_chans=in_chans,
            patch_size=patch_size,
            num_blocks=num_blocks,
            embed_dim=embed_dim,
            mlp_ratio=mlp_ratio,
            block_layer=SpatialGatingBlock,
            mlp_layer=gated_mlp(unit),
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            drop_rate=drop_rate,
            proj_drop_rate=proj_drop_rate,
            drop_path_rate=drop_path_rate,
            global_pool=global_pool,
        )
        self.decay_position = decay_position

    @torch.jit.ignore
    def no_weight_decay(self) -> set[str]:
        """Names of the parameters without weight decay, which would flatten the maps."""
        return set() if self.decay_position else positional_parameters(self)


def check_shape(
    img_size: tuple[int, int], patch_size: tuple[int, int], num_blocks: int, embed_dim: int
) -> None:
    """Refuse sizes that are not positive integers, and patches that do not divide the image."""
    check_positive("img_size", *img_size)
    check_positive("patch_size", *patch_size)
    check_positive("num_blocks", num_blocks)
    check_positive("embed_dim", embed_dim)
    if img_size[0] % patch_size[0] or img_size[1] % patch_size[1]:
        image, patch = (f"{height}x{width}" for height, width in (img_size, patch_size))
        raise SettingError("img_size", f"img_size={image} must be a multiple of the patch {patch}")


def _create(variant: str, pretrained: bool, **kwargs) -> PosGmlp:
    feature_cfg = dict(out_indices=3, feature_cls="getter")
    return build_model_with_cfg(PosGmlp, variant, pretrained, feature_cfg=feature_cfg, **kwargs)


_cfg = partial(
    default_cfg,
    crop_pct=0.875,
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    first_conv="stem.proj",
    classifier="head",
)

default_cfgs = generate_default_cfgs(
    {
        "gmlp_posgu_s16_224.untrained": _cfg(224),
        "gmlp_posgu_xs1_8.untrained": _cfg(8),
        "gmlp_posgu_xxs2_28.untrained": _cfg(28),
        "gmlp_posgu_xxs4_32.untrained": _cfg(32),
        "gmlp_posgu_xs4_32.untrained": _cfg(32),
    }
)


@register_model
def gmlp_posgu_s16_224(pretrained: bool = False, **kwargs) -> PosGmlp:
    """gMLP-S/16, 14 x 14 tokens; the network of the paper's abstract."""
    return _create("gmlp_posgu_s16_224", pretrained, **kwargs)


@register_model
def gmlp_posgu_xs1_8(pretrained: bool = False, **kwargs) -> PosGmlp:
    """Extra small, 8 x 8 tokens of one pixel, for 8 x 8 images."""
    arch = dict(patch_size=1, num_blocks=3, embed_dim=32, mlp_ratio=2, grouped=16)
    return _create("gmlp_posgu_xs1_8", pretrained, **dict(arch, **kwargs))


@register_model
def gmlp_posgu_xxs2_28(pretrained: bool = False, **kwargs) -> PosGmlp:
    """Extra extra small, 14 x 14 tokens of 2 x 2 pixels, for 28 x 28 images on CPUs."""
    arch = dict(patch_size=2, num_blocks=4, embed_dim=32, mlp_ratio=2, grouped=16)
    return _create("gmlp_posgu_xxs2_28", pretrained, **dict(arch, **kwargs))


@register_model
def gmlp_posgu_xxs4_32(pretrained: bool = False, **kwargs) -> PosGmlp:
    """Extra extra small, 8 x 8 tokens of 4 x 4 pixels, for 32 x 32 images on CPUs.

    191,850 parameters with sgu and 10 classes, 8.7 % of which mix tokens; 16 groups of gqpe have
    8.9 % fewer. In gMLP-S/16 these shares are 6.0 and 6.1 %.
    """
    arch = dict(patch_size=4, num_blocks=4, embed_dim=96, mlp_ratio=3, grouped=16)
    return _create("gmlp_posgu_xxs4_32", pretrained, **dict(arch, **kwargs))


@register_model
def gmlp_posgu_xs4_32(pretrained: bool = False, **kwargs) -> PosGmlp:
    """Extra small, 8 x 8 tokens of 4 x 4 pixels, for 32 x 32 images.

    1,278,792 parameters with sgu and 200 classes, 3.9 % of which mix tokens; 32 groups of gqpe have
    4.1 % fewer.
    """
    arch = dict(patch_size=4, num_blocks=12, embed_dim=128, mlp_ratio=4, grouped=32)
    return _create("gmlp_posgu_xs4_32", pretrained, **dict(arch, **kwargs))
