"""What the files of a run folder say, in MLflow's terms: params, tags, points.  No mlflow here."""

from __future__ import annotations

import csv
import hashlib
import json
import shlex
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from posmlp.metrics import EVALUATED
from posmlp.study.run_config import recorded_values

RESULTS = (*(metric.name for metric in EVALUATED), "train_loss")
COSTS = ("params", "token_mixing_params", "macs", "images_per_s", "wall_s")
MILLIONS = {"params": "params_m", "macs": "macs_m"}  # chart axes read better in millions
FACTS = ("code_version", "git_commit", "git_dirty", "device", "slurm_job_id")
TAGS = (
    *("posmlp.run", "run_key", "current", "level", "study", "variant", "seed", "gate", "groups"),
    *("backbone", "data", "claim", "host", "command", "error", *FACTS),
    *("mlflow.source.git.commit", "mlflow.note.content"),
)
LAST_COLUMN = "epoch_s"  # of history.csv; it is never empty
ARTIFACTS = ("config.yaml", "history.csv", "metrics.json", "provenance.json", "requirements.txt")
ARTIFACTS += ("system.csv", "error.json", "figures/*.png")
SPLITS = {"train": "training", "val": "validation", "test": "testing"}  # MLflow's contexts


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


class State(NamedTuple):
    """How a run stands: MLflow's status, and when it ended (milliseconds since 1970)."""

    status: str
    end_ms: int | None


def read_config(folder: Path) -> dict[str, Any]:
    """The resolved settings and the key of the run in `folder`."""
    path = folder / "config.yaml"
    if not path.exists():
        raise ValueError(f"{folder} is not a run folder: it has no config.yaml")
    return recorded_values(path)


def read_facts(folder: Path) -> dict[str, Any]:
    """Where and when the run started (provenance.json); empty before it started."""
    return read_json(folder / "provenance.json")


def read_metrics(folder: Path, key: str) -> dict[str, Any] | None:
    """The final figures; None while the run with this key is unfinished."""
    metrics = read_json(folder / "metrics.json")
    return metrics if metrics.get("key") == key else None


def read_history(folder: Path) -> list[Line]:
    """Every complete line of history.csv; one still being written is left for the next time."""
    history = []
    for number, row in _complete_rows(folder / "history.csv"):
        try:
            values = _numbers(row)
            mark = Mark(int(values.pop("epoch")), round(values.pop("time") * 1000))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{folder / 'history.csv'}, line {number}: a column is missing or is no number "
                f"({error})"
            ) from None
        history.append(Line(mark, values))
    return history


def read_system(folder: Path) -> list[Line]:
    """Lines of system.csv, if the run wrote one; their step is their number."""
    lines = []
    for step, (_, row) in enumerate(_complete_rows(folder / "system.csv")):
        values = {f"system/{name}": value for name, value in _numbers(row).items()}
        lines.append(Line(Mark(step, round(values.pop("system/time") * 1000)), values))
    return lines


def read_study(run_folder: Path) -> dict[str, Any]:
    """What study.json says of the study of a run folder, <results>/runs/<study>/<variant>/seed<k>;
    empty where there is none.
    """
    study = run_folder.absolute().parents[1]
    return read_json(study.parents[1] / study.name / "study.json")


def state(folder: Path, key: str, *, alive: bool) -> State:
    """How a run stands by its files; `alive`: a process trains in the folder."""
    facts, metrics = read_facts(folder), read_metrics(folder, key)
    if metrics:
        return State("FINISHED", milliseconds(metrics["finished_at"]))
    if alive:
        return State("RUNNING", None)
    if failure := read_json(folder / "error.json"):
        return State("FAILED", milliseconds(failure["time"]))
    history = read_history(folder)
    started = milliseconds(facts["started_at"]) if "started_at" in facts else None
    return State("KILLED", history[-1].mark.time_ms if history else started)


def run_name(config: Mapping[str, Any], study: Mapping[str, Any]) -> str:
    """Sorts by the sheet, then by seed: "07 gqpe_s4 seed 1"."""
    seeds = [config["seed"], *study.get("seeds", [])]
    width = len(str(max(seeds)))
    return f"{variant_name(config['variant'], study)} seed {config['seed']:0{width}}"


def variant_name(variant: str, study: Mapping[str, Any]) -> str:
    """The variant after its place in the sheet, so that names sort by it."""
    names = [entry["name"] for entry in study.get("variants", [])]
    if variant not in names:
        return variant
    return f"{names.index(variant) + 1:0{len(str(len(names)))}} {variant}"


def run_identity(config: Mapping[str, Any]) -> str:
    """Unique to study, variant, seed and everything that determines the result."""
    return f"{cell_prefix(config)}{config['key']}"


