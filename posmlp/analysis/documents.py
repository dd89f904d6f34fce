"""What is said of results on the terminal and in README and docs: always made from runs.csv.

In a Markdown file the text between <!-- results:STUDY:PART --> and <!-- /results --> is written by
`python -m posmlp docs`; PARTS lists the parts. It may stand inside a line or be lines of its own.
The study `bench` is none: its parts, BENCH, are made from results/bench.
"""

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from posmlp.analysis.bench import bench_tables, study_tables
from posmlp.analysis.collect import find_runs, read_frame, runs_frame
from posmlp.analysis.contexts import contexts_table
from posmlp.analysis.main_table import main_table
from posmlp.analysis.questions import answer, answers_table
from posmlp.analysis.statistics import num_comparisons, rule_of, summarise
from posmlp.study import Study, load_study
from posmlp.study.study_error import did_you_mean

_OPEN, _CLOSE = r"<!-- results:([^:\s]+):([^:\s]+) -->", "<!-- /results -->"
_PART = re.compile(f"({_OPEN})((?:(?!<!-- /?results).)*){_CLOSE}", re.DOTALL)
_MARK = re.compile("<!-- /?results")


def printed(study: Study, results: Path, *, so_far: bool = False, check_keys: bool = True) -> str:
    """Return the main table, whether the results are checked, and where the rest is.

    Args:
        so_far: take the runs that have finished until now, rather than what was collected.
        check_keys: say so where the runs are not those of the study as it is now.
    """
    folder = results / study.name
    if so_far:
        runs = runs_frame(study, find_runs(study, results, allow_missing=True))
    else:
        runs = read_frame(folder / "runs.csv")
    summary = summarise(runs, study.reference, rule_of(study))
    checks = folder / "checks.md"
    if check_keys and (outdated := num_outdated(study, runs)):
        state = (
            f"Outdated: {outdated} of {len(study.runs())} runs were trained with other settings or "
            f"code than {study.files[0]} and this version have. `make reproduce "
            f"STUDY={study.command_name}` trains what has changed."
        )
    elif so_far or not checks.exists():
        state = "Not finished: results count when all runs are there and `snakemake` checked them."
    else:
        state = f"Checks: all passed, see {checks}"
    places = f"Tables: {folder}/tables   Figures: {folder}/figures   Runs: {folder}/runs.csv"
    return "\n".join([main_table(summary, rule_of(study), narrow=True).to_text(), state, places])


def num_outdated(study: Study, runs: pd.DataFrame) -> int:
    """Count the runs that the study, as it is now, would train again or does not have."""
    keys = {(run.variant, run.seed): run.key for run in study.runs()}
    cells = zip(runs["variant"], runs["seed"], runs["key"], strict=True)
    found = {(variant, seed): key for variant, seed, key in cells}
    return len(dict(keys.items() ^ found.items()))


def renew(text: str, results: Path, config_dir: Path) -> str:
    """Return a Markdown text with every generated part as the results have it now.

    Args:
        results: the folder that holds <study>/runs.csv.
        config_dir: the folder of study files.

    Raises:
        ValueError: a part is unknown, or its marks do not come in pairs.
    """
    num_parts = len(_PART.findall(text))
    if len(_MARK.findall(text)) != 2 * num_parts:
        raise ValueError(
            "marks of generated parts come in pairs: <!-- results:STUDY:PART --> ... "
            f"{_CLOSE}; {num_parts} pairs were found and other marks besides"
        )

    def part(match: re.Match[str]) -> str:
        opening, study, name, _ = match.groups()
        known = BENCH if study == "bench" else PARTS
        if name not in known:
            hint = did_you_mean(name, known)
            raise ValueError(f"{opening}: no such part; {hint}allowed: {', '.join(known)}")
        if study == "bench":
            return f"{opening}{BENCH[name](results)}{_CLOSE}"
        return f"{opening}{PARTS[name](load_study(study, config_dir), results)}{_CLOSE}"

    return _PART.sub(part, text)


def documents(root: Path) -> list[Path]:
    """Return the files that may hold generated parts."""
    return [root / "README.md", *sorted((root / "docs").rglob("*.md"))]


def _summary(study: Study, results: Path) -> pd.DataFrame:
    runs = read_frame(results / study.name / "runs.csv")
    return summarise(runs, study.reference, rule_of(study))


def _table(study: Study, results: Path) -> str:
    # Paths in the text are those that a user sees, whatever folder the results were read from.
    text = printed(study, results, check_keys=False).replace(f"{results}/", "results/")
    return f"\n```\n{text}\n```\n"


def _size(study: Study, results: Path) -> str:
    summary = _summary(study, results)
    fewest, most = summary["n"].min(), summary["n"].max()
    seeds = f"{most}" if fewest == most else f"{fewest} to {most}"
    return f"{len(summary)} variants with {seeds} {'seed' if most == 1 else 'seeds'} each"


def _answers(study: Study, results: Path) -> str:
    runs = read_frame(results / study.name / "runs.csv")
    answers = answer(runs, study.questions, rule_of(study))
    return f"\n{answers_table(answers, rule_of(study)).to_markdown(heading=False)}"


def _contexts(study: Study, results: Path) -> str:
    granularities = read_frame(results / study.name / "granularity.csv")
    return f"\n{contexts_table(granularities).to_markdown(heading=False)}"


def _main_table(study: Study, results: Path) -> str:
    table = main_table(_summary(study, results), rule_of(study), narrow=True)
    return f"\n{table.to_markdown(heading=False)}"


def _verdicts(study: Study, results: Path) -> str:
    summary = _summary(study, results)
    counts = summary["better"].value_counts()
    better, worse, same = (counts.get(v, 0) for v in ("yes", "no", "not distinguishable"))
    return (
        f"of {num_comparisons(summary)} comparisons {better} come out as better, {worse} as worse "
        f"and {same} as not distinguishable"
    )


PARTS: dict[str, Callable[[Study, Path], str]] = {
    "table": _table,  # what `python -m posmlp show` prints
    "size": _size,  # 12 variants with 3 seeds each
    "answers": _answers,  # to the study's questions
    "contexts": _contexts,  # how much groups differ in granularity
    "main": _main_table,  # the main table in Markdown
    "verdicts": _verdicts,  # how many comparisons came out how
}
BENCH: dict[str, Callable[[Path], str]] = {  # of each a table for every machine
    "tables": bench_tables,
    "study": study_tables,
}
