"""What the files of a run folder say, in MLflow's terms: params, tags, points.  No mlflow here."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import yaml

RESULTS = ("top1", "top5", "loss", "ema_top1", "ema_top5", "ema_loss", "train_loss")
COSTS = ("params", "token_mixing_params", "macs", "train_images_per_s", "wall_s")
MILLIONS = {"params": "params_m", "macs": "macs_m"}  # chart axes read better in millions
FACTS = ("code_version", "git_commit", "git_dirty", "device", "slurm_job_id")
LAST_COLUMN = "epoch_s"  # of history.csv; it is never empty
ARTIFACTS = ("config.yaml", "history.csv", "metrics.json")


class Mark(NamedTuple):
    """What tells one line from all others: an epoch may be done twice, after an interruption."""

    epoch: int
    time_ms: int


class Line(NamedTuple):
    """Metrics of one moment: a line of history.csv, or the final figures.

    MLflow stores an equal name, value, time and epoch once: sending a line again adds nothing.
    """

    mark: Mark
    values: dict[str, float]


def read_config(folder: Path) -> dict[str, Any]:
    """The resolved settings and the key of the run in `folder`."""
    path = folder / "config.yaml"
    if not path.exists():
        raise ValueError(f"{folder} is not a run folder: it has no config.yaml")
    return yaml.safe_load(path.read_text())


def read_facts(folder: Path) -> dict[str, Any]:
    """Where and when the run started (provenance.json); empty before it started."""
    path = folder / "provenance.json"
    return json.loads(path.read_text()) if path.exists() else {}


def read_metrics(folder: Path, key: str) -> dict[str, Any] | None:
    """The final figures; None while the run with this key is unfinished."""
    path = folder / "metrics.json"
    metrics = json.loads(path.read_text()) if path.exists() else {}
    return metrics if metrics.get("key") == key else None


def read_history(folder: Path) -> list[Line]:
    """Every complete line of history.csv; one still being written is left for the next time."""
    path = folder / "history.csv"
    text = path.read_text() if path.exists() else ""
    lines = text[: text.rfind("\n") + 1].splitlines()
    history = []
    for number, row in enumerate(csv.DictReader(lines), start=2):
        try:
            values = {name: float(value) for name, value in row.items() if value}
            mark = Mark(int(values.pop("epoch")), round(values.pop("time") * 1000))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path}, line {number}: a column is missing or is no number ({error})"
            ) from None
        history.append(Line(mark, values))
    return history


def run_identity(config: Mapping[str, Any]) -> str:
    """Unique to study, variant, seed and everything that determines the result."""
    return f"{cell_prefix(config)}{config['key']}"


def cell_prefix(config: Mapping[str, Any]) -> str:
    """What all runs of one cell of the study (variant x seed) have in common."""
    return f"{config['study']}/{config['variant']}/seed{config['seed']}/"


def run_params(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Every setting under its dotted name; what is not a string is written as JSON."""
    params = {}
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            params |= run_params(value, f"{prefix}{name}.")
        else:
            params[prefix + name] = _text(value)
    return params


def run_tags(
    config: Mapping[str, Any], facts: Mapping[str, Any], claim: str | None
) -> dict[str, str]:
    """What runs are filtered and grouped by; a fact that is not known has no tag."""
    model = config["model"]
    tags = {
        "posmlp.run": run_identity(config),
        "run_key": config["key"],
        "current": "true",
        **{name: config[name] for name in ("study", "variant", "seed")},
        **{name: model.get(name) for name in ("gate", "groups")},
        "backbone": model["name"],
        "data": config["data"]["name"],
        "claim": claim or None,
        "host": facts.get("hostname"),
        **{name: facts.get(name) for name in FACTS},
    }
    return {name: _text(value) for name, value in tags.items() if value is not None}


def final_line(metrics: Mapping[str, Any]) -> Line:
    """Results and costs of a finished run, dated at its end."""
    values = {f"final/{name}": metrics.get(name) for name in RESULTS}
    values |= {name: metrics.get(name) for name in COSTS}
    values |= {short: metrics[name] / 1e6 for name, short in MILLIONS.items() if name in metrics}
    known = {name: value for name, value in values.items() if value is not None}
    return Line(Mark(metrics["epochs"], milliseconds(metrics["finished_at"])), known)


def milliseconds(moment: str) -> int:
    """An ISO time as MLflow's milliseconds since 1970."""
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 1 and 1.0 are one setting with one key, and a param never changes
    return value if isinstance(value, str) else json.dumps(value)
