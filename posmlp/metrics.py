"""Every metric of a run, named once.

history.csv, metrics.json, runs.csv, curves.csv, tables, figures and MLflow take names, order and
printed form from here. A new metric of the network's predictions is one row of SCORES.

Torch is not imported: scores use methods of the tensors that they are given.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

SPLITS = ("test", "val")  # that a network is evaluated on after every epoch
WEIGHTS = ("", "ema_")  # the network's own weights, and their exponential moving average


@dataclass(frozen=True)
class Metric:
    """A number that a run records, under one name everywhere.

    Args:
        name: column in files, key in metrics.json, and MLflow's name.
        title: what tables and axes call it.
        unit: "%" for percentages, "" for a plain number.
        better: "higher", "lower", or "" where neither is.
        decimals: of the printed number.
    """

    name: str
    title: str
    unit: str = ""
    better: str = ""
    decimals: int = 0

    def text(self, value: float) -> str:
        """Format a value for people, without the unit."""
        return f"{value:,.{self.decimals}f}"


@dataclass(frozen=True)
class Score:
    """A metric of predictions: the mean over images of a number for each.

    Args:
        of_images: maps logits (B, classes) in float32 and labels (B,) to one number an image.
    """

    name: str
    title: str
    unit: str
    better: str
    decimals: int
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
    Score("loss", "cross-entropy", "", "lower", 4, cross_entropy),
    Score("top1", "top-1 accuracy", "%", "higher", 2, top_k(1)),
    Score("top5", "top-5 accuracy", "%", "higher", 2, top_k(5)),
)


def _evaluated(split: str, weights: str, score: Score) -> Metric:
    whose = "averaged weights, " if weights else ""
    images = {"test": "test images", "val": "validation images"}[split]
    return Metric(
        f"{weights}{split}_{score.name}",
        f"{score.title} ({whose}{images})",
        score.unit,
        score.better,
        score.decimals,
    )


EVALUATED = tuple(
    _evaluated(split, weights, score) for split in SPLITS for weights in WEIGHTS for score in SCORES
)
TRAIN_LOSS = Metric("train_loss", "training loss", "", "lower", 4)
SPEED = Metric("images_per_s", "training images per second", "", "higher")

# A row of history.csv.
EPOCH_METRICS = (
    Metric("epoch", "epoch"),
    Metric("time", "seconds since 1970", "s"),
    Metric("lr", "learning rate", decimals=6),
    TRAIN_LOSS,
    *EVALUATED,
    SPEED,
    Metric("epoch_s", "seconds of the epoch", "s", decimals=1),
)
# What metrics.json records of the last epoch, the network and the run; the speed is the median.
RUN_METRICS = (
    Metric("epochs", "epochs"),
    *EVALUATED,
    TRAIN_LOSS,
    Metric("params", "parameters", "", "lower"),
    Metric("token_mixing_params", "token-mixing parameters", "", "lower"),
    Metric("macs", "multiply-accumulates per image", "", "lower"),
    SPEED,
    Metric("wall_s", "seconds of training and testing", "s", decimals=1),
    Metric("num_train", "training images"),
    Metric("num_val", "validation images"),
    Metric("num_test", "test images"),
)
METRICS = {metric.name: metric for metric in (*EPOCH_METRICS, *RUN_METRICS)}
EPOCH_COLUMNS = tuple(metric.name for metric in EPOCH_METRICS)
RUN_COLUMNS = tuple(metric.name for metric in RUN_METRICS)
# Not the same in a repeated run; all other columns are.
TIMES = ("time", "images_per_s", "epoch_s", "wall_s")
# Recorded by every finished run; validation and averaged weights are a study's choice.
REQUIRED = ("test_top1", "test_top5", "test_loss", "train_loss", "params", "macs", "images_per_s")


def metric(name: str) -> Metric:
    """Look a metric up.

    Raises:
        ValueError: no such metric.
    """
    if name not in METRICS:
        raise ValueError(f"no metric is called {name!r}; allowed: {', '.join(METRICS)}")
    return METRICS[name]
