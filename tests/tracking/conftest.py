"""A migrated store, run folders, and a study that was really trained."""

import shutil
import socket
from contextlib import ExitStack

import pytest
from samples import RunFolder, Shown

from posmlp.tracking.store import open_store
from posmlp.tracking.sync import sync_once
from posmlp.tracking.ui import HOST, start_server, stop_server, wait_until_up


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

    from posmlp.analysis.choice import write_choice
    from posmlp.analysis.collect import find_runs, runs_frame, write_frame
    from posmlp.analysis.main_table import write_tables
    from posmlp.analysis.statistics import Evidence
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
    write_tables(Evidence(study, runs), here / "tables")
    write_choice(Evidence(study, runs), here)
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


@pytest.fixture
def start(tmp_path):
    """Start tracking servers on a store and a port, as `posmlp ui` does; they end with the test."""
    servers = []

    def start_one(uri, port):
        log = stack.enter_context((tmp_path / f"{port}.log").open("w+"))
        servers.append(start_server(uri, tmp_path / "served", HOST, port, log))
        wait_until_up(servers[-1], f"http://{HOST}:{port}", log)
        return tmp_path / f"{port}.log"

    with ExitStack() as stack:
        yield start_one
        for server in servers:
            stop_server(server)
