"""Costs of a network in each convention that published costs use; needs no memory or data."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import timm
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import posmlp.models  # noqa: F401  registers the backbones
from posmlp.layers import TokenMixing
from posmlp.layers.position import Quadratic, num_tokens
from posmlp.training.cost import multiply_accumulates, num_parameters

IMAGE = (3, 224, 224)


def costs(network: str, arguments: Mapping[str, Any]) -> dict[str, int]:
    """Count params, macs and fvcore of a timm model for one image of 224 x 224 pixels.

    macs: multiply-accumulates of matrix products and convolutions, as our runs record them.
    fvcore: fvcore's total for the released network, which adds normalisation and the einsum over
    all pairs of tokens that builds the released maps (posmlp2D.py:94).
    """
    with torch.device("meta"):
        model = timm.create_model(network, **arguments)
    macs = multiply_accumulates(model, IMAGE)
    fvcore = macs + norm_operations(model) + released_map_macs(model)
    return {"params": num_parameters(model), "macs": macs, "fvcore": fvcore}


def norm_operations(model: nn.Module) -> int:
    """Count normalisation as fvcore does in evaluation: 5 a value in LayerNorm, 2 in BatchNorm."""

    def per_value(num: int) -> Callable[..., int]:
        return lambda shape, *_, **__: num * math.prod(shape)

    aten = torch.ops.aten
    norms = {aten.native_layer_norm: per_value(5), aten.native_batch_norm: per_value(2)}
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=norms) as counter:
        model.eval()(torch.zeros(1, *IMAGE, device="meta"))
    counts = counter.get_flop_counts()["Global"]
    return sum(counts.get(norm, 0) for norm in norms)


def released_map_macs(model: nn.Module) -> int:
    """Multiply-accumulates of the released `mnd,bd->bmn` over all pairs of tokens."""
    total = 0
    for mixer in model.modules():
        if isinstance(mixer, TokenMixing) and isinstance(mixer.position, Quadratic):
            num_pairs, num_dims = num_tokens(mixer.window) ** 2, len(mixer.window)
            squares = num_dims * (num_dims + 1) // 2 if mixer.position.spread.ndim > 1 else 1
            total += num_pairs * mixer.groups * (num_dims + squares)
    return total
