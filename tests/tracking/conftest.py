"""Run folders in the written format, a study that was really trained, and a migrated store."""

import json
import shutil
import socket

import pytest
import yaml

from posmlp.tracking import init_store

COLUMNS = (
    *("lr", "train_loss", "test_loss", "test_top1", "test_top5"),
    *("ema_test_loss", "ema_test_top1", "ema_test_top5", "images_per_s", "epoch_s"),
)
PROVENANCE = {
    "code_version": "c0de" * 4,
    "git_commit": "0123abc",
    "git_dirty": True,
    "hostname": "node1",
    "device": "cpu",
    "slurm_job_id": "77",
    "started_at": "2026-11-22T10:00:00+00:00",
    "first_started_at": "2026-11-22T10:00:00+00:00",
    "command": "python -m posmlp train --study digits --variant x --seed 0 --store s.json",
}


class RunFolder:
    """Writes the files of one run; `begun` (unix seconds) is when its first epoch ended."""

    def __init__(self, path, variant="gqpe-s4", seed=0, key="00000000000000aa", begun=1.8e9):
        self.path, self.begun = path, begun
        path.mkdir(parents=True, exist_ok=True)
        self.names = {"study": "digits", "variant": variant, "seed": seed, "key": key}
        self.config = {
            **self.names,
            "data": {"name": "digits", "train_fraction": 1.0, "image_size": None},
            "model": {"name": "gmlp_posgu_xs1_8", "gate": "gqpe", "groups": 4, "psd": True},
            "recipe": {"lr": 0.001, "opt": "adamw", "augment": {"shift": 1, "scale": [0.1, 1.0]}},
        }
        self.write_config()
        (path / "provenance.json").write_text(json.dumps({**PROVENANCE, "key": key}))

    def write_config(self):
        (self.path / "config.yaml").write_text(yaml.safe_dump(self.config))

    def rows(self, num_epochs):
        """Values that differ in every cell; EMA columns are empty in even epochs."""
        for epoch in range(num_epochs):
            row = {name: epoch / 7 + index for index, name in enumerate(COLUMNS)}
            row |= {name: None for name in COLUMNS if name.startswith("ema") and epoch % 2 == 0}
            yield {"epoch": epoch, "time": self.begun + epoch / 3, **row}

    def write_history(self, num_epochs):
        lines = [",".join(("epoch", "time", *COLUMNS))]
        for row in self.rows(num_epochs):
            lines.append(",".join("" if value is None else repr(value) for value in row.values()))
        (self.path / "history.csv").write_text("\n".join(lines) + "\n")
        return self

    def fail(self, error="diverged"):
        failure = {"error": error, "time": "2026-11-22T10:00:30+00:00"}
        (self.path / "error.json").write_text(json.dumps(failure))
        return self

    def finish(self, num_epochs=3, **figures):
        self.write_history(num_epochs)
        self.metrics = {
            **self.names,
            **{
                "epochs": num_epochs,
                "test_top1": 97.5,
                "test_top5": 99.9,
                "test_loss": 0.125,
                "train_loss": 0.5,
            },
            **{"ema_test_top1": None, "ema_test_top5": None, "ema_test_loss": None},
            **{"params": 1_250_000, "token_mixing_params": 640, "macs": 88_500_000},
            **{"token_mixing_params_per_layer": [320, 320], "num_train": 1437, "num_test": 360},
            **{"images_per_s": 1500.5, "wall_s": 9.5, "data_digest": "d1"},
            **PROVENANCE,
            "digests": {"train": "aa11", "test": "bb22"},
            "finished_at": "2026-11-22T10:01:00.250+00:00",
            **figures,
        }
        (self.path / "metrics.json").write_text(json.dumps(self.metrics))
        return self


@pytest.fixture(scope="session")
def blank_database(tmp_path_factory):
    """A migrated SQLite store, made as `make reproduce` makes it."""
    results = tmp_path_factory.mktemp("blank")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        init_store("any", results=results)
    assert [path.name for path in results.iterdir()] == ["mlflow.db"]
    return results / "mlflow.db"


