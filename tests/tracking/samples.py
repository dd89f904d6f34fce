"""Run folders in the written format, and what a store shows of them."""

import json
from pathlib import Path

import yaml

from posmlp.metrics import EPOCH_COLUMNS

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


def files_under(folder):
    root = Path(folder.removeprefix("file://"))
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}
