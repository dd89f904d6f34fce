"""What a network costs by every convention in which costs were published; no memory, no data."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import timm
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

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
    the released maps come from an einsum over all pairs of tokens (posmlp2D.py:94), where ours
    come from a table over offsets.
    """
    with torch.device("meta"):
        model = timm.create_model(network, **arguments)
    with norm_operations(model) as counted:
        macs = multiply_accumulates(model, IMAGE)
    fvcore = macs + sum(counted) + extra_map_macs(model)
    return {"params": num_parameters(model), "macs": macs, "fvcore": fvcore}


@contextmanager
def norm_operations(model: nn.Module) -> Iterator[list[int]]:
    """Collect what fvcore counts for every normalisation while the model runs."""
    counted = []

    def count(norm: nn.Module, inputs: tuple[torch.Tensor], _: torch.Tensor) -> None:
        kind = next(kind for kind in NORM_OPERATIONS if isinstance(norm, kind))
        counted.append(inputs[0].numel() * NORM_OPERATIONS[kind])

    norms = [m for m in model.modules() if isinstance(m, tuple(NORM_OPERATIONS))]
    hooks = [norm.register_forward_hook(count) for norm in norms]
    yield counted
    for hook in hooks:
        hook.remove()


def extra_map_macs(model: nn.Module) -> int:
    """Multiply-accumulates of the released `mnd,bd->bmn` over all pairs, less those of our maps."""
    extra = 0
    for mixer in model.modules():
        if isinstance(mixer, TokenMixing) and isinstance(mixer.position, Quadratic):
            num_pairs, num_dims = num_tokens(mixer.window) ** 2, len(mixer.window)
            squares = num_dims * (num_dims + 1) // 2 if mixer.position.spread.ndim > 1 else 1
            with torch.no_grad(), FlopCounterMode(display=False) as ours:
                mixer.position.scores()
            extra += num_pairs * mixer.groups * (num_dims + squares) - ours.get_total_flops() // 2
    return extra
