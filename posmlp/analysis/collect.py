"""Collect the run folders of a study into runs.csv (a row per run) and curves.csv (per epoch)."""

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
from pyarrow import csv

from posmlp import metrics
from posmlp.analysis import granularity
from posmlp.analysis.predictions import Predictions, read_run
from posmlp.runs.reading import read_history, read_metrics
from posmlp.study import RunConfig, Study

# A run's settings, final metrics and provenance. `command` and `hostname` stay in the run folder's
# provenance.json, because runs.csv is meant to be published.
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
# Given types: inferring them would double the memory for reading long files.
_COLUMN_TYPES = dict.fromkeys(CURVE_COLUMNS, pyarrow.float64())
_COLUMN_TYPES |= dict.fromkeys(TEXT_COLUMNS, pyarrow.string())
_COLUMN_TYPES |= dict.fromkeys(("seed", "epoch"), pyarrow.int64())
# Columns of files that another version may have written.
_COLUMNS = {"runs.csv": RUN_COLUMNS, "curves.csv": CURVE_COLUMNS}
_COLUMNS["granularity.csv"] = granularity.COLUMNS

BLOCK = 1 << 20  # bytes of curves.csv to read at a time
MOST_LINES = 10  # in the list of an error


class ResultsError(ValueError):
    """Results that are missing, damaged or not those of the study."""


@dataclass(frozen=True)
class FinishedRun:
    """A finished run with its final metrics."""

    config: RunConfig
    folder: Path
    metrics: dict[str, Any]


def find_runs(study: Study, results: Path, *, allow_missing: bool = False) -> list[FinishedRun]:
    """Find the study's finished runs, in the order of the sheet, then by seed.

    Args:
        results: the folder with runs/<study>/<variant>/seed<k>/.
        allow_missing: skip unfinished runs, if at least one has finished.

    Raises:
        ResultsError: runs are missing, damaged, or of other settings or code; names the first.
    """
    finished, damaged, missing = [], [], defaultdict(list)
    for run in study.runs():
        folder = run.folder(results)
        if not os.path.lexists(folder / "metrics.json"):
            missing[run.variant].append(str(run.seed))
            continue
        try:
            finished.append(FinishedRun(run, folder, read_metrics(folder / "metrics.json")))
        except ValueError as error:
            damaged.append(f"{folder}/{error}")
    if damaged:
        raise _damaged(study.name, damaged)
    train = f"`snakemake --config study={study.name}` trains them"
    if missing and not (allow_missing and finished):
        num = f"{sum(map(len, missing.values()))} of {len(study.runs())}"
        lines = [f"{variant}: seed {', '.join(seeds)}" for variant, seeds in missing.items()]
        what = f"{num} runs are not finished (they have no metrics.json)"
        raise _refusal(study.name, what, lines, f"{train}.")
    keys = [(run.config.name, run.metrics["key"], run.config.key) for run in finished]
    lines = [
        f"{name}: metrics.json has key {found}, the study expects {key}"
        for name, found, key in keys
        if found != key
    ]
    if lines:
        what = "runs were trained with other settings or code than the study now has"
        raise _refusal(study.name, what, lines, f"{train} again; or restore the settings and code.")
    return finished


def first_of(lines: Sequence[str], indent: str = "  ") -> str:
    """The first MOST_LINES of a list, indented, and the number of others."""
    more = [f"and {len(lines) - MOST_LINES} more"] if len(lines) > MOST_LINES else []
    return "\n".join(f"{indent}{line}" for line in [*lines[:MOST_LINES], *more])


def _refusal(study: str, what: str, lines: Sequence[str], remedy: str) -> ResultsError:
    return ResultsError(f"study {study}: {what}:\n{first_of(lines)}\n{remedy}")


def _damaged(study: str, lines: Sequence[str]) -> ResultsError:
    remedy = (
        f"Delete the metrics.json of these runs; `snakemake --config study={study}` retrains them."
    )
    return _refusal(study, "damaged results", lines, remedy)


def runs_frame(study: Study, finished: Iterable[FinishedRun]) -> pd.DataFrame:
    """RUN_COLUMNS of all runs of the study, in the order of the sheet, then by seed.

    Unfinished runs have no metrics. `other_settings` lists the settings besides gate and groups
    that differ from the reference; `against` is empty for a variant compared with the reference.
    """
    found = {(run.config.variant, run.config.seed): run.metrics for run in finished}
    reference = study.configs[study.reference].flat()
    rows = []
    for variant in study.variants:
        cells = _sheet_cells(study.configs[variant.name], reference)
        cells |= {"study": study.name, "claim": variant.claim, "against": variant.against}
        for seed in study.seeds:
            values = found.get((variant.name, seed))
            if values is None:
                values = {"key": study.run(variant.name, seed).key}
            values = {k: json.dumps(v) if isinstance(v, list) else v for k, v in values.items()}
            rows.append(values | cells | {"seed": seed})
    return _typed(pd.DataFrame(rows, columns=RUN_COLUMNS))


