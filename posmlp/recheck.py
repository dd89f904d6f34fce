"""Committed results reproduced: files with Snakemake, a sample of runs by training.

`posmlp check-results` copies the collected tables of every study into a work folder, has Snakemake
make the derived files there, and compares bytes. It then retrains a few runs of each study and
compares their metrics; docs/statistics.md gives the tolerance.
"""

import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pandas as pd

from posmlp import metrics
from posmlp.analysis.collect import (
    METRIC_COLUMNS,
    ResultsError,
    find_runs,
    read_frame,
    runs_frame,
    write_curves,
)
from posmlp.analysis.documents import documents, renew
from posmlp.analysis.granularity import COLUMNS, granularities
from posmlp.analysis.learned import load_learned
from posmlp.analysis.statistics import pooled_std
from posmlp.runs.execute import SAME_MACHINE
from posmlp.runs.reading import finished_metrics
from posmlp.study import RunConfig, Study, load_study

TABLES = ("runs.csv", "curves.csv", "granularity.csv")
RULES = ("tables", "figures", "checks", "studies_figures", "audit")
STUDY_FILES = ("tables/*", "figures/*", "checks.md", "study.json", "model_card.md")
STUDY_FILES += ("results.md", "results.tex")
PROJECT_FILES = ("audit/*.csv", "audit/*.md", "figures/*")
TEXTS = (".csv", ".json", ".md", ".tex")
COMPARED = {  # index and columns of a run's rows
    "runs.csv": (["seed"], [c for c in METRIC_COLUMNS if c not in metrics.TIMES]),
    "curves.csv": (["epoch"], [c for c in metrics.EPOCH_COLUMNS[1:] if c not in metrics.TIMES]),
    "granularity.csv": (["layer", "group"], COLUMNS[4:]),
}
SPREAD = ["train_loss", *metrics.EVALUATED]  # columns of runs.csv with a tolerance
DEVIATIONS = 3  # standard deviations between two seeds that another machine may differ by

Tables = dict[str, pd.DataFrame]  # by name of file
say = partial(print, flush=True)


def check_results(
    names: Sequence[str], results: Path, data_root: Path, sample: int, seed: int
) -> int:
    """Print the differences from the committed results; return their number.

    Args:
        names: names or files of studies; none: every study with a runs.csv, and the files of no
            single study.
        sample: number of runs to retrain per study, drawn with `seed`.

    Raises:
        ValueError: a study is unknown, or its tables are missing or of another version.
    """
    studies = [load_study(name) for name in names or committed_studies(results)]
    folders = [results / study.name for study in studies]
    tables = [{name: read_frame(folder / name) for name in TABLES} for folder in folders]
    work = Path(tempfile.mkdtemp(prefix="posmlp-check-results-"))
    copy_tables(results, work)
    differences = []
    for study, folder in zip(studies, folders, strict=True):
        say(f"{study.name}: making tables, figures and texts from its runs")
        logs = make_files(study, work, project=not names)
        found = compare_files(folder, work / "results" / study.name, STUDY_FILES)
        differences += found + ([f"{study.name}: {logs}"] if found and logs else [])
    if not names:
        differences += compare_files(results, work / "results", PROJECT_FILES)
        differences += stale_documents(results)
    for study, committed in zip(studies, tables, strict=True):
        if runs := draw_runs(study, committed["runs.csv"], sample, seed):
            differences += retrain(study, committed, runs, work / "trained", data_root)
    say("\n".join([*differences, f"differences: {len(differences)}"]))
    if differences:
        say(f"The reproduced files are in {work}")
    else:
        shutil.rmtree(work)
    return len(differences)


def committed_studies(results: Path) -> list[str]:
    """Studies with a runs.csv."""
    if names := sorted(path.parent.name for path in results.glob("*/runs.csv")):
        return names
    raise ResultsError(
        f"{results}: no study here has a runs.csv; `make reproduce` makes it, and --results names "
        "another folder"
    )


def copy_tables(results: Path, work: Path) -> None:
    """Set up a folder with the configuration and every study's tables for Snakemake."""
    work.mkdir(exist_ok=True)
    for name in ("config", "workflow"):
        (work / name).symlink_to(Path(name).absolute())
    for name in (*TABLES, "predictions.npz"):
        for path in results.glob(f"*/{name}"):
            copy = work / "results" / path.relative_to(results)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)


