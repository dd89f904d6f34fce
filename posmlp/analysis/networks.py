"""What the networks of all runs have learned: read by one process that forks over the cores."""

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
import torch

from posmlp.analysis.figures.catalogue import draw_network, figures_from
from posmlp.analysis.granularity import granularities
from posmlp.analysis.learned import load_learned
from posmlp.study import RunConfig, Study


def study_networks(study: Study, results: Path, figures: Path, num_processes: int) -> pd.DataFrame:
    """Draw the networks of every variant's first seed, and measure those of all seeds.

    Returns:
        The granularities of all runs, in the order of the sheet, then by seed.
    """
    for entry in figures_from("network"):
        entry.function  # noqa: B018  imported once, before processes fork
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
