"""RunPayload: what MLflow shows of a run, read from its folder. Does not import mlflow."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from glob import glob
from pathlib import Path
from typing import Any

from posmlp.code_version import PACKAGE, code_digest
from posmlp.markup import escaped, printable
from posmlp.metrics import EPOCH_COLUMNS, RUN_COLUMNS
from posmlp.runs.reading import milliseconds, read_bytes, read_history, read_json, read_metrics
from posmlp.study.run_config import dotted, recorded_values
from posmlp.tracking.store import masked
from posmlp.tracking.study_files import StudyFiles

# Metrics logged once, when a run has finished. Others are series by epoch, whose last point is the
# final value; images_per_s is both: its last point is the median over epochs, as in the tables.
FINAL = (*(name for name in RUN_COLUMNS if name not in EPOCH_COLUMNS), "images_per_s")
OF_AN_EPOCH = tuple(name for name in EPOCH_COLUMNS if name not in ("epoch", "time"))
FACTS = ("code_version", "git_commit", "git_dirty", "device", "slurm_job_id")
DIGEST_TAG = "posmlp.digest"  # of the files at the last sync
LINES_TAG = "posmlp.lines"  # number of Lines sent so far
FILES = ("config.yaml", "history.csv", "metrics.json", "provenance.json", "error.json")
FILES += ("requirements.txt", "figures/*.png")
LONGEST_TAG = 8000
COMMAND = "posmlp train {study} {variant}/seed{seed}"
# Epoch, time in milliseconds and metrics: a row of history.csv, or the finished run.
Line = tuple[int, int, dict[str, float]]


@dataclass(frozen=True)
class RunPayload:
    """Everything that MLflow shows of a run except its files."""

    identity: str  # study/variant/seed0/key
    name: str
    status: str  # RUNNING, FINISHED, FAILED or KILLED
    start_ms: int | None
    end_ms: int | None  # None while RUNNING
    params: dict[str, str]
    tags: dict[str, str]
    lines: list[Line]  # one per epoch, and one for the finished run
    datasets: list[tuple[str, str, int]]  # split, digest, number of images; of finished runs
    data: dict[str, Any]


def cell_of(folder: Path) -> str:
    """The part of the identity that all trainings in a folder share: "study/variant/seed0/"."""
    return "/".join(folder.absolute().parts[-3:]) + "/"


def files_digest(folder: Path, study: StudyFiles, *, alive: bool) -> str:
    """Digest everything that read_run and the artifacts depend on, without parsing it."""
    variant = folder.parent.name
    seeds = study.facts.get("seeds")
    facts = study.variant_name(variant), study.claims.get(variant), seeds, alive, _code_digest()
    digest = hashlib.sha256(f"{cell_of(folder)} {facts}".encode())
    for path in run_files(folder):
        digest.update(f"\n{path.relative_to(folder)} ".encode())
        digest.update(hashlib.sha256(read_bytes(path)).digest())
    return digest.hexdigest()[:16]


def run_files(folder: Path) -> list[Path]:
    """The files of a run that MLflow shows; broken links count as files."""
    return [folder / file for name in FILES for file in sorted(glob(name, root_dir=folder))]


def read_run(folder: Path, study: StudyFiles, *, alive: bool) -> RunPayload:
    """Read a run folder.

    Args:
        alive: whether a process is training in it now.

    Raises:
        ValueError: a file is damaged; the message names it.
    """
    config = read_config(folder)
    provenance, error = (read_json(folder / f"{name}.json") for name in ("provenance", "error"))
    lines = read_lines(folder / "history.csv")
    metrics = read_finished(folder, config["key"], len(lines))
    start_ms, last_start_ms = (
        milliseconds(provenance[name]) if provenance.get(name) else None
        for name in ("first_started_at", "started_at")
    )
    if metrics:
        status, end_ms = "FINISHED", milliseconds(metrics["finished_at"])
        values = {name: metrics[name] for name in FINAL if metrics.get(name) is not None}
        lines.append((metrics["epochs"], end_ms, values))
    elif alive:
        status, end_ms = "RUNNING", None
    elif error:
        status, end_ms = "FAILED", milliseconds(error["time"])
    else:
        status, end_ms = "KILLED", lines[-1][1] if lines else last_start_ms
    identity, variant = f"{cell_of(folder)}{config['key']}", config["variant"]
    digests = metrics.get("digests", {})
    return RunPayload(
        identity=identity,
        name=study.run_name(variant, config["seed"]),
        status=status,
        start_ms=start_ms or last_start_ms,
        end_ms=end_ms,
        params=run_params(config),
        tags=run_tags(identity, config, provenance, study.claims.get(variant), error.get("error")),
        lines=lines,
        datasets=[(split, digest, metrics[f"num_{split}"]) for split, digest in digests.items()],
        data=config["data"],
    )


def read_config(folder: Path) -> dict[str, Any]:
    """Read the resolved settings and the key, and check that they belong to this folder."""
    try:
        config = recorded_values(folder / "config.yaml")
    except ValueError as error:
        raise ValueError(str(error).replace(f"{folder}/", "")) from None
    cell = "{study}/{variant}/seed{seed}/".format(**config)
    if cell != cell_of(folder):
        raise ValueError(f"config.yaml: belongs to another folder, {cell}")
    return config


def read_finished(folder: Path, key: str, num_epochs: int) -> dict[str, Any]:
    """Read metrics.json and check that it fits config.yaml and history.csv; empty if unfinished."""
    if not os.path.lexists(folder / "metrics.json"):
        return {}
    metrics = read_metrics(folder / "metrics.json")
    if metrics["key"] != key:
        raise ValueError(f"metrics.json: key {metrics['key']} differs from {key} in config.yaml")
    if metrics["epochs"] != num_epochs:
        raise ValueError(f"history.csv: has {num_epochs} of {metrics['epochs']} epochs")
    return metrics


def read_lines(path: Path) -> list[Line]:
    """The rows of a history.csv; none where there is no file yet."""
    return [
        (
            int(row["epoch"]),
            round(row["time"] * 1000),
            {name: row[name] for name in OF_AN_EPOCH if row.get(name) is not None},
        )
        for row in (read_history(path) if os.path.lexists(path) else [])
    ]


def run_params(config: Mapping[str, Any]) -> dict[str, str]:
    """Every setting under its dotted name; values that are not strings as JSON.

    Names and the key become tags instead: MLflow's pages draw the first params that differ.
    """
    names = ("study", "variant", "key")
    return {name: _text(value) for name, value in dotted("", config) if name not in names}


def run_tags(
    identity: str,
    config: Mapping[str, Any],
    provenance: Mapping[str, Any],
    claim: str | None,
    error: str | None,
) -> dict[str, str]:
    """Tags to filter and group runs by, and the note; unknown facts have no tag."""
    model = config["model"]
    tags = {
        "posmlp.run": identity,
        "run_key": config["key"],
        "current": "true",
        **{name: config[name] for name in ("study", "variant", "seed")},
        **{name: model.get(name) for name in ("gate", "groups")},
        "backbone": model["name"],
        "data": config["data"]["name"],
        "claim": claim,
        "host": provenance.get("hostname"),
        "command": COMMAND.format(**config),
        "error": error,
        **{name: provenance.get(name) for name in FACTS},
        "mlflow.source.git.commit": provenance.get("git_commit"),  # the UI's column Version
    }
    known = {name: printable(_text(value)) for name, value in tags.items() if value is not None}
    commit = f"    git checkout {known['git_commit']}\n" if "git_commit" in known else ""
    note = [escaped(claim or ""), f"Failed: {escaped(error)}" if error else ""]
    note.append(f"To repeat this run:\n\n{commit}    {known['command']}")
    known["mlflow.note.content"] = "\n\n".join(filter(None, note))
    return {name: masked(value)[:LONGEST_TAG] for name, value in known.items()}


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 1 and 1.0 have one key, and MLflow refuses to change a param
    return value if isinstance(value, str) else json.dumps(value)


@cache
def _code_digest() -> str:
    return code_digest(PACKAGE, ("tracking",))
