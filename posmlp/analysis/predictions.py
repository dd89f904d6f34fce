"""predictions.npz of a study: which test images each run classified correctly.

It gives contrasts their second interval, a crossed bootstrap over seeds and test images.
Shape letters: B replicates, V variants, R runs, N test images, Q contrasts.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

NUM_REPLICATES = 2_000
AT_ONCE = 200  # replicates per block; bounds the memory for sampled images


@dataclass(frozen=True)
class Hits:
    """The test images of a run and which of them it classified correctly."""

    images: str  # digest of the labels, in order
    correct: np.ndarray  # bool (N,)


Predictions = dict[tuple[str, int], Hits]  # by variant and seed


def read_run(path: Path) -> Hits:
    """Read the predictions.npz of a run folder.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        with np.load(path) as arrays:
            classes_N, labels_N = arrays["classes"], arrays["labels"]
        return Hits(sha256(labels_N.astype("<i8")).hexdigest()[:16], classes_N == labels_N)
    except Exception as error:  # zip, zlib and NumPy raise many types
        raise ValueError(f"{path.name}: damaged ({error})") from None


def write_predictions(predictions: Predictions, path: str | Path) -> None:
    """Write the hits of all runs, an array per run named variant/seed/images."""
    arrays = {f"{v}/{seed}/{hits.images}": hits.correct for (v, seed), hits in predictions.items()}
    np.savez_compressed(path, **arrays)


def read_predictions(path: str | Path) -> Predictions:
    """Read a file of write_predictions; empty if there is none, as with older versions.

    Raises:
        ValueError: the file is damaged.
    """
    if not Path(path).exists():
        return {}
    predictions = {}
    try:
        with np.load(path) as arrays:
            for name, correct_N in arrays.items():
                variant, seed, images = name.split("/")
                predictions[variant, int(seed)] = Hits(images, correct_N)
    except Exception as error:  # zip, zlib and NumPy raise many types
        raise ValueError(
            f"{path}: damaged ({error}); delete it and `snakemake` writes it again"
        ) from None
    return predictions


def crossed_bootstrap(
    predictions: Predictions, variants: list[str], signs_QV: np.ndarray, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile intervals (Q,), (Q,) of contrasts of accuracies, in points.

    Each replicate samples test images, the same for all runs on them, and K - 1 of each variant's K
    seeds, which makes the variance between seeds unbiased (Rao and Wu 1988). Seeds and images are
    crossed, so the interval is conservative if runs disagree about single images (Owen 2007).

    Args:
        signs_QV: coefficients of the contrasts; NaN for an unknown variant.

    Returns:
        Lower and upper ends; NaN if a variant has fewer than two runs with predictions.
    """
    accuracy_BV = replicates(predictions, variants)
    unknown_V = np.isnan(accuracy_BV).any(axis=0)
    known_Q = ~((signs_QV != 0) & unknown_V).any(axis=1) & np.isfinite(signs_QV).all(axis=1)
    difference_BQ = np.where(unknown_V, 0, accuracy_BV) @ np.where(known_Q, signs_QV.T, 0)
    ends_2Q = np.quantile(difference_BQ, [level / 2, 1 - level / 2], axis=0).round(9)
    low_Q, high_Q = np.where(known_Q, ends_2Q, np.nan)
    return low_Q, high_Q


def replicates(predictions: Predictions, variants: Iterable[str]) -> np.ndarray:
    """Accuracies (B, V) in per cent on resampled seeds and images, with a fixed random seed."""
    random = np.random.default_rng(0)
    by_run_B = {}
    for images in dict.fromkeys(hits.images for hits in predictions.values()):
        names = [name for name, hits in predictions.items() if hits.images == images]
        correct_RN = np.stack([predictions[name].correct for name in names])
        by_run_B |= zip(names, _on_drawn_images(correct_RN, random).T, strict=True)
    columns = []
    for variant in variants:
        runs_B = [values for (name, _), values in by_run_B.items() if name == variant]
        if len(runs_B) < 2:
            columns.append(np.full(NUM_REPLICATES, np.nan))
            continue
        seeds_BK = random.integers(len(runs_B), size=(NUM_REPLICATES, len(runs_B) - 1))
        columns.append(np.take_along_axis(np.stack(runs_B, axis=1), seeds_BK, axis=1).mean(axis=1))
    return np.stack(columns, axis=1)


def _on_drawn_images(correct_RN: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Accuracies (B, R) on test images sampled with replacement."""
    num = correct_RN.shape[1]
    hits_NR = correct_RN.T.astype(np.float32)  # sums of integers are exact on any machine
    drawn = []
    for first in range(0, NUM_REPLICATES, AT_ONCE):
        size = min(AT_ONCE, NUM_REPLICATES - first)
        images = random.integers(num, size=(size, num)) + num * np.arange(size)[:, None]
        counts_BN = np.bincount(images.ravel(), minlength=size * num).reshape(size, num)
        drawn.append(counts_BN.astype(np.float32) @ hits_NR)
    return 100 * np.concatenate(drawn).astype(float) / num
