"""Checks that a study's results must pass before they count.

Errors that load_study and collect already raise are not checked again. To add a check, write a
function from Checked to problems under @check.

Curves are checked a few variants at a time, so those of a large study need not fit into memory.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from posmlp import metrics
from posmlp.analysis.collect import ResultsError, first_of
from posmlp.analysis.statistics import Evidence
from posmlp.study import RunConfig, Study

TRAIN_AGAIN = "train these runs again: delete their metrics.json and start the study again"
RUN = ["variant", "seed"]
CHECKED_CURVES = (  # the columns of curves.csv that checks read
    *(*RUN, "epoch", "lr", "train_loss"),
    *metrics.EVALUATED,
)
GUESSING_ERRORS = 3  # standard errors above chance that count as having learnt
TOLERANCE = 1e-9  # relative, between numbers that should be equal


@dataclass(frozen=True, eq=False)
class Checked(Evidence):
    """A study's results; curves are CHECKED_CURVES in parts of some variants, read once."""

    curves: Iterable[pd.DataFrame] = ()

    @cached_property
    def finished(self) -> pd.DataFrame:
        """Finished runs of variants that the study still has."""
        known = self.runs["variant"].isin(self.study.configs)
        return self.runs[known & self.runs["test_top1"].notna()]

    @cached_property
    def curve_problems_and_ends(self) -> tuple[list[str], pd.DataFrame]:
        """Values out of range, and the ends of all curves (see curve_ends)."""
        problems, ends = [], []
        for rows in self.curves:
            known = rows["variant"].isin(self.study.configs)
            rows = rows[known].astype({"variant": "category"})  # grouping categories is fast
            problems += curve_problems(self.study, rows)
            ends.append(curve_ends(rows))
        return problems, pd.concat(ends)


@dataclass(frozen=True)
class Check:
    """What must hold, what to do otherwise, and the function that finds problems."""

    claim: str
    remedy: str
    find: Callable[[Checked], Iterable[str]]


CHECKS: list[Check] = []


def check(claim: str, remedy: str) -> Callable[[Callable[[Checked], Iterable[str]]], Check]:
    """Register a function that yields a line per problem."""

    def register(find: Callable[[Checked], Iterable[str]]) -> Check:
        CHECKS.append(Check(claim, remedy, find))
        return CHECKS[-1]

    return register


def run_checks(evidence: Evidence, curves: Iterable[pd.DataFrame]) -> str:
    """Run all checks and list them in Markdown.

    Args:
        curves: CHECKED_CURVES in parts, each of some variants.

    Raises:
        ResultsError: a check failed; names the check, the runs, the reason and the remedy.
    """
    results = Checked(evidence.study, evidence.runs, evidence.predictions, curves)
    found = {check: list(check.find(results)) for check in CHECKS}
    failed = [
        f"  Failed: {check.claim}.\n{first_of(problems, '    ')}\n    To do: {check.remedy}."
        for check, problems in found.items()
        if problems
    ]
    study, runs = results.study, results.finished
    if failed:
        raise ResultsError(
            f"study {study.name} is not finished: {len(failed)} of {len(CHECKS)} checks of its "
            "results failed.\n" + "\n".join(failed)
        )
    lines = [
        *(f"## Checks of {study.name}", ""),
        f"All {len(CHECKS)} passed, for {len(runs)} of {len(study.runs())} runs "
        f"({len(study.variants)} variants); code version {runs['code_version'].iloc[0]}.",
        *("", *(f"- {check.claim}." for check in CHECKS)),
    ]
    if study.may_not_learn:
        exempt = ", ".join(study.may_not_learn)
        lines += ["", "Exceptions:", "", f"- May learn nothing: {exempt}."]
    return "\n".join([*lines, ""])


def names(rows: pd.DataFrame, most: int = 5) -> str:
    """The first few runs in `rows`, and the number of others."""
    pairs = rows[RUN].drop_duplicates()
    runs = [f"{variant} seed {seed}" for variant, seed in pairs[:most].itertuples(index=False)]
    more = f" and {len(pairs) - most} more" if len(pairs) > most else ""
    return f"{', '.join(runs)}{more}"


@check("All runs were trained with one version of the code", TRAIN_AGAIN)
def one_code_version(results: Checked) -> Iterator[str]:
    yield from _distinct(results.finished, "code_version", "version")


@check("Runs with equal data settings saw the same images", TRAIN_AGAIN)
def equal_data(results: Checked) -> Iterator[str]:
    settings = {name: run.data.model_dump_json() for name, run in results.study.configs.items()}
    for _, rows in results.finished.groupby(results.finished["variant"].map(settings)):
        yield from _distinct(rows, "data_digest", "digest")


def _distinct(rows: pd.DataFrame, column: str, what: str) -> Iterator[str]:
    """Name the runs of each value unless all have the same known one."""
    groups = rows.groupby(column, sort=False)
    if len(groups) > 1 or "" in groups.groups:
        for value, same in groups:
            yield f"{what} {value}: {names(same)}" if value else f"no {what}: {names(same)}"


