"""What a network costs: parameters, those that mix tokens, and multiply-accumulates."""

import copy

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from posmlp.layers import TokenMixing


def num_parameters(module: nn.Module) -> int:
    """Count learnable numbers; buffers are not among them."""
    return sum(parameter.numel() for parameter in module.parameters())


def token_mixing_parameters(model: nn.Module) -> list[int]:
    """Count the parameters of every token-mixing layer: maps and biases, not the gate's norm."""
    return [num_parameters(m) for m in model.modules() if isinstance(m, TokenMixing)]


def multiply_accumulates(model: nn.Module, image_shape: tuple[int, int, int]) -> int:
    """Count an image's multiply-accumulates in the forward pass, which papers print as FLOPs.

    Matrix products and convolutions count, sums, activations and normalisation do not. The count is
    that of a second image in a batch, so what serves all images, making the maps, is no part of it.
    """
    without_numbers = copy.deepcopy(model).to("meta").eval()
    dtype, flops = next(model.parameters()).dtype, []
    for num_images in (1, 2):
        images = torch.zeros(num_images, *image_shape, device="meta", dtype=dtype)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            without_numbers(images)
        flops.append(counter.get_total_flops())
    return (flops[1] - flops[0]) // 2