def make_files(study: Study, work: Path, *, project: bool) -> str:
    """Make the files of a study and the project; return Snakemake's output if a rule failed."""
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
    """Compare the files in both folders that match the patterns; return the differences."""
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
    """How two files differ, with the first differing line of a text; "" if they are equal."""
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
    """README and docs with outdated generated passages."""
    return [
        f"{path}: generated passages are stale; renew them: `posmlp docs`"
        for path in documents(Path())
        if renew(text := path.read_text("utf-8"), results, Path("config/studies")) != text
    ]


def draw_runs(study: Study, runs: pd.DataFrame, number: int, seed: int) -> list[RunConfig]:
    """Sample finished runs trained with the current settings and code."""
    finished = set(runs["key"][runs["test_top1"].notna()])
    there = [run for run in study.runs() if run.key in finished]
    if len(there) < len(finished):
        others = f"{len(finished) - len(there)} of {len(finished)} runs"
        say(f"{study.name}: {others} have other settings or code and are not retrained")
    return random.Random(f"{seed} {study.name}").sample(there, min(number, len(there)))


def retrain(
    study: Study, committed: Tables, runs: list[RunConfig], results: Path, data_root: Path
) -> list[str]:
    """Train runs into a separate results folder; return the differences from the tables."""
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
    trained = [run for run in runs if finished_metrics(run.folder(results), run.key)]
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
    }


def compare_run(config: RunConfig, committed: Tables, again: Tables) -> list[str]:
    """Compare all metrics of a run except times; return the differences.

    On the machine named in runs.csv everything must be equal to the last digit. On another one only
    runs.csv is compared, and accuracies and losses may differ as much as two seeds do.
    """
    old, new = (rows_of(tables["runs.csv"], config).iloc[0] for tables in (committed, again))
    machine = [name for name in SAME_MACHINE if name in old and old[name] != new[name]]
    reasons = [f"{name} {old[name]}, now {new[name]}" for name in machine]
    if new["device"] != new["cpu"] and not config.recipe.deterministic:
        reasons.append("a GPU without recipe.deterministic")
    if reasons:
        say(f"{config.name}: compared within a tolerance: {'; '.join(reasons)}")
    limits = seed_limits(committed["runs.csv"]) if reasons else {}
    differences = []
    for name, (index, columns) in COMPARED.items():
        if name == "runs.csv" or not reasons:
            rows = (rows_of(t[name], config).set_index(index) for t in (committed, again))
            found = compare_rows(*rows, columns, limits)
            differences += [f"{config.name}, {name}: {text}" for text in found]
    return differences


def rows_of(frame: pd.DataFrame, run: RunConfig) -> pd.DataFrame:
    return frame[(frame["variant"] == run.variant) & (frame["seed"] == run.seed)]


def compare_rows(
    old: pd.DataFrame, new: pd.DataFrame, columns: Sequence[str], limits: Mapping[str, float]
) -> Iterator[str]:
    """Yield each column that differs by more than its limit (default 0), with the first row."""
    if not old.index.equals(new.index):
        yield f"{len(old)} rows committed, now {len(new)}"
        return
    for column in columns:
        same = (old[column] == new[column]) | (old[column].isna() & new[column].isna())
        if column in limits:
            same |= (old[column] - new[column]).abs() <= limits[column]
        if not same.all():
            row = same.idxmin()
            pairs = zip(old.index.names, row if isinstance(row, tuple) else (row,), strict=True)
            where = ", ".join(f"{name} {value}" for name, value in pairs)
            more = f", and {(~same).sum() - 1} more" if (~same).sum() > 1 else ""
            yield f"{column} at {where}: committed {old[column][row]}, now {new[column][row]}{more}"


def seed_limits(runs: pd.DataFrame) -> pd.Series:
    """Tolerances of accuracies and losses on another machine, by column of runs.csv.

    DEVIATIONS standard deviations of the difference between two seeds; for accuracies at least what
    rounding to whole images makes. Infinite without a second seed.
    """
    limits = DEVIATIONS * np.sqrt(2) * pooled_std(runs, SPREAD)
    for column in metrics.PERCENTAGES:
        rounding = 100 / runs["num_val" if "val_" in column else "num_test"].median() / np.sqrt(6)
        limits[column] = max(limits[column], DEVIATIONS * rounding)
    return limits.fillna(np.inf)
