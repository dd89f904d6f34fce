"""What the terminal, README and docs say of results: always made from the results.

In a Markdown file `posmlp docs` writes the text between <!-- results:STUDY:PART --> and
<!-- /results -->, within a line or as lines of its own; PARTS lists the parts. `bench` takes the
place of a study for the parts of BENCH, made from results/bench.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from posmlp.analysis.bench import bench_tables, study_tables
from posmlp.analysis.collect import collect_predictions, find_runs, read_frame, runs_frame
from posmlp.analysis.granularity import contexts_table
from posmlp.analysis.main_table import tables
from posmlp.analysis.results_section import answers
from posmlp.analysis.statistics import Evidence
from posmlp.analysis.tables import markdown_table
from posmlp.markup import escaped
from posmlp.study import Study, load_study, terms
from posmlp.study.study_error import did_you_mean

_OPEN, _CLOSE = r"<!-- results:([^:\s]+):([^:\s]+) -->", "<!-- /results -->"
_PART = re.compile(f"({_OPEN})((?:(?!<!-- /?results).)*){_CLOSE}", re.DOTALL)
_MARK = re.compile("<!-- /?results")


def printed(study: Study, results: Path, *, so_far: bool = False, check_keys: bool = True) -> str:
    """The answers to questions, the first table, whether results are checked, where the rest is.

    Args:
        so_far: take the runs that have finished until now, rather than what was collected.
        check_keys: say so where the runs are not those of the study as it is now.
    """
    folder = results / study.name
    if so_far:
        finished = find_runs(study, results, allow_missing=True)
        evidence = Evidence(study, runs_frame(study, finished), collect_predictions(finished))
    else:
        evidence = Evidence.read(study, folder)
    checks = folder / "checks.md"
    state = f"Checks: all passed, see {checks}"
    if check_keys and (outdated := num_outdated(evidence)):
        state = (
            f"Outdated: {outdated} of {len(study.runs())} runs were trained with other settings or "
            f"code than {study.files[0]} and this version have. `make reproduce "
            f"STUDY={study.command_name}` trains what has changed."
        )
    elif so_far or not checks.exists():
        state = "Not finished: results count once all runs have finished and their checks passed."
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
    """Count the runs that the study, as it is now, would train again or does not have."""
    keys = {(run.variant, run.seed, run.key) for run in evidence.study.runs()}
    found = evidence.runs[["variant", "seed", "key"]].itertuples(index=False, name=None)
    return len({run[:2] for run in keys.symmetric_difference(found)})


def renew(text: str, results: Path, config_dir: Path) -> str:
    """Bring every generated part of a Markdown text up to date.

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
            f"{_CLOSE}; {num_parts} pairs were found, and other marks"
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
    """The files that may have generated parts."""
    return [root / "README.md", *sorted((root / "docs").rglob("*.md"))]


def _table(study: Study, results: Path) -> str:
    # Paths in the text are those that a user sees, whatever folder the results were read from.
    text = printed(study, results, check_keys=False).replace(f"{results}/", "results/")
    return f"\n```\n{text}\n```\n"


def _size(study: Study, results: Path) -> str:
    runs = read_frame(results / study.name / "runs.csv")
    seeds = runs.groupby("variant")["test_top1"].count()
    fewest, most = seeds.min(), seeds.max()
    number = f"{most}" if fewest == most else f"{fewest} to {most}"
    return f"{len(seeds)} variants with {number} {'seed' if most == 1 else 'seeds'} each"


def _named(name: str) -> Callable[[Study, Path], str]:
    def part(study: Study, results: Path) -> str:
        table = tables(Evidence.read(study, results / study.name))[name]
        return f"\n{table.to_markdown(heading=False)}"

    return part


def _first_question(study: Study, results: Path) -> str:
    table = tables(Evidence.read(study, results / study.name))["main"]
    contrasts = [contrast for question in study.questions[:1] for contrast in question.contrasts]
    asked = {study.reference, *(name for c in contrasts for _, name in terms(c))}
    columns = tuple(column for column in table.columns if column.header in BRIEF)
    few = replace(table, frame=table.frame[table.frame["variant"].isin(asked)], columns=columns)
    return f"\n{markdown_table(few.headers, few.cells(), few.aligns)}\n"


def _contexts(study: Study, results: Path) -> str:
    table = contexts_table(read_frame(results / study.name / "granularity.csv"))
    return f"\n{table.to_markdown(heading=False)}"


def _sentences(study: Study, results: Path) -> str:
    texts = map(escaped, answers(Evidence.read(study, results / study.name)))
    return "\n" + "\n\n".join(texts) + "\n"


BRIEF = ("Variant", "Params", "Removed (%)", "Top-1 (%)", "Difference")
PARTS: dict[str, Callable[[Study, Path], str]] = {
    "table": _table,  # what `posmlp show` prints
    "size": _size,  # 12 variants with 3 seeds each
    "answers": _named("questions"),
    "sentences": _sentences,  # a paragraph for each question
    "main": _named("main"),  # the first table
    "first_question": _first_question,  # of it the reference and the first question's
    "variants": _named("variants"),  # all of them
    "contexts": _contexts,
}
BENCH: dict[str, Callable[[Path], str]] = {  # of each a table for every machine
    "tables": bench_tables,
    "study": study_tables,
}
