"""What a network costs by every convention in which costs were published; no memory, no data."""

from collections.abc import Mapping
from typing import Any

import timm
import torch
from torch import nn

import posmlp.models  # noqa: F401  registers the backbones
from posmlp.layers import TokenMixing
from posmlp.layers.position import Quadratic, num_tokens
from posmlp.training.cost import multiply_accumulates, num_parameters

# What fvcore counts for a value that is normalised, in evaluation with weight and bias.
NORM_OPERATIONS = {nn.LayerNorm: 5, nn.BatchNorm2d: 2}
IMAGE = (3, 224, 224)


def costs(network: str, arguments: Mapping[str, Any]) -> dict[str, int]:
    """Count params, macs and fvcore of a timm model for one image of 224 x 224 pixels.

    macs: multiply-accumulates of matrix products and convolutions, as our runs record them.
    fvcore: fvcore's total of the same network built as released: it counts normalisation too, and
    the released maps come from an einsum over all pairs of tokens (posmlp2D.py:94).
    """
    with torch.device("meta"):
        model = timm.create_model(network, **arguments)
    macs = multiply_accumulates(model, IMAGE)
    fvcore = macs + norm_operations(model) + released_map_macs(model)
    return {"params": num_parameters(model), "macs": macs, "fvcore": fvcore}


def norm_operations(model: nn.Module) -> int:
    """Count what fvcore does for the normalisations of one image."""
    counted = []

    def count(norm: nn.Module, inputs: tuple[torch.Tensor], _: torch.Tensor) -> None:
        kind = next(kind for kind in NORM_OPERATIONS if isinstance(norm, kind))
        counted.append(inputs[0].numel() * NORM_OPERATIONS[kind])

    norms = [m for m in model.modules() if isinstance(m, tuple(NORM_OPERATIONS))]
    hooks = [norm.register_forward_hook(count) for norm in norms]
    with torch.no_grad():
        model.eval()(torch.zeros(1, *IMAGE, device="meta"))
    for hook in hooks:
        hook.remove()
    return sum(counted)


def released_map_macs(model: nn.Module) -> int:
    """Multiply-accumulates of the released `mnd,bd->bmn` over all pairs of tokens."""
    total = 0
    for mixer in model.modules():
        if isinstance(mixer, TokenMixing) and isinstance(mixer.position, Quadratic):
            num_pairs, num_dims = num_tokens(mixer.window) ** 2, len(mixer.window)
            squares = num_dims * (num_dims + 1) // 2 if mixer.position.spread.ndim > 1 else 1
            total += num_pairs * mixer.groups * (num_dims + squares)
    return total
