"""`posmlp train`: which GPUs each run gets, and how a run of several processes is started."""

import os
from argparse import Namespace
from pathlib import Path

import pytest
import yaml

from posmlp.runs import command


@pytest.fixture
def train(study_file, tmp_path, monkeypatch):
    """Train the long study's two runs at once; its children only write what they were given."""

    def note(kind):
        def write(given, *_):
            visible = os.environ.get("CUDA_VISIBLE_DEVICES")
            (tmp_path / f"{kind}-{os.getpid()}").write_text(f"{visible}: {given}")
            os._exit(0)

        return write

    def run(gpus=1, runs=(), launch=None, in_process=False):
        study = yaml.safe_load(study_file.read_text()) | {"gpus": gpus}
        study_file.write_text(yaml.safe_dump(study))
        monkeypatch.setattr(command, "import_for_training", lambda: None)
        monkeypatch.setattr(command, "train_run", note("run"))
        monkeypatch.setattr(command, "become", note("program"))
        options = dict(runs=list(runs), part=(1, 1), runs_at_once=2, launch=launch, threads=1)
        options |= dict(in_process=in_process, data_root=Path("data"), checkpoint_minutes=10.0)
        command.train_runs(
            Namespace(study=str(study_file), device="auto", results=tmp_path, **options)
        )
        kind = "program" if gpus > 1 else "run"
        return sorted(path.read_text() for path in tmp_path.glob(f"{kind}-*"))

    return run


@pytest.mark.parametrize(("visible", "held"), [("5,6", ["5", "6"]), ("5", ["5", "5"]), ("", None)])
def test_runs_that_train_at_once_are_spread_over_the_gpus(train, monkeypatch, visible, held):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = [line.partition(":")[0] for line in train()]
    assert found == (held or ["", ""])


def test_a_run_of_several_gpus_becomes_what_starts_its_processes(train, study_file, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    first, second = train(gpus=2, launch="srun --ntasks=2 python -m posmlp")
    words = f"['srun', '--ntasks=2', 'python', '-m', 'posmlp', 'train', '{study_file}', 'sgu/seed"
    assert first.startswith(f"4,5: {words}")
    assert second.startswith(f"6,7: {words}")
    assert first.endswith("'--in-process']")
