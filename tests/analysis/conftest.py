"""A study of three variants, its run folders, and summaries shaped like the shipped studies."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from posmlp.analysis.collect import CURVE_COLUMNS
from posmlp.analysis.learned import LearnedRun
from posmlp.analysis.statistics import summarise
from posmlp.layers import TokenMixing
from posmlp.study import RunConfig, Study, load_study

STUDY = """\
title: A study of three
question: does it add up?
data: {name: digits}
model: {name: gmlp_posgu_xs1_8, gate: gqpe}
recipe: {epochs: 2, batch_size: 64, lr: 1e-3, weight_decay: 0.05}
seeds: [0, 1, 2]
reference: sgu
"""
SHEET = """\
variant\tclaim\tmodel.gate\tmodel.groups\tmodel.softmax
sgu\tbaseline\tsgu\t\t
gqpe_s4\tbetter\tgqpe\t4\t
gqpe_s4_nosoftmax\tneeds softmax\tgqpe\t4\tfalse
"""


@pytest.fixture
def study(tmp_path: Path) -> Study:
    (tmp_path / "three.yaml").write_text(STUDY)
    (tmp_path / "three.tsv").write_text(SHEET)
    return load_study(tmp_path / "three.yaml")


@pytest.fixture
def finish_run(tmp_path: Path) -> Callable[..., Path]:
    """Write what a finished run leaves in its folder; keywords replace final metrics."""

    def finish(run: RunConfig, **values) -> Path:
        folder = run.folder(tmp_path / "results")
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(run.to_yaml())
        values = final_metrics(run) | values
        (folder / "metrics.json").write_text(json.dumps(values))
        with (folder / "history.csv").open("w", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(CURVE_COLUMNS[2:])
            rest = [99.9, *[""] * 9, 5_000.5, 6.125]
            rows.writerow([0, 1763800000.25, 9e-4, 2.25, 1.5, 20 + run.seed, *rest])
            rows.writerow([1, 1763800001.5, 1e-4, 0.3, 0.1, values["test_top1"], *rest])
        return folder

    return finish


def final_metrics(run: RunConfig) -> dict:
    names = {"study": run.study, "variant": run.variant, "seed": run.seed, "key": run.key}
    values = {"epochs": 2, "test_top1": 97.0 + run.seed / 3, "test_top5": 99.9, "test_loss": 0.1}
    averages = {"ema_test_top1": None, "ema_test_top5": None, "ema_test_loss": None}
    sizes = {"params": 52_528, "token_mixing_params": 176, "macs": 4_380_000}
    layers = {"token_mixing_params_per_layer": [88, 88]}
    speed = {"train_loss": 0.3, "images_per_s": 5_000.5, "wall_s": 12.25}
    data = {"num_train": 1297, "num_test": 500, "data_digest": "0012"}
    code = {"code_version": "12e4", "git_commit": None, "git_dirty": True, "num_threads": 1}
    texts = {"command": "posmlp train", "hostname": "node01", "torch": "2.11.0"}
    texts |= dict.fromkeys(("started_at", "finished_at"), "2026-11-27T10:00:00+00:00")
    return names | values | averages | sizes | layers | speed | data | code | texts


@pytest.fixture
def finished(study: Study, finish_run: Callable[..., Path], tmp_path: Path) -> Path:
    """Finish all runs of the study and return the results folder."""
    for run in study.runs():
        finish_run(run)
    return tmp_path / "results"


def runs_of(top1: dict[str, list[float]], **columns) -> pd.DataFrame:
    """Return a runs frame with the given accuracies by variant, seeds counted from 0."""
    row = {"claim": "", "model_name": "gmlp_posgu_xs1_8", "gate": "gqpe", "groups": "4"}
    row |= {"other_settings": "", "params": 1_000, "token_mixing_params": 20, "macs": 2_000_000}
    row |= {"token_mixing_params_per_layer": "[10, 10]", "ema_test_top1": np.nan}
    row |= {"against": "", "images_per_s": 100.0, "num_test": 10_000, "test_loss": 0.5}
    row |= {"num_train": 5_000} | columns
    rows = [
        row | {"variant": variant, "seed": seed, "test_top1": accuracy}
        for variant, accuracies in top1.items()
        for seed, accuracy in enumerate(accuracies)
    ]
    return pd.DataFrame(rows)


@pytest.fixture(scope="session")
def digits_summary() -> pd.DataFrame:
    """The summary of a made-up study: a sweep of groups, and switches on gqpe and lrpe."""
    rows = [
        ("sgu", "sgu", "", ""),
        ("fc_lrpe", "fc_lrpe", "1", ""),
        ("fc_gqpe", "fc_gqpe", "1", ""),
    ]
    rows += [(f"{g}_s{s}", g, str(s), "") for g in ("lrpe", "qpe", "gqpe") for s in (1, 4, 16)]
    rows += [
        (f"{gate}_s{s}_{switch}", gate, str(s), f"model.{switch}=false")
        for gate in ("gqpe", "lrpe")
        for s in (4, 16)
        for switch in ("softmax", "psd", "bias", "norm")
    ]
    random = np.random.default_rng(0)
    table = {"sgu": 4096, "lrpe": 225, "qpe": 3, "gqpe": 6, "fc_lrpe": 4321, "fc_gqpe": 4102}
    frames = []
    for variant, gate, count, other in rows:
        mixing = 6 * (table[gate] * int(count or 1) + 64)
        accuracies = random.normal(97 - 3 * ("softmax" in other), 0.3, size=3)
        sizes = {"params": 52_000 + mixing, "token_mixing_params": mixing}
        names = {"gate": gate, "groups": count, "other_settings": other}
        frames.append(runs_of({variant: accuracies.tolist()}, **names, **sizes))
    return summarise(pd.concat(frames, ignore_index=True), "sgu")


@pytest.fixture(scope="session", name="runs_of")
def runs_of_fixture() -> Callable[..., pd.DataFrame]:
    return runs_of


def learned_run(
    layers: list[dict], num_epochs: int = 0, folder: Path = Path("no folder")
) -> LearnedRun:
    """Return a made-up run of layers with these arguments, and a trajectory of so many epochs."""
    generator = torch.Generator().manual_seed(0)
    learned, initial, trajectory = {}, {}, {}
    for number, arguments in enumerate(layers):
        name = f"blocks.{number}.proj"
        layer, start = (TokenMixing(**arguments).requires_grad_(False) for _ in range(2))
        for parameter in layer.parameters():
            parameter += 0.5 * torch.randn(parameter.shape, generator=generator)
        learned[name], initial[name] = layer, start
        written = num_epochs and hasattr(layer.position, "center")
        for part in ("center", "spread") if written else ():
            ends = [getattr(found.position, part).numpy() for found in (start, layer)]
            trajectory[f"{name}.position.{part}"] = np.linspace(*ends, num_epochs + 1)
    return LearnedRun("gqpe_s4", 1, folder, learned, initial, trajectory)


@pytest.fixture(scope="session", name="learned_run")
def learned_run_fixture() -> Callable[..., LearnedRun]:
    return learned_run
