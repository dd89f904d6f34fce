"""Committed results, made again: files by Snakemake, a sample of runs by training.

`posmlp check-results` copies what was collected from the runs of every study into a work folder,
lets Snakemake make there what comes from it, and compares bytes. Then it retrains a few runs of
each study and compares their numbers; docs/statistics.md gives the tolerance.
"""

import hashlib
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pandas as pd

from posmlp import metrics
from posmlp.analysis.collect import (
    METRIC_COLUMNS,
    ResultsError,
    collect_predictions,
    find_runs,
    read_frame,
    runs_frame,
    write_curves,
)
from posmlp.analysis.documents import documents, renew
from posmlp.analysis.granularity import COLUMNS, granularities
from posmlp.analysis.learned import load_learned
from posmlp.analysis.predictions import Predictions, read_predictions
from posmlp.analysis.statistics import pooled_std
from posmlp.runs.execute import SAME_MACHINE
from posmlp.runs.reading import is_finished
from posmlp.study import RunConfig, Study, load_study

TABLES = ("runs.csv", "curves.csv", "granularity.csv")
PREDICTIONS = "predictions.npz"
RULES = ("tables", "figures", "checks", "studies_figures", "audit")
STUDY_FILES = ("tables/*", "figures/*", "checks.md", "study.json", "model_card.md")
STUDY_FILES += ("results.md", "results.tex")
PROJECT_FILES = ("audit/*.csv", "audit/*.md", "figures/*")
TEXTS = (".csv", ".json", ".md", ".tex")
DEVIATIONS = 3  # of the difference between two seeds, allowed on another machine
RUN_NUMBERS = [c for c in METRIC_COLUMNS if c not in metrics.TIMES]
CURVE_NUMBERS = [c for c in metrics.EPOCH_COLUMNS if c not in ("epoch", *metrics.TIMES)]

Tables = dict[str, pd.DataFrame]  # by name of file
say = partial(print, flush=True)


def check_results(
    names: Sequence[str], results: Path, data_root: Path, sample: int, seed: int
) -> int:
    """Print what differs from the committed results; return the number of differences.

    Args:
        names: studies, or paths of study files; none: every study with a runs.csv, and what
            belongs to no study.
        sample: runs to retrain per study, drawn by `seed`.

    Raises:
        ValueError: there is no such study, or its tables are missing or of another version.
    """
    studies = [load_study(name) for name in names or committed_studies(results)]
    tables = {study.name: read_tables(results / study.name) for study in studies}
    work = Path(tempfile.mkdtemp(prefix="posmlp-check-results-"))
    copy_tables(results, work)
    differences = []
    for study in studies:
        say(f"{study.name}: making tables, figures and texts from its runs")
        logs = make_files(study, work, project=not names)
        folders = results / study.name, work / "results" / study.name
        found = compare_files(*folders, STUDY_FILES)
        differences += found + ([f"{study.name}: {logs}"] if found and logs else [])
    if not names:
        differences += compare_files(results, work / "results", PROJECT_FILES)
        differences += stale_documents(results)
    for study in studies:
        runs = draw_runs(study, tables[study.name]["runs.csv"], sample, seed)
        if runs:
            differences += retrain(study, tables[study.name], runs, work / "trained", data_root)
    say("\n".join([*differences, f"differences: {len(differences)}"]))
    if differences:
        say(f"What was made again is in {work}")
    else:
        shutil.rmtree(work)
    return len(differences)


def committed_studies(results: Path) -> list[str]:
    """Names of the studies that have a runs.csv."""
    if names := sorted(path.parent.name for path in results.glob("*/runs.csv")):
        return names
    raise ResultsError(
        f"{results}: no study here has a runs.csv; `make reproduce` makes it, and --results names "
        "another folder"
    )


def read_tables(folder: Path) -> Tables:
    tables = {name: read_frame(folder / name) for name in TABLES}
    return tables | {PREDICTIONS: digests(read_predictions(folder / PREDICTIONS))}


def digests(predictions: Predictions) -> pd.DataFrame:
    """A row per run, which differs where it classifies any image otherwise."""
    rows = [
        (*run, hashlib.sha256(hits.correct.tobytes()).hexdigest()[:16])
        for run, hits in predictions.items()
    ]
    return pd.DataFrame(rows, columns=["variant", "seed", "correct"])


