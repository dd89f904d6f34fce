"""What the networks of finished runs have learned about mixing tokens: read, draw, measure."""

import zipfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import timm
import torch

from posmlp.analysis.figures.catalogue import draw_network, figures_from
from posmlp.analysis.granularity import granularities
from posmlp.layers import TokenMixing
from posmlp.runs.trained_run import WEIGHT_FILES, load_network
from posmlp.study import RunConfig, Study


@dataclass(frozen=True)
class LearnedRun:
    """The token-mixing layers of a finished run, before, during and after training.

    Attributes:
        layers, initial: layers by path, in network order; `initial` belongs to an untrained
            network, initialised with a fixed seed rather than the run's.
        trajectory: {name: values} of every centre and spread, named as in the network's state: the
            run's initialisation, then one entry per epoch. Empty for networks without quadratic
            encodings, and if none were recorded.
    """

    variant: str
    seed: int
    folder: Path
    layers: dict[str, TokenMixing]
    initial: dict[str, TokenMixing]
    trajectory: dict[str, np.ndarray]

    @property
    def title(self) -> str:
        return f"{self.variant}, seed {self.seed}"

    @cached_property
    def maps(self) -> dict[str, np.ndarray]:
        return {name: window_map(layer) for name, layer in self.layers.items()}

    @property
    def initial_maps(self) -> dict[str, np.ndarray]:
        return {name: window_map(layer) for name, layer in self.initial.items()}


def load_learned(run_folder: str | Path) -> LearnedRun:
    """Read a finished run with its raw (not averaged) weights."""
    folder = Path(run_folder)
    run = RunConfig.read(folder / "config.yaml")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the same initial layers every time
        initial = timm.create_model(**run.model_arguments())
    model = load_network(run, folder / WEIGHT_FILES["raw"])
    return LearnedRun(
        *(run.variant, run.seed, folder, token_mixers(model), token_mixers(initial)),
        read_trajectory(folder / "trajectory.npz"),
    )


def token_mixers(model: torch.nn.Module) -> dict[str, TokenMixing]:
    """A network's token-mixing layers, frozen."""
    layers = {n: m for n, m in model.named_modules() if isinstance(m, TokenMixing)}
    for layer in layers.values():
        layer.requires_grad_(False)
    return layers


def window_map(layer: TokenMixing) -> np.ndarray:
    """A layer's map (groups, h, w, h, w): the query's row and column, then the key's.

    Where each window has its own map, that of the first.
    """
    map_SNN = layer.token_map()
    if map_SNN.ndim == 4:
        map_SNN = map_SNN[0]
    return map_SNN.reshape(-1, *layer.window, *layer.window).float().numpy()


def read_trajectory(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of a run's trajectory.npz; none if there is no such file.

    Raises:
        ValueError: the file is damaged.
    """
    if not path.exists():
        return {}
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except (zipfile.BadZipFile, ValueError, EOFError, OSError) as error:
        raise ValueError(
            f"{path}: damaged ({error}); train this run again with `snakemake --forcerun train`"
        ) from None


def study_networks(study: Study, results: Path, figures: Path, num_processes: int) -> pd.DataFrame:
    """Draw the network of every variant's first seed, and measure those of all seeds.

    Returns:
        The granularities of all runs, in the order of the sheet, then by seed.
    """
    for entry in figures_from("network"):
        entry.function  # noqa: B018  imports its module once, before processes fork
    one = partial(_study_one, first_seed=study.seeds[0], results=results, figures=figures)
    with ProcessPoolExecutor(
        num_processes, get_context("fork"), torch.set_num_threads, (1,)
    ) as processes:
        return pd.concat(processes.map(one, study.runs()), ignore_index=True)


def _study_one(config: RunConfig, first_seed: int, results: Path, figures: Path) -> pd.DataFrame:
    run = load_learned(config.folder(results))
    if config.seed == first_seed:
        draw_network(run, figures)
    return granularities(run)
