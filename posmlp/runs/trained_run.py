"""TrainedRun and load_run: the network of a finished run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

import posmlp.models  # noqa: F401  registers them with timm
from posmlp.runs.reading import read_json
from posmlp.study import RunConfig

Weights = Literal["raw", "ema"]
WEIGHT_FILES: Mapping[Weights, str] = {"raw": "model.safetensors", "ema": "ema.safetensors"}


class RunError(ValueError):
    """A folder without a finished run; the message says what to do."""


@dataclass(frozen=True)
class TrainedRun:
    """A trained network in evaluation mode, its settings and its final metrics.

    Attributes:
        network: takes normalised images; `classifier` takes pixels.
        metrics: the content of metrics.json.
    """

    config: RunConfig
    network: nn.Module
    metrics: dict[str, Any]

    @property
    def classifier(self) -> nn.Module:
        """Normalisation and network: maps pixels 0 to 255, (B, C, H, W), to logits."""
        from torchvision.transforms import Normalize

        normalise = Normalize(self.metrics["pixel_mean"], self.metrics["pixel_std"])
        return nn.Sequential(normalise, self.network).eval()


def load_run(folder: str | Path, weights: Weights = "raw") -> TrainedRun:
    """Load the network of a finished run onto the CPU.

    Args:
        folder: results/runs/<study>/<variant>/seed<k>.
        weights: `raw`, on which results are based, or `ema`, their moving average.

    Raises:
        ValueError: the run does not exist, is not finished, or its files are damaged.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise RunError(
            f"{folder}: no such folder. Runs are in results/runs/<study>/<variant>/seed<k>; "
            "trained networks are not in git, so train the study first (make reproduce)"
        )
    if not (folder / "config.yaml").is_file():
        raise RunError(f"{folder}: has no config.yaml, so it is not the folder of a run")
    config = RunConfig.read(folder / "config.yaml")
    try:
        metrics = read_json(folder / "metrics.json")
    except ValueError as error:
        raise RunError(f"{folder}/{error}") from None
    if not metrics:
        raise RunError(
            f"{folder}: the run is not finished (no metrics.json); start the study again to "
            "resume it"
        )
    return TrainedRun(config, load_network(config, folder / WEIGHT_FILES[weights]), metrics)


def load_network(config: RunConfig, weights: Path) -> nn.Module:
    """Build a run's network with saved weights, in evaluation mode; uses no random numbers.

    Raises:
        RunError: the file is missing, damaged, or of another network.
    """
    if not weights.is_file():
        raise RunError(f"{weights}: no such file; the run was trained without these weights")
    with torch.random.fork_rng(devices=[]):  # initial weights, replaced at once
        network = timm.create_model(**config.model_arguments())
    try:
        network.load_state_dict(load_file(weights))
    except (OSError, SafetensorError) as error:
        raise RunError(f"{weights}: cannot be read ({error}); train this run again") from None
    except RuntimeError:
        raise RunError(
            f"{weights}: does not fit {config.model['name']} as config.yaml and this version "
            "define it; train this run again"
        ) from None
    return network.eval()
