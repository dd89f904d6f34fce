"""Checks that a study's results must pass before they count.

Each looks at the whole study and names every run at fault. What load_study and collect refuse is
not checked again. A new check is a function from Results to problems under @check in one of the
modules here, and a row of CHECKS.
"""

from posmlp.analysis.checks import curves, networks, table
from posmlp.analysis.checks.check import CHECKED_CURVES, Check, Results
from posmlp.analysis.collect import ResultsError

__all__ = ["CHECKED_CURVES", "CHECKS", "Check", "Results", "run_checks"]

MOST_PROBLEMS = 10  # printed of one check
CHECKS: tuple[Check, ...] = (
    table.one_code_version,
    table.equal_data,
    table.better_than_guessing,
    networks.params_follow_the_formula,
    networks.costs_do_not_depend_on_the_seed,
    curves.curves_are_numbers,
    curves.last_epoch_is_the_result,
    curves.rate_follows_the_schedule,
    curves.loss_fell,
)


def run_checks(results: Results) -> str:
    """Run all checks and say in Markdown what was checked.

    Raises:
        ResultsError: a check failed; it says which, for which runs, why and what to do.
    """
    failed = [
        _failure(check, problems) for check in CHECKS if (problems := list(check.find(results)))
    ]
    if failed:
        raise ResultsError(
            f"study {results.study.name} is not finished: {len(failed)} of {len(CHECKS)} checks of "
            "its results failed.\n" + "\n".join(failed)
        )
    return _report(results)


def _failure(check: Check, problems: list[str]) -> str:
    lines = problems[:MOST_PROBLEMS]
    if len(problems) > MOST_PROBLEMS:
        lines.append(f"and {len(problems) - MOST_PROBLEMS} more")
    lines = [f"  Not true: {check.claim}.", *(f"    {line}" for line in lines)]
    return "\n".join([*lines, f"    To do: {check.remedy}."])


def _report(results: Results) -> str:
    study, runs = results.study, results.finished
    notes = []
    if study.may_not_learn:
        notes.append(f"- May learn nothing: {', '.join(study.may_not_learn)}.")
    lines = [
        f"## Checks of {study.name}",
        "",
        f"All {len(CHECKS)} passed, for {len(runs)} of {len(study.runs())} runs "
        f"({len(study.variants)} variants); code version {runs['code_version'].iloc[0]}.",
        "",
        *(f"- {check.claim}." for check in CHECKS),
    ]
    return "\n".join([*lines, *(["", "Exceptions:", "", *notes] if notes else []), ""])
