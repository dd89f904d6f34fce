"""Results as shown in the terminal, and the generated parts of README and docs.

`posmlp docs` writes the text between <!-- results:STUDY:PART --> and <!-- /results --> in Markdown
files, inside a line or on lines of its own. PARTS lists the parts of a study; those of BENCH are
made from results/bench and have `bench` in place of a study.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from posmlp.analysis.bench import bench_tables, study_tables
from posmlp.analysis.collect import collect_predictions, find_runs, read_frame, runs_frame
from posmlp.analysis.granularity import contexts_table
from posmlp.analysis.main_table import tables
from posmlp.analysis.statistics import Evidence
from posmlp.analysis.tables import Table, markdown_table
from posmlp.study import Study, load_study, terms
from posmlp.study.study_error import did_you_mean

_OPEN, _CLOSE = r"<!-- results:([^:\s]+):([^:\s]+) -->", "<!-- /results -->"
_PART = re.compile(f"({_OPEN})((?:(?!<!-- /?results).)*){_CLOSE}", re.DOTALL)
_MARK = re.compile("<!-- /?results")


def printed(study: Study, results: Path, *, so_far: bool = False) -> str:
    """The answers, the main table, the state of the results and where the rest is.

    Args:
        so_far: use the runs finished so far instead of the collected ones.
    """
    folder = results / study.name
    if so_far:
        finished = find_runs(study, results, allow_missing=True)
        evidence = Evidence(study, runs_frame(study, finished), collect_predictions(finished))
    else:
        evidence = Evidence.read(study, folder)
    checks = folder / "checks.md"
    state = f"Checks: all passed, see {checks}"
    if outdated := num_outdated(evidence):
        state = (
            f"Outdated: {outdated} of {len(study.runs())} runs differ in settings or code from "
            f"{study.files[0]} and this version. `make reproduce STUDY={study.command_name}` "
            "retrains what has changed."
        )
    elif so_far or not checks.exists():
        state = "Not finished: results count once all runs have finished and passed the checks."
    places = f"Tables: {folder}/tables   Figures: {folder}/figures   Runs: {folder}/runs.csv"
    made = tables(evidence)
    shown, num = made["main"].to_text(), len(made["variants"].frame)
    if num > len(made["main"].frame):
        places = f"All {num} variants: {folder}/tables/variants.md\n{places}"
    questions = [f"{number}. {q.ask}" for number, q in enumerate(study.questions, start=1)]
    if questions:
        shown = "\n".join([*questions, "", made["questions"].to_text(), shown])
    return "\n".join([shown, state, places])


def num_outdated(evidence: Evidence) -> int:
    """Count the runs that the current study would retrain, and those it no longer has."""
    keys = {(run.variant, run.seed, run.key) for run in evidence.study.runs()}
    found = evidence.runs[["variant", "seed", "key"]].itertuples(index=False, name=None)
    return len({run[:2] for run in keys.symmetric_difference(found)})


def renew(text: str, results: Path, config_dir: Path) -> str:
    """Update every generated part of a Markdown text.

    Args:
        results: the folder with <study>/runs.csv.
        config_dir: the folder of study files.

    Raises:
        ValueError: a part is unknown, or its marks are not in pairs.
    """
    num_parts = len(_PART.findall(text))
    if len(_MARK.findall(text)) != 2 * num_parts:
        raise ValueError(
            "marks of generated parts come in pairs: <!-- results:STUDY:PART --> ... "
            f"{_CLOSE}; found {num_parts} pairs and at least one single mark"
        )

    def part(match: re.Match[str]) -> str:
        opening, study, name, _ = match.groups()
        known = BENCH if study == "bench" else PARTS
        if name not in known:
            hint = did_you_mean(name, known)
            raise ValueError(f"{opening}: unknown part; {hint}allowed: {', '.join(known)}")
        if study == "bench":
            return f"{opening}{BENCH[name](results)}{_CLOSE}"
        return f"{opening}{PARTS[name](load_study(study, config_dir), results)}{_CLOSE}"

    return _PART.sub(part, text)


def documents(root: Path) -> list[Path]:
    """Files that may have generated parts."""
    return [root / "README.md", *sorted((root / "docs").rglob("*.md"))]


def _size(study: Study, results: Path) -> str:
    runs = read_frame(results / study.name / "runs.csv")
    seeds = runs.groupby("variant")["test_top1"].count()
    fewest, most = seeds.min(), seeds.max()
    number = f"{most}" if fewest == most else f"{fewest} to {most}"
    return f"{len(seeds)} variants with {number} {'seed' if most == 1 else 'seeds'} each"


def _answers(study: Study, results: Path) -> str:
    return f"\n{_tables(study, results)['questions'].to_markdown(heading=False)}"


def _main(study: Study, results: Path) -> str:
    return f"\n{_tables(study, results)['main'].to_markdown(heading=False)}"


def _first_question(study: Study, results: Path) -> str:
    table = _tables(study, results)["main"]
    contrasts = [contrast for question in study.questions[:1] for contrast in question.contrasts]
    asked = {study.reference, *(name for c in contrasts for _, name in terms(c))}
    columns = tuple(column for column in table.columns if column.header in BRIEF)
    few = replace(table, frame=table.frame[table.frame["variant"].isin(asked)], columns=columns)
    return f"\n{markdown_table(few.headers, few.cells(), few.aligns)}\n"


def _tables(study: Study, results: Path) -> dict[str, Table]:
    return tables(Evidence.read(study, results / study.name))


def _contexts(study: Study, results: Path) -> str:
    table = contexts_table(read_frame(results / study.name / "granularity.csv"))
    return f"\n{table.to_markdown(heading=False)}"


BRIEF = ("Variant", "Params", "Removed (%)", "Top-1 (%)", "Difference")
PARTS: dict[str, Callable[[Study, Path], str]] = {
    "size": _size,  # such as "12 variants with 3 seeds each"
    "answers": _answers,
    "main": _main,
    "first_question": _first_question,  # rows of the main table: the reference, the first question
    "contexts": _contexts,
}
BENCH: dict[str, Callable[[Path], str]] = {  # a table per machine
    "tables": bench_tables,
    "study": study_tables,
}