def cell_prefix(config: Mapping[str, Any]) -> str:
    """What all runs of one cell of the study (variant x seed) have in common."""
    return f"{config['study']}/{config['variant']}/seed{config['seed']}/"


def run_params(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Every setting under its dotted name; what is not a string is written as JSON.

    Names and the key are tags: MLflow's pages draw the first params that differ.
    """
    params = {}
    for name, value in config.items():
        if not prefix and name in ("study", "variant", "key"):
            continue
        if isinstance(value, Mapping) and value:
            params |= run_params(value, f"{prefix}{name}.")
        else:
            params[prefix + name] = _text(value)
    return params


def run_tags(
    config: Mapping[str, Any], facts: Mapping[str, Any], study: Mapping[str, Any], error: str | None
) -> dict[str, str]:
    """What runs are filtered and grouped by, and their note; an unknown fact has no tag."""
    model = config["model"]
    claims = {entry["name"]: entry["claim"] for entry in study.get("variants", [])}
    command = repeating_command(facts.get("command", ""))
    tags = {
        "posmlp.run": run_identity(config),
        "run_key": config["key"],
        "current": "true",
        "level": "run",
        **{name: config[name] for name in ("study", "variant", "seed")},
        **{name: model.get(name) for name in ("gate", "groups")},
        "backbone": model["name"],
        "data": config["data"]["name"],
        "claim": claims.get(config["variant"]),
        "host": facts.get("hostname"),
        "command": command or None,
        "error": error,
        **{name: facts.get(name) for name in FACTS},
        "mlflow.source.git.commit": facts.get("git_commit"),  # the UI's column Version
        "mlflow.note.content": note(config, facts, claims.get(config["variant"]), error),
    }
    return {name: _text(value)[:8000] for name, value in tags.items() if value is not None}


def note(
    config: Mapping[str, Any], facts: Mapping[str, Any], claim: str | None, error: str | None
) -> str:
    """What the page of a run says in Markdown: what it tests and how it is repeated."""
    parts = [f"{config['variant']}, seed {config['seed']}, of the study {config['study']}."]
    if claim:
        parts.append(escaped(claim))
    if error:
        parts.append(f"Failed: {escaped(error)}")
    if command := repeating_command(facts.get("command", "")):
        commit = facts.get("git_commit")
        lines = [f"git checkout {commit}"] if commit else []
        parts.append("To repeat exactly this run:")
        parts.append("\n".join(f"    {line}" for line in [*lines, command]))
        if not commit:
            parts.append("The code was not in a git repository, so its commit is not known.")
        elif facts.get("git_dirty"):
            parts.append(
                "The tree had uncommitted changes: that commit alone may not repeat the run. The "
                f"digest of the code that trained is {facts['code_version']}."
            )
    parts.append("Versions: requirements.txt; machine and start: provenance.json (artifacts).")
    return "\n\n".join(parts)


def repeating_command(command: str) -> str:
    """The command of a run without the file that named its MLflow store then."""
    words = shlex.split(command)
    if "--store" in words:
        place = words.index("--store")
        has_value = len(words) > place + 1 and not words[place + 1].startswith("--")
        del words[place : place + 1 + has_value]
    return shlex.join(words)


def escaped(text: str) -> str:
    """Text from a study file as it stands, in Markdown and in HTML."""
    for sign in "\\`*_{}[]()#+-.!|~":
        text = text.replace(sign, f"\\{sign}")
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return " ".join(text.split())


def final_line(metrics: Mapping[str, Any], config: Mapping[str, Any]) -> Line:
    """Results and costs of a finished run, dated at its end."""
    values = {f"final/{name}": metrics.get(name) for name in RESULTS}
    values |= {name: metrics.get(name) for name in COSTS}
    values |= {short: metrics[name] / 1e6 for name, short in MILLIONS.items() if name in metrics}
    groups = config["model"].get("groups")
    values["groups"] = groups if isinstance(groups, int) else None  # an axis needs a number
    known = {name: value for name, value in values.items() if value is not None}
    return Line(Mark(metrics["epochs"], milliseconds(metrics["finished_at"])), known)


def milliseconds(moment: str) -> int:
    """An ISO time as MLflow's milliseconds since 1970."""
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


def read_json(path: Path) -> dict[str, Any]:
    """What a JSON file holds; nothing where there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def file_digest(path: Path) -> str:
    """16 hex digits of the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _complete_rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Rows of a CSV file with their line numbers, but for a last line that has no end yet."""
    text = path.read_text() if path.exists() else ""
    lines = text[: text.rfind("\n") + 1].splitlines()
    return list(enumerate(csv.DictReader(lines), start=2))


def _numbers(row: Mapping[str, str]) -> dict[str, float]:
    return {name: float(value) for name, value in row.items() if value}


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 1 and 1.0 are one setting with one key, and a param never changes
    return value if isinstance(value, str) else json.dumps(value)