@check(
    "Every run is more accurate than guessing",
    "look at the curves, then lower recipe.lr or lengthen recipe.warmup_epochs; list a variant "
    "that may learn nothing under may_not_learn in the study file",
)
def better_than_guessing(results: Checked) -> Iterator[str]:
    num_classes = {name: run.data.num_classes for name, run in results.study.configs.items()}
    runs = results.finished[~results.finished["variant"].isin(results.study.may_not_learn)]
    chance = 1 / runs["variant"].map(num_classes).astype(float)
    error = np.sqrt(chance * (1 - chance) / runs["num_test"])
    least = 100 * (chance + GUESSING_ERRORS * error)
    for i in np.flatnonzero(~(runs["test_top1"] > least)):
        yield (
            f"{names(runs.iloc[[i]])}: top-1 {runs['test_top1'].iloc[i]:.2f} %; guessing gives "
            f"{100 * chance.iloc[i]:g} % and may reach {least.iloc[i]:.2f} % by luck"
        )


@check("Curves are finite, and percentages lie between 0 and 100", TRAIN_AGAIN)
def curves_are_numbers(results: Checked) -> list[str]:
    return results.curve_problems_and_ends[0]


def curve_problems(study: Study, curves: pd.DataFrame) -> Iterator[str]:
    for variant, rows in curves.groupby("variant", sort=False, observed=True):
        config = study.configs[variant]
        evaluated = {epoch: config.recipe.evaluates(epoch) for epoch in rows["epoch"].unique()}
        evaluated = rows["epoch"].map(evaluated)
        for metric in ("lr", "train_loss", *metrics.EVALUATED):
            values = rows[metric]
            due = evaluated | (metric not in metrics.EVALUATED)
            due &= is_recorded(metric, config)
            wrong = values.notna() != due
            wrong |= due & ~np.isfinite(values)
            if metric in metrics.PERCENTAGES:
                wrong |= (values < 0) | (values > 100)
            if wrong.any():
                first = rows[wrong].iloc[0]
                yield (
                    f"{names(rows[wrong])}: {metric} is {first[metric]:g} in epoch "
                    f"{first['epoch']:g}"
                )


def curve_ends(curves: pd.DataFrame) -> pd.DataFrame:
    """By (variant, seed): the last epoch, num_epochs and first_train_loss."""
    by_run = curves.groupby(RUN, sort=False, observed=True)
    last, first = by_run.tail(1), by_run.head(1)
    num_epochs = by_run["epoch"].transform("size")[last.index]
    first_losses = first.set_index(RUN)["train_loss"]
    ends = last.assign(num_epochs=num_epochs).set_index(RUN).assign(first_train_loss=first_losses)
    return ends.rename(index=str, level="variant")


def is_recorded(metric: str, config: RunConfig) -> bool:
    """Whether a run has a metric: averaged weights and validation are optional."""
    averaged = config.recipe.ema_decay is not None or not metric.startswith("ema_")
    return averaged and (config.data.validation > 0 or "val_" not in metric)


@check("Every curve ends at its run's result", TRAIN_AGAIN)
def last_epoch_is_the_result(results: Checked) -> Iterator[str]:
    ends = results.curve_problems_and_ends[1]
    runs = results.finished.join(ends.add_suffix(" of the curve"), on=RUN)
    for metric in ("train_loss", *metrics.EVALUATED):
        result = runs[metric].astype(float)
        end = runs[f"{metric} of the curve"].astype(float)
        wrong = ~np.isclose(result, end, rtol=TOLERANCE, atol=0, equal_nan=True)
        for i in np.flatnonzero(wrong):
            yield (
                f"{names(runs.iloc[[i]])}: {metric} is {result.iloc[i]:.9g}, its curve ends "
                f"at {end.iloc[i]:.9g}"
            )


@check("Stored predictions have the accuracy of their run", TRAIN_AGAIN)
def predictions_are_those_of_the_result(results: Checked) -> Iterator[str]:
    for _, row in results.finished.iterrows():
        hits = results.predictions.get((row["variant"], row["seed"]))
        found = 100 * hits.correct.mean() if hits else row["test_top1"]
        if not np.isclose(found, row["test_top1"], rtol=TOLERANCE, atol=0):
            yield (
                f"{row['variant']} seed {row['seed']}: top-1 is {row['test_top1']:.4f} %, by its "
                f"predictions {found:.4f} %"
            )


@check(
    "The training loss of every run fell",
    "lower recipe.lr or lengthen recipe.warmup_epochs; list a variant that may learn nothing under "
    "may_not_learn in the study file",
)
def loss_fell(results: Checked) -> Iterator[str]:
    runs = results.curve_problems_and_ends[1]
    rose = ~(runs["train_loss"] < runs["first_train_loss"]) & (runs["num_epochs"] > 1)
    for (variant, seed), row in runs[rose].iterrows():
        if variant not in results.study.may_not_learn:
            losses = f"{row['first_train_loss']:.4g} to {row['train_loss']:.4g}"
            yield f"{variant} seed {seed}: from {losses}"