def copy_tables(results: Path, work: Path) -> None:
    """Prepare a folder in which Snakemake finds its configuration and every study's tables."""
    work.mkdir(exist_ok=True)
    for name in ("config", "workflow"):
        (work / name).symlink_to(Path(name).absolute())
    for name in (*TABLES, PREDICTIONS):
        for path in results.glob(f"*/{name}"):
            copy = work / "results" / path.relative_to(results)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)


def make_files(study: Study, work: Path, *, project: bool) -> str:
    """Make a study's files, and the project's; what Snakemake printed, where a rule failed."""
    runs = work / "results/runs"
    runs.mkdir(exist_ok=True)
    (runs / f".{study.name}.collected").touch()  # stands for the run folders
    targets = RULES if project else [rule for rule in RULES if rule != "audit"]
    command = [sys.executable, "-m", "snakemake", *targets, "--allowed-rules", *RULES]
    command += ["--snakefile", str(Path("Snakefile").absolute()), "--directory", str(work)]
    command += ["--cores", "2", "--keep-going", "--workflow-profile", "none"]
    command += ["--quiet", "host", "reason", "rules", "progress"]
    command += ["--config", f"study={study.files[0].absolute()}", "results=results"]
    command += ["tracking=false", "device=cpu"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout.strip() if done.returncode else ""


def compare_files(committed: Path, made: Path, patterns: Sequence[str]) -> list[str]:
    """Compare files that match the patterns, below either folder; return what differs."""
    names = {
        path.relative_to(folder)
        for folder in (committed, made)
        for pattern in patterns
        for path in folder.glob(pattern)
        if path.is_file() and not path.name.startswith(".")
    }
    found = {name: difference(committed / name, made / name) for name in sorted(names)}
    different = [f"{committed / name}: {text}" for name, text in found.items() if text]
    say(f"{committed}: {len(names)} files compared, {len(different)} differ")
    return different


def difference(committed: Path, made: Path) -> str:
    """Say how two files differ, of texts the first differing line; "" where bytes are equal."""
    if not committed.exists():
        return "is not committed, but can be made"
    if not made.exists():
        return "was not made"
    old, new = committed.read_bytes(), made.read_bytes()
    if old == new:
        return ""
    if committed.suffix not in TEXTS:
        return f"bytes differ from {made}"
    texts = (content.decode(errors="replace").split("\n") for content in (old, new))
    pairs = enumerate(zip_longest(*texts, fillvalue=""), start=1)
    number, (first, second) = next((n, pair) for n, pair in pairs if pair[0] != pair[1])
    return f"line {number}: committed {first!r}, now {second!r}"


def stale_documents(results: Path) -> list[str]:
    """README and docs whose generated passages are not what the results say."""
    return [
        f"{path}: generated passages are stale; renew them: `posmlp docs`"
        for path in documents(Path())
        if renew(text := path.read_text("utf-8"), results, Path("config/studies")) != text
    ]


def draw_runs(study: Study, runs: pd.DataFrame, number: int, seed: int) -> list[RunConfig]:
    """Draw so many of the finished runs of the present settings and code, or all there are."""
    finished = set(runs["key"][runs["test_top1"].notna()])
    there = [run for run in study.runs() if run.key in finished]
    if len(there) < len(finished):
        others = f"{len(finished) - len(there)} of {len(finished)} runs"
        say(f"{study.name}: {others} are of other settings or code and are not retrained")
    return random.Random(f"{seed} {study.name}").sample(there, min(number, len(there)))


def retrain(
    study: Study, committed: Tables, runs: list[RunConfig], results: Path, data_root: Path
) -> list[str]:
    """Train runs into a results folder of their own; return what differs from the tables."""
    options = ["--results", str(results), "--data-root", str(data_root)]
    file = str(study.files[0])
    prepare = [sys.executable, "-m", "posmlp", "prepare", file, *options]
    done = subprocess.run(prepare, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        say(f"{study.name}: not retrained: {done.stderr.strip()}")
        return []
    say(f"{study.name}: retraining {', '.join(run.name for run in runs)}")
    row = rows_of(committed["runs.csv"], runs[0]).iloc[0]
    command = [sys.executable, "-m", "posmlp", "train", file]
    command += [f"{run.variant}/seed{run.seed}" for run in runs]
    command += [*options, "--runs-at-once", "1", "--threads", f"{row['num_threads']:.0f}"]
    subprocess.run([*command, "--device", "cpu" if row["device"] == row["cpu"] else "auto"])
    trained = [run for run in runs if is_finished(run.folder(results), run.key)]
    again = tables_of(study, results) if trained else {}
    differences = [f"{run.name}: was not trained, see above" for run in runs if run not in trained]
    return differences + [text for run in trained for text in compare_run(run, committed, again)]


def tables_of(study: Study, results: Path) -> Tables:
    """Tables of the runs in a results folder, as the workflow makes them."""
    finished = find_runs(study, results, allow_missing=True)
    write_curves(finished, results / "curves.csv")
    learned = [granularities(load_learned(run.folder)) for run in finished]
    return {
        "runs.csv": runs_frame(study, finished),
        "curves.csv": read_frame(results / "curves.csv"),
        "granularity.csv": pd.concat(learned, ignore_index=True),
        PREDICTIONS: digests(collect_predictions(finished)),
    }


def compare_run(config: RunConfig, committed: Tables, again: Tables) -> list[str]:
    """Compare all numbers of a run except times; return what differs.

    They are equal to the last digit on the machine that runs.csv names; elsewhere accuracies and
    losses may differ as two seeds do, and neither granularities nor predictions are compared.
    """
    old, new = (rows_of(tables["runs.csv"], config).iloc[0] for tables in (committed, again))
    machine = [name for name in SAME_MACHINE if name in old and old[name] != new[name]]
    reasons = [f"{name} {old[name]}, now {new[name]}" for name in machine]
    if new["device"] != new["cpu"] and not config.recipe.deterministic:
        reasons.append("a GPU without recipe.deterministic")
    if reasons:
        say(f"{config.name}: compared within a tolerance: {'; '.join(reasons)}")
    compared = {"runs.csv": ([], RUN_NUMBERS), "curves.csv": (["epoch"], CURVE_NUMBERS)}
    if not reasons:
        compared["granularity.csv"] = (["layer", "group"], COLUMNS[4:])
        compared[PREDICTIONS] = ([], ["correct"])
    differences, num_images = [], {"test": old["num_test"], "val": old["num_val"]}
    for name, (index, columns) in compared.items():
        by = "epoch" if index else "study"
        limits = seed_limits(committed[name], by, columns, num_images) if reasons else None
        rows = [rows_of(t[name], config).set_index(index or "seed") for t in (committed, again)]
        differences += [
            f"{config.name}, {name}: {text}" for text in compare_rows(*rows, columns, limits)
        ]
    return differences


def rows_of(frame: pd.DataFrame, run: RunConfig) -> pd.DataFrame:
    return frame[(frame["variant"] == run.variant) & (frame["seed"] == run.seed)]


def compare_rows(
    old: pd.DataFrame, new: pd.DataFrame, columns: Sequence[str], limits: pd.DataFrame | None
) -> Iterator[str]:
    """Yield the columns that differ by more than their limits (none: 0), with the first row."""
    if not old.index.equals(new.index):
        yield f"{len(old)} rows committed, now {len(new)}"
        return
    for column in columns:
        same = (old[column] == new[column]) | (old[column].isna() & new[column].isna())
        if limits is not None and column in limits:
            limit = limits[column].to_numpy()  # a row an epoch, or one
            same |= (old[column] - new[column]).abs() <= limit[: len(old)]
        if not same.all():
            row = same.idxmin()
            pairs = zip(old.index.names, row if isinstance(row, tuple) else (row,), strict=True)
            where = ", ".join(f"{name} {value}" for name, value in pairs)
            more = f", and {(~same).sum() - 1} more" if (~same).sum() > 1 else ""
            yield f"{column} at {where}: committed {old[column][row]}, now {new[column][row]}{more}"


def seed_limits(
    frame: pd.DataFrame, by: str, columns: Sequence[str], num_images: dict[str, float]
) -> pd.DataFrame:
    """How far accuracies and losses may be apart on another machine, by epoch or study.

    That is DEVIATIONS standard deviations of the difference between two seeds; for accuracies at
    least what rounding to whole images makes. Without a second seed nothing is known, and the limit
    is infinite.
    """
    columns = [c for c in columns if c in metrics.PERCENTAGES or c.endswith("_loss")]
    limits = DEVIATIONS * np.sqrt(2) * pooled_std(frame, columns, by)
    for column in columns:
        num = num_images["val" if "val_" in column else "test"]
        if column in metrics.PERCENTAGES and num:
            limits[column] = np.maximum(limits[column], DEVIATIONS * 100 / num / np.sqrt(6))
    return limits.fillna(np.inf)
