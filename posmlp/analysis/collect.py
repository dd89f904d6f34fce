"""Gather the run folders of a study into two frames: one row a run, one row a run and epoch."""

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
from pyarrow import csv

from posmlp import metrics
from posmlp.study import RunConfig, Study

# What the study says of a run, its final figures, and where they came from. `command` and
# `hostname` stay in the run folder's provenance.json: runs.csv is made to be published.
SHEET_COLUMNS = (
    *("study", "variant", "seed", "claim", "against", "model_name", "gate", "groups"),
    *("other_settings", "key"),
)
METRIC_COLUMNS = (*metrics.RUN_COLUMNS, "token_mixing_params_per_layer", "data_digest")
PROVENANCE_COLUMNS = (
    *("code_version", "git_commit", "git_dirty", "python", "torch", "torchvision", "timm"),
    *("numpy", "cuda", "device", "cpu", "cpu_instructions", "num_threads", "slurm_job_id"),
    *("started_at", "finished_at"),
)
RUN_COLUMNS = (*SHEET_COLUMNS, *METRIC_COLUMNS, *PROVENANCE_COLUMNS)
CURVE_COLUMNS = ("variant", "seed", *metrics.EPOCH_COLUMNS)
TEXT_COLUMNS = {*SHEET_COLUMNS, *PROVENANCE_COLUMNS} - {"seed", "num_threads"}
TEXT_COLUMNS |= {"token_mixing_params_per_layer", "data_digest"}
# Types that need not be found out while reading, which takes twice the memory for long files.
_COLUMN_TYPES = {name: pyarrow.float64() for name in CURVE_COLUMNS}
_COLUMN_TYPES |= {name: pyarrow.string() for name in TEXT_COLUMNS}
_COLUMN_TYPES |= {name: pyarrow.int64() for name in ("seed", "epoch")}
REQUIRED_FIGURES = metrics.REQUIRED


_KEY_LINE = re.compile(r"^key: '?([0-9a-f]{16})'?$", re.MULTILINE)  # as RunConfig.to_yaml has it


class ResultsError(ValueError):
    """Run folders that do not hold what the study asks for."""


@dataclass(frozen=True)
class FinishedRun:
    """A run of the study and what its folder holds."""

    config: RunConfig
    folder: Path
    metrics: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.config.variant} seed {self.config.seed}"


def find_runs(
    study: Study, results_dir: str | Path, *, allow_missing: bool = False
) -> list[FinishedRun]:
    """Return the study's finished runs, in the order of the sheet, then by seed.

    Args:
        results_dir: the folder that holds runs/<study>/<variant>/seed<k>/.
        allow_missing: leave unfinished runs out instead of refusing.

    Raises:
        ResultsError: runs are missing, were trained with other settings or code, or hold figures
            that are not finite numbers.
    """
    runs = study.runs()
    finished = [
        FinishedRun(run, folder, json.loads((folder / "metrics.json").read_bytes()))
        for run in runs
        if ((folder := run.folder(results_dir)) / "metrics.json").exists()
    ]
    if not finished or (len(finished) < len(runs) and not allow_missing):
        raise _missing_runs(study.name, runs, finished)
    _check_keys(study.name, finished)
    _check_figures(finished)
    return finished


def runs_frame(study: Study, finished: Iterable[FinishedRun]) -> pd.DataFrame:
    """Return RUN_COLUMNS of every run that the study asks for, one row a run.

    Rows come in the order of the sheet, then by seed; a run that is not finished has no figures.
    `other_settings` lists what, apart from gate and groups, differs from the reference variant;
    `against` is empty where a variant is compared with the reference.
    """
    metrics = {(run.config.variant, run.config.seed): run.metrics for run in finished}
    reference = study.configs[study.reference].flat()
    rows = []
    for variant in study.variants:
        cells = _sheet_cells(study.configs[variant.name], reference)
        cells |= {"study": study.name, "claim": variant.claim, "against": variant.against}
        for seed in study.seeds:
            figures = metrics.get((variant.name, seed))
            if figures is None:
                figures = {"key": study.run(variant.name, seed).key}
            rows.append(_metric_cells(figures) | cells | {"seed": seed})
    return _typed(pd.DataFrame(rows, columns=RUN_COLUMNS))


def write_curves(finished: Iterable[FinishedRun], path: str | Path) -> None:
    """Write CURVE_COLUMNS of every run as CSV: its variant and seed before every line of history.

    The histories pass as they are, one at a time: nothing is parsed, so that no digit changes and
    thousands of runs take seconds and no memory.

    Raises:
        ResultsError: a history is missing or has other columns.
    """
    with Path(path).open("w", encoding="utf-8", newline="") as curves:
        curves.write(f"{','.join(CURVE_COLUMNS)}\n")
        for run in finished:
            prefix = f"{run.config.variant},{run.config.seed},"
            curves.writelines(f"{prefix}{line}\n" for line in _history_lines(run))


