"""Evaluation: average scores and predicted classes."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

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
        after_batch: called after each batch; it may end the loop by an exception.

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


@torch.inference_mode()
def predict(
    model: nn.Module,
    batches: Any,
    world: World,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
) -> tuple[Tensor, Tensor]:
    """Predict the class of every image of all processes' batches, in stored order.

    Every process of the run must call this at once. Unreadable images are left out.

    Returns:
        Predicted and true classes, int64 (N,) each, on the CPU.
    """
    model.eval()
    pairs = []
    for images, labels in batches:
        with autocast():
            logits = model(images).float()
        # topk breaks ties between logits as the top-1 score does.
        pairs.append(torch.stack([logits.topk(1, dim=1).indices[:, 0], labels]))
    own_2n = torch.cat(pairs, dim=1)
    # Each process has every world.size-th image; 0 marks images that could not be read.
    all_2N = own_2n.new_zeros(2, batches.num_images)
    all_2N[:, world.rank :: world.size][:, : own_2n.shape[1]] = own_2n + 1
    all_2N = world.all_sum(all_2N).cpu()
    classes_N, labels_N = all_2N[:, all_2N[0] > 0] - 1
    return classes_N, labels_N
