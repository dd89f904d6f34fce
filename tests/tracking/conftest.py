"""Run folders in the written format, a study that was really trained, and a migrated store."""

import json
import shutil
import socket
from pathlib import Path

import pytest
import yaml

from posmlp.metrics import EPOCH_COLUMNS
from posmlp.tracking.store import open_store
from posmlp.tracking.sync import sync_once

PROVENANCE = {
    "code_version": "c0de" * 4,
    "git_commit": "0123abc",
    "git_dirty": True,
    "hostname": "node1",
    "device": "cpu",
    "slurm_job_id": "77",
    "started_at": "2026-11-22T10:00:00+00:00",
    "first_started_at": "2026-11-22T10:00:00+00:00",
}
RECIPE = {"lr": 0.001, "opt": "adamw", "augment": {"shift": 1, "scale": [0.1, 1.0]}}


class RunFolder:
    """Writes the files of one run; `begun` (unix seconds) is when its first epoch ended."""

    def __init__(self, results, study, variant, seed, key="00000000000000aa", begun=1.8e9):
        self.path, self.begun = results / "runs" / study / variant / f"seed{seed}", begun
        self.path.mkdir(parents=True, exist_ok=True)
        self.names = {"study": study, "variant": variant, "seed": seed, "key": key}
        self.config = {
            **self.names,
            "data": {"name": "digits", "train_fraction": 1.0, "image_size": None},
            "model": {"name": "gmlp_posgu_xs1_8", "gate": "gqpe", "groups": 4, "psd": True},
            "recipe": RECIPE,
        }
        (self.path / "config.yaml").write_text(yaml.safe_dump(self.config))
        self.write_json("provenance.json", PROVENANCE | {"key": key})

    def write_json(self, name, values):
        (self.path / name).write_text(json.dumps(values))

    def rows(self, num_epochs):
        """Values that differ in every cell; columns of averaged weights are empty in even epochs,
        those of validation images always."""
        for epoch in range(num_epochs):
            row = {name: epoch / 7 + index for index, name in enumerate(EPOCH_COLUMNS)}
            row |= {name: None for name in row if "val_" in name}
            row |= {name: None for name in row if name.startswith("ema") and epoch % 2 == 0}
            yield row | {"epoch": epoch, "time": self.begun + epoch / 3}

    def write_history(self, num_epochs):
        lines = [",".join(EPOCH_COLUMNS)]
        for row in self.rows(num_epochs):
            lines.append(",".join("" if value is None else repr(value) for value in row.values()))
        (self.path / "history.csv").write_text("\n".join(lines) + "\n")
        return self

    def fail(self, error="diverged"):
        self.write_json("error.json", {"error": error, "time": "2026-11-22T10:00:30+00:00"})
        return self

    def finish(self, num_epochs=3, **metrics):
        self.write_history(num_epochs)
        self.metrics = {
            **{**self.names, "epochs": num_epochs},
            **{"test_top1": 97.5, "test_top5": 99.9, "test_loss": 0.125, "train_loss": 0.5},
            **{"ema_test_top1": None, "params": 1_250_000, "token_mixing_params": 640},
            **{"macs": 88_500_000, "num_train": 1437, "num_val": 0, "num_test": 360},
            **{"images_per_s": 1500.5, "wall_s": 9.5, "digests": {"train": "aa11", "test": "bb22"}},
            "finished_at": "2026-11-22T10:01:00.250+00:00",
            **metrics,
        }
        self.write_json("metrics.json", self.metrics)
        return self


@pytest.fixture(autouse=True)
def no_address(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="session")
def blank_database(tmp_path_factory):
    """A migrated SQLite store."""
    results = tmp_path_factory.mktemp("blank")
    with open_store(results, f"sqlite:///{results}/mlflow.db"):
        pass
    assert [path.name for path in results.iterdir()] == ["mlflow.db"]
    return results / "mlflow.db"


@pytest.fixture
def results(tmp_path, blank_database):
    """A results folder that holds an empty store."""
    folder = tmp_path / "results"
    folder.mkdir()
    shutil.copy(blank_database, folder / "mlflow.db")
    return folder


@pytest.fixture
def new_run(results):
    """Make a run folder at its place under results."""

    def make(variant="gqpe-s4", seed=0, study="digits", **kwargs):
        return RunFolder(results, study, variant, seed, **kwargs)

    return make


class Shown:
    """What a store shows of the trainings of a study."""

    def __init__(self, results, study="digits", uri=None):
        from mlflow import MlflowClient

        self.uri = uri or f"sqlite:///{results}/mlflow.db"
        self.client = MlflowClient(self.uri, self.uri)
        self.id = self.client.get_experiment_by_name(study).experiment_id
        self.runs = list(self.client.search_runs([self.id], order_by=["attributes.start_time"]))

    def points(self, run, name):
        history = self.client.get_metric_history(run.info.run_id, name)
        return sorted((point.step, point.timestamp, point.value) for point in history)


@pytest.fixture
def sync(results):
    """Sync the study digits, or the named one; gives its report and what is shown of it."""

    def run(study="digits"):
        (report,) = sync_once(results, [study])
        return report, Shown(results, study)

    return run


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
    from posmlp.analysis.main_table import write_main_table
    from posmlp.runs.execute import execute
    from posmlp.runs.interrupts import Interrupts
    from posmlp.study import load_study
    from posmlp.training.distributed import World

    folder = tmp_path_factory.mktemp("trained")
    (folder / "small.yaml").write_text(STUDY)
    (folder / "small.tsv").write_text(SHEET)
    study, results = load_study(folder / "small.yaml"), folder / "results"
    for run in study.runs():
        execute(run, results, folder, World(torch.device("cpu")), "posmlp train", Interrupts(10))
        (run.folder(results) / "figures").mkdir()
        (run.folder(results) / "figures/map.png").write_bytes(b"picture")
    here = results / "small"
    here.mkdir()
    runs = runs_frame(study, find_runs(study, results))
    write_frame(runs, here / "runs.csv")
    write_main_table(runs, study, here / "tables")
    write_comparison(study, runs, here / "comparison.json", here / "model_card.md")
    return results


@pytest.fixture(scope="session")
def study_shown(trained, blank_database, tmp_path_factory):
    """These results with a store that was synced once. For reading only."""
    folder = tmp_path_factory.mktemp("shown") / "results"
    shutil.copytree(trained, folder)
    shutil.copy(blank_database, folder / "mlflow.db")
    (report,) = sync_once(folder, uri=f"sqlite:///{folder}/mlflow.db")
    assert report.counts() == {"runs": 4, "finished": 4, "running": 0, "sent": 4, "failed": 0}
    return folder


@pytest.fixture
def study_results(study_shown, tmp_path, blank_database):
    """A copy of these results, whose chosen network is exported, with an empty store."""
    folder = tmp_path / "results"
    ignored = shutil.ignore_patterns("mlartifacts", "mlflow.db")
    shutil.copytree(study_shown, folder, ignore=ignored, dirs_exist_ok=True)
    shutil.copy(blank_database, folder / "mlflow.db")
    return folder


@pytest.fixture
def unused_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def files_under(folder):
    root = Path(folder.removeprefix("file://"))
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}
