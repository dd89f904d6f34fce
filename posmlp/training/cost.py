"""Cost of a network: parameters, token-mixing parameters and multiply-accumulates."""

import copy

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from posmlp.layers import TokenMixing


def num_parameters(module: nn.Module) -> int:
    """Count parameters, without buffers."""
    return sum(parameter.numel() for parameter in module.parameters())


def token_mixing_parameters(model: nn.Module) -> list[int]:
    """Count the parameters of each token-mixing layer: maps and biases, not the gate's norm."""
    return [num_parameters(m) for m in model.modules() if isinstance(m, TokenMixing)]


def multiply_accumulates(model: nn.Module, image_shape: tuple[int, int, int]) -> int:
    """Count multiply-accumulates per image in the forward pass, which papers report as FLOPs.

    Only matrix products and convolutions are counted. The count is that of a second image in a
    batch, so it excludes work shared by all images, such as computing the maps.
    """
    without_numbers = copy.deepcopy(model).to("meta").eval()
    dtype, flops = next(model.parameters()).dtype, []
    for num_images in (1, 2):
        images = torch.zeros(num_images, *image_shape, device="meta", dtype=dtype)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            without_numbers(images)
        flops.append(counter.get_total_flops())
    return (flops[1] - flops[0]) // 2