def write_curves(finished: Iterable[FinishedRun], path: str | Path) -> None:
    """Write CURVE_COLUMNS of every run: variant and seed, then the line of history.csv, unchanged.

    Raises:
        ResultsError: a history is missing, damaged or incomplete.
    """
    damaged = []
    with Path(path).open("w", encoding="utf-8") as file:
        file.write(f"{','.join(CURVE_COLUMNS)}\n")
        for run in finished:
            prefix = f"{run.config.variant},{run.config.seed},"
            try:
                file.writelines(f"{prefix}{line}\n" for line in _history_lines(run))
            except ValueError as error:
                damaged.append(f"{run.folder}/{error}")
    if damaged:
        Path(path).unlink()
        raise _damaged(run.config.study, damaged)


def _history_lines(run: FinishedRun) -> list[str]:
    """The lines of a run's history.csv after its header."""
    path = run.folder / "history.csv"
    epochs = [row["epoch"] for row in read_history(path)]
    asked = run.config.recipe.num_epochs
    if epochs != list(range(asked)) or run.metrics["epochs"] != asked:
        raise ValueError(
            f"history.csv: ends with epochs {', '.join(map(str, epochs[-2:])) or 'none'}, counted "
            f"from 0; metrics.json has {run.metrics['epochs']} epochs, the recipe {asked}"
        )
    header, *lines = path.read_text("utf-8").splitlines()
    if header != ",".join(metrics.EPOCH_COLUMNS):
        raise ValueError(f"history.csv: columns should be {', '.join(metrics.EPOCH_COLUMNS)}")
    return lines


def collect_predictions(finished: Iterable[FinishedRun]) -> Predictions:
    """Collect the predictions.npz of all run folders that have one.

    Raises:
        ResultsError: a file is damaged.
    """
    predictions, damaged = {}, []
    for run in finished:
        path = run.folder / "predictions.npz"
        try:
            if path.exists():
                predictions[run.config.variant, run.config.seed] = read_run(path)
        except ValueError as error:
            damaged.append(f"{run.folder}/{error}")
    if damaged:
        raise _damaged(run.config.study, damaged)
    return predictions


def write_frame(frame: pd.DataFrame, path: str | Path) -> None:
    """Write a CSV with floats in their shortest exact form, so bytes are stable."""
    frame.to_csv(path, index=False, lineterminator="\n", encoding="utf-8")


def read_frame(path: str | Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read one of a study's tables; names, keys and groups that look like numbers stay text.

    An empty cell is "" in a text column and NaN in a numeric one.

    Args:
        columns: the columns to read, in this order; None: all.

    Raises:
        ResultsError: the file is missing, is damaged, or another version wrote it.
    """
    with _readable(path):
        table = csv.read_csv(path, convert_options=_conversion(columns))
    _check_columns(path, table.column_names, columns)
    # Frees Arrow's columns one by one, so memory holds the numbers only once.
    return _typed(table.to_pandas(split_blocks=True, self_destruct=True))


def read_curves(path: str | Path, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Read curves.csv in parts of whole variants, so that few of them are in memory at once.

    Raises:
        ResultsError: as read_frame does.
    """
    held = pd.DataFrame(columns=columns)
    with _readable(path):
        options = csv.ReadOptions(block_size=BLOCK)
        reader = csv.open_csv(path, options, convert_options=_conversion(columns))
        _check_columns(path, reader.schema.names, columns)
        for batch in reader:
            read = _typed(batch.to_pandas())
            held = pd.concat([held, read], ignore_index=True) if len(held) else read
            whole = held["variant"] != held["variant"].iat[-1]  # the last one may continue
            if whole.any():
                yield held[whole]
                held = held[~whole]
    yield held


@contextmanager
def _readable(path: str | Path) -> Iterator[None]:
    """Raise ResultsError for a missing or damaged file."""
    if not Path(path).exists():
        raise ResultsError(
            f"{path}: no such file; `snakemake` writes it when all runs have finished"
        )
    try:
        yield
    except ResultsError:
        raise
    except (OSError, ValueError, KeyError) as error:
        raise ResultsError(
            f"{path}: cannot be read ({error}); delete it and `snakemake` writes it again"
        ) from None


def _conversion(columns: Sequence[str] | None) -> csv.ConvertOptions:
    options = dict(column_types=_COLUMN_TYPES, null_values=[""], strings_can_be_null=False)
    return csv.ConvertOptions(**options, include_columns=columns)


def _check_columns(path: str | Path, found: Sequence[str], columns: Sequence[str] | None) -> None:
    known = _COLUMNS.get(Path(path).name, found)
    if wrong := set(found).symmetric_difference(known if columns is None else columns):
        raise ResultsError(
            f"{path}: written by another version: unknown or missing columns "
            f"{', '.join(sorted(wrong))}; allowed: {', '.join(known)}. Run `snakemake` to write it "
            "again"
        )


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Convert TEXT_COLUMNS to text ("" if empty) and other empty columns to numbers (NaN)."""
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
