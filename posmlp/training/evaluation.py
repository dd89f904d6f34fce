"""The one evaluation loop, for training and for `posmlp released evaluate`."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from posmlp.metrics import SCORES
from posmlp.training.batches import Batches
from posmlp.training.distributed import World


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    batches: Batches,
    world: World,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
    after_batch: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Average every score over the images of all processes' batches.

    Args:
        autocast: context of the forward pass; scores are computed in float32.
        after_batch: called between batches; it may end the loop by an exception.

    Returns:
        Score by name (metrics.SCORES).
    """
    model.eval()
    sums = torch.zeros(len(SCORES) + 1, dtype=torch.float64, device=world.device)
    for images, labels in batches:
        with autocast():
            logits = model(images).float()
        totals = [score.of_images(logits, labels).sum().double() for score in SCORES]
        sums += torch.stack([*totals, labels.new_tensor(len(labels)).double()])
        after_batch()
    *totals, num = world.all_sum(sums).tolist()
    return {score.name: total / num for score, total in zip(SCORES, totals, strict=True)}
