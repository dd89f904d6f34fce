"""The metrics of a run.

history.csv, metrics.json, runs.csv, curves.csv, tables, figures and MLflow take names and order
from here. A new metric of predictions is one row of SCORES.

Torch is not imported: scores only use methods of their tensors.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Score:
    """A metric of predictions, averaged over images.

    Args:
        unit: "%" or "".
        of_images: maps logits (B, classes) in float32 and labels (B,) to a number per image.
    """

    name: str
    unit: str
    of_images: Callable[[Any, Any], Any]


def top_k(k: int) -> Callable[[Any, Any], Any]:
    """Score 100 where the label is among the k largest logits, 0 elsewhere."""

    def of_images(logits_BC: Any, labels_B: Any) -> Any:
        best_BK = logits_BC.topk(min(k, logits_BC.shape[1]), dim=1).indices
        return 100.0 * (best_BK == labels_B[:, None]).any(dim=1)

    return of_images


def cross_entropy(logits_BC: Any, labels_B: Any) -> Any:
    """Score the negative log-likelihood of the label, in nats."""
    return -logits_BC.log_softmax(dim=1).gather(1, labels_B[:, None])[:, 0]


SCORES = (
    Score("loss", "", cross_entropy),
    Score("top1", "%", top_k(1)),
    Score("top5", "%", top_k(5)),
)
SPLITS = ("test", "val")  # evaluated after each epoch
WEIGHTS = ("", "ema_")  # the network's own weights, and their exponential moving average
EVALUATED = {
    f"{weights}{split}_{score.name}": score
    for split in SPLITS
    for weights in WEIGHTS
    for score in SCORES
}
PERCENTAGES = [name for name, score in EVALUATED.items() if score.unit == "%"]
# Columns of history.csv; time is in seconds since 1970.
EPOCH_COLUMNS = ("epoch", "time", "lr", "train_loss", *EVALUATED, "images_per_s", "epoch_s")
# Metrics of the last epoch, the network and the run in metrics.json. images_per_s: median in
# training; macs: multiply-accumulates per image; wall_s: training and testing.
RUN_COLUMNS = (
    *("epochs", *EVALUATED, "train_loss", "params", "token_mixing_params", "macs"),
    *("images_per_s", "wall_s", "num_train", "num_val", "num_test"),
)
# These differ when a run is repeated; all others are the same.
TIMES = ("time", "images_per_s", "epoch_s", "wall_s")
# Recorded by every finished run; validation and averaged weights are optional.
REQUIRED = ("test_top1", "test_top5", "test_loss", "train_loss", "params", "macs", "images_per_s")