def _history_lines(run: FinishedRun) -> list[str]:
    """Return the lines of a run's history.csv below its header."""
    path = run.folder / "history.csv"
    try:
        header, *lines = path.read_text("utf-8").splitlines()
    except (FileNotFoundError, ValueError):
        header, lines = "", []
    if header != ",".join(CURVE_COLUMNS[2:]):
        raise ResultsError(
            f"{path}: should begin with the columns {', '.join(CURVE_COLUMNS[2:])}; it was written "
            "by another version or is not there. Train this run again: delete its metrics.json, "
            "then `snakemake`"
        )
    return lines


def write_frame(frame: pd.DataFrame, path: str | Path) -> None:
    """Write runs as CSV; floats are their shortest exact form, so bytes are stable."""
    frame.to_csv(path, index=False, lineterminator="\n", encoding="utf-8")


def read_frame(path: str | Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read runs.csv or curves.csv; names, keys and groups stay text though they look like numbers.

    An empty cell is "" in a column of text and NaN in a column of numbers.

    Args:
        columns: read these alone, in this order; None: all.

    Raises:
        ResultsError: the file is not there or damaged.
    """
    options = csv.ConvertOptions(
        column_types=_COLUMN_TYPES,
        null_values=[""],
        strings_can_be_null=False,
        include_columns=columns,
    )
    if not Path(path).exists():
        raise ResultsError(f"{path}: no such file; `snakemake` writes it when all runs are there")
    try:
        table = csv.read_csv(path, convert_options=options)
    except (OSError, ValueError) as error:
        raise ResultsError(
            f"{path}: cannot be read ({error}); delete it, `snakemake` writes it anew"
        ) from None
    # Arrow's columns are given up one by one, so that memory holds the numbers only once.
    return _typed(table.to_pandas(split_blocks=True, self_destruct=True))


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Make TEXT_COLUMNS text ("" where empty) and columns that are empty numbers (NaN)."""
    for name in frame:
        if name in TEXT_COLUMNS and (frame[name].dtype != "str" or frame[name].hasnans):
            frame[name] = frame[name].astype(object).where(frame[name].notna(), "").astype(str)
        elif name not in TEXT_COLUMNS and frame[name].dtype == object:
            frame[name] = pd.to_numeric(frame[name])
    return frame


def _sheet_cells(run: RunConfig, reference: dict[str, Any]) -> dict[str, Any]:
    settings = run.flat()
    groups = settings.get("model.groups", "")
    names = sorted((settings.keys() | reference.keys()) - {"model.gate", "model.groups"})
    changed = [name for name in names if settings.get(name) != reference.get(name)]
    return {
        "variant": run.variant,
        "model_name": settings["model.name"],
        "gate": settings.get("model.gate", ""),
        "groups": ",".join(map(str, groups)) if isinstance(groups, list) else str(groups),
        "other_settings": "; ".join(f"{name}={json.dumps(settings.get(name))}" for name in changed),
    }


def _metric_cells(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return figures as they stand in a table: a list is JSON text."""
    return {name: json.dumps(v) if isinstance(v, list) else v for name, v in metrics.items()}


def _missing_runs(study: str, runs: list[RunConfig], finished: list[FinishedRun]) -> ResultsError:
    done = {run.name for run in finished}
    seeds = defaultdict(list)
    for run in runs:
        if f"{run.variant} seed {run.seed}" not in done:
            seeds[run.variant].append(str(run.seed))
    lines = [f"  {variant}: seed {', '.join(numbers)}" for variant, numbers in seeds.items()]
    return ResultsError(
        f"study {study}: {len(runs) - len(finished)} of {len(runs)} runs are not finished "
        "(they have no metrics.json):\n" + "\n".join(lines) + "\nRun `snakemake` to train them."
    )


def _check_keys(study: str, finished: list[FinishedRun]) -> None:
    """Refuse folders whose config or final figures belong to another run key."""
    stale = []
    for run in finished:
        line = _KEY_LINE.search((run.folder / "config.yaml").read_text("utf-8"))
        keys = {"config.yaml": line and line[1], "metrics.json": run.metrics["key"]}
        asked = run.config.key
        found = [f"{file} has {key}" for file, key in keys.items() if key != asked]
        if found:
            found = " and ".join(found)
            stale.append(f"  {run.name}: {found}, the study asks for {asked}")
    if stale:
        raise ResultsError(
            f"study {study}: runs were trained with other settings or code than the study now "
            "asks for (their keys differ):\n" + "\n".join(stale) + "\n"
            "Train them again with `snakemake --forcerun train`, or restore the settings and code."
        )


def _check_figures(finished: list[FinishedRun]) -> None:
    """Refuse final figures that are absent, NaN or infinite (null is allowed without an EMA)."""
    bad = [
        f"  {run.name}: {name} is {value}"
        for run in finished
        for name, value in (dict.fromkeys(REQUIRED_FIGURES) | run.metrics).items()
        if (value is None and name in REQUIRED_FIGURES)
        or (isinstance(value, float) and not math.isfinite(value))
    ]
    if bad:
        raise ResultsError(
            "final figures in metrics.json must be finite numbers:\n" + "\n".join(bad) + "\n"
            "Train these runs again with `snakemake --forcerun train`."
        )