@pytest.fixture
def results(tmp_path, blank_database, monkeypatch):
    """A results folder that holds a store."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "results"
    folder.mkdir()
    shutil.copy(blank_database, folder / "mlflow.db")
    return folder


@pytest.fixture
def store(results):
    return init_store("digits", "Which gate?", results=results)


@pytest.fixture
def client(store):
    from mlflow import MlflowClient

    return MlflowClient(store.uri)


@pytest.fixture
def new_run(results):
    """Makes a run folder at its place under results."""

    def make(variant="gqpe-s4", seed=0, **kwargs):
        path = results / "runs" / "digits" / variant / f"seed{seed}"
        return RunFolder(path, variant, seed, **kwargs)

    return make


@pytest.fixture
def new_study(results):
    """Writes study.json, what MLflow says of the study before it has results."""

    def make(variants, claims=None, seeds=(0, 1), title="A title", question="A question?"):
        claims = claims or [f"claim of {name}" for name in variants]
        folder = results / "digits"
        folder.mkdir(exist_ok=True)
        named = [{"name": n, "claim": c} for n, c in zip(variants, claims, strict=True)]
        facts = {"name": "digits", "title": title, "question": question, "seeds": list(seeds)}
        (folder / "study.json").write_text(json.dumps(facts | {"variants": named}))
        return folder

    return make


STUDY = """\
title: A | tiny <i>study</i>
question: Does *it* show?
data: {name: digits, train_fraction: 0.1, validation: 0.2}
model: {name: gmlp_posgu_xs1_8, gate: sgu}
recipe: {epochs: 2, batch_size: 32, lr: 1e-2, weight_decay: 0.05}
seeds: [0, 1]
reference: sgu
"""
SHEET = """\
variant\tclaim\tmodel.gate\tmodel.groups
sgu\tThe <script>alert(1)</script> reference\t\t
gqpe_s4\tA *form*\tgqpe\t4
"""


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Results of a study of four short runs, as the workflow leaves them before `sync`."""
    import torch

    from posmlp.analysis.collect import find_runs, runs_frame, write_frame
    from posmlp.analysis.comparison import write_comparison
    from posmlp.analysis.figures.draw import draw_run
    from posmlp.analysis.main_table import write_main_table
    from posmlp.analysis.statistics import rule_of, summarise
    from posmlp.runs.execute import execute
    from posmlp.runs.watch import Watch
    from posmlp.study import load_study
    from posmlp.training.distributed import World

    folder = tmp_path_factory.mktemp("trained")
    (folder / "small.yaml").write_text(STUDY)
    (folder / "small.tsv").write_text(SHEET)
    study, results = load_study(folder / "small.yaml"), folder / "results"
    for run in study.runs():
        world = World(torch.device("cpu"))
        execute(run, results, folder, world, f"python -m posmlp train {run.name}", Watch(10))
        draw_run(run.folder(results))
    here = results / "small"
    here.mkdir()
    facts = {"name": "small", "title": study.title, "question": study.question, "seeds": [0, 1]}
    facts["variants"] = [{"name": v.name, "claim": v.claim} for v in study.variants]
    (here / "study.json").write_text(json.dumps(facts))
    runs = runs_frame(study, find_runs(study, results))
    write_frame(runs, here / "runs.csv")
    summary = summarise(runs, study.reference, rule_of(study))
    write_main_table(summary, rule_of(study), study.title, here / "tables")
    write_comparison(study, runs, here / "comparison.json", here / "model_card.md")
    return results


@pytest.fixture
def study_results(trained, tmp_path, blank_database, monkeypatch):
    """A copy of these results with an empty store."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "results"
    shutil.copytree(trained, folder)
    shutil.copy(blank_database, folder / "mlflow.db")
    return folder


@pytest.fixture
def sync_study():
    """Brings the small study of a results folder to MLflow, as the workflow does."""
    from posmlp.tracking.study import sync

    def run(results, uri=None):
        store = init_store("small", results=results, uri=uri)
        return store, sync(sorted(results.glob("runs/small/*/seed*")), store, results / "small")

    return run


@pytest.fixture
def unused_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
