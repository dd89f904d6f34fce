"""Checks that a study's results must pass before they count.

What load_study and collect refuse is not checked again. A new check is a function here from Checked
to problems, under @check.

Variants are checked in parts, so that the curves of a large study need not fit into memory.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd

from posmlp import metrics
from posmlp.analysis.collect import ResultsError, first_of
from posmlp.analysis.statistics import Evidence
from posmlp.study import Recipe, RunConfig

TRAIN_AGAIN = "train these runs again: delete their metrics.json and start the study again"
RUN = ["variant", "seed"]
COSTS = ("params", "token_mixing_params", "token_mixing_params_per_layer", "macs")
CHECKED_CURVES = (  # the columns of curves.csv that checks look at
    *(*RUN, "epoch", "lr", "train_loss"),
    *metrics.EVALUATED,
)
GUESSING_ERRORS = 3  # standard errors above guessing, from which a network counts as having learnt
TOLERANCE = 1e-9  # relative, of numbers that should be the same


@dataclass(frozen=True, eq=False)
class Checked(Evidence):
    """All runs of a study without curves, or those of some variants with their CHECKED_CURVES."""

    curves: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=CHECKED_CURVES))

    @cached_property
    def finished(self) -> pd.DataFrame:
        """The runs of known variants that have an accuracy."""
        known = self.runs["variant"].isin(self.study.configs)
        return self.runs[known & self.runs["test_top1"].notna()]

    @cached_property
    def epochs(self) -> pd.DataFrame:
        """The curves, with names as categories: grouping millions of texts is slow and large."""
        return self.curves.astype({"variant": "category"})

    @cached_property
    def last_epochs(self) -> pd.DataFrame:
        """By (variant, seed): the row of the last epoch, num_epochs, first_train_loss."""
        by_run = self.epochs.groupby(RUN, sort=False, observed=True)
        last = self.curves.loc[by_run.tail(1).index].set_index(RUN)
        first = self.curves.loc[by_run.head(1).index].set_index(RUN)
        sizes = by_run["epoch"].transform("size")[by_run.tail(1).index].to_numpy()
        return last.assign(num_epochs=sizes, first_train_loss=first["train_loss"])

    def by_variant(self, frame: pd.DataFrame) -> Iterator[tuple[RunConfig, pd.DataFrame]]:
        """Every variant's settings with its rows of a frame."""
        for variant, rows in frame.groupby("variant", sort=False, observed=True):
            if variant in self.study.configs:
                yield self.study.configs[variant], rows


@dataclass(frozen=True)
class Check:
    """What must hold, what to do otherwise, and the function that finds faults.

    Args:
        across: it compares variants, and needs the runs of all at once but no curves.
    """

    claim: str
    remedy: str
    find: Callable[[Checked], Iterable[str]]
    across: bool = False


CHECKS: list[Check] = []


def check(
    claim: str, remedy: str, *, across: bool = False
) -> Callable[[Callable[[Checked], Iterable[str]]], Check]:
    """Register a function that yields a line for each fault it finds."""

    def register(find: Callable[[Checked], Iterable[str]]) -> Check:
        CHECKS.append(Check(claim, remedy, find, across))
        return CHECKS[-1]

    return register


def run_checks(evidence: Evidence, curves: Iterable[pd.DataFrame]) -> str:
    """Run all checks and say in Markdown what was checked.

    Args:
        curves: in parts, each the CHECKED_CURVES of some variants.

    Raises:
        ResultsError: a check failed; it says which, for which runs, why and what to do.
    """
    whole = Checked(evidence.study, evidence.runs, evidence.predictions)
    found = {check: list(check.find(whole)) if check.across else [] for check in CHECKS}
    for part in _parts(whole, curves):
        for check in CHECKS:
            if not check.across:
                found[check] += check.find(part)
    failed = [
        f"  Not true: {check.claim}.\n{first_of(problems, '    ')}\n    To do: {check.remedy}."
        for check, problems in found.items()
        if problems
    ]
    study, runs = whole.study, whole.finished
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


def _parts(whole: Checked, curves: Iterable[pd.DataFrame]) -> Iterator[Checked]:
    """The results in parts, last the variants without curves."""
    left = whole.runs
    for rows in curves:
        here = left["variant"].isin(rows["variant"].unique())
        yield replace(whole, runs=left[here], curves=rows)
        left = left[~here]
    if len(left):
        yield replace(whole, runs=left, curves=whole.curves[:0])


def names(rows: pd.DataFrame, most: int = 5) -> str:
    """The names of the runs in `rows`, the first of many."""
    pairs = rows[RUN].drop_duplicates()
    runs = [f"{variant} seed {seed}" for variant, seed in pairs[:most].itertuples(index=False)]
    more = f" and {len(pairs) - most} more" if len(pairs) > most else ""
    return f"{', '.join(runs)}{more}"


@check("All runs were trained by one version of the code", TRAIN_AGAIN, across=True)
def one_code_version(results: Checked) -> Iterator[str]:
    yield from _distinct(results.finished, "code_version", "version")


@check("Runs with equal data settings saw the same images", TRAIN_AGAIN, across=True)
def equal_data(results: Checked) -> Iterator[str]:
    settings = {name: run.data.model_dump_json() for name, run in results.study.configs.items()}
    for _, rows in results.finished.groupby(results.finished["variant"].map(settings)):
        yield from _distinct(rows, "data_digest", "digest")


def _distinct(rows: pd.DataFrame, column: str, what: str) -> Iterator[str]:
    """Name the runs of each value, unless there is just one and it is known."""
    groups = rows.groupby(column, sort=False)
    if len(groups) > 1 or "" in groups.groups:
        for value, same in groups:
            yield f"{what} {value}: {names(same)}" if value else f"no {what}: {names(same)}"


@check(
    "Every run is more accurate than guessing",
    "look at the curves and lower recipe.lr or lengthen recipe.warmup_epochs; where a variant may "
    "learn nothing, name it under may_not_learn in the study file",
)
def better_than_guessing(results: Checked) -> Iterator[str]:
    num_classes = {name: run.data.num_classes for name, run in results.study.configs.items()}
    runs = results.finished[~results.finished["variant"].isin(results.study.may_not_learn)]
    chance = 1 / runs["variant"].map(num_classes).astype(float)
    error = np.sqrt(chance * (1 - chance) / runs["num_test"])
    least = 100 * (chance + GUESSING_ERRORS * error)
    for i in np.flatnonzero(~(runs["test_top1"] > least)):
        yield (
            f"{names(runs.iloc[[i]])}: top-1 {runs['test_top1'].iloc[i]:.2f} %; guessing reaches "
            f"{100 * chance.iloc[i]:g} %, by luck {least.iloc[i]:.2f} %"
        )


@check(
    "The parameters of every token-mixing layer are those of the closed form for its gate, groups "
    "and window",
    "compare the closed form in posmlp/layers/gates.py with the layer; one is wrong; train again",
)
def params_follow_the_formula(results: Checked) -> Iterator[str]:
    for config, rows in results.by_variant(results.finished):
        expected = expected_params(config)
        wrong = rows["token_mixing_params_per_layer"] != json.dumps(expected)
        wrong |= rows["token_mixing_params"] != sum(expected)
        if wrong.any():
            first = rows[wrong].iloc[0]
            yield (
                f"{names(rows[wrong])}: {first['token_mixing_params_per_layer']}, in all "
                f"{first['token_mixing_params']:g}; by formula {expected}, in all {sum(expected)}"
            )


def expected_params(config: RunConfig) -> list[int]:
    """Learnable numbers of each token-mixing layer by the closed form of its gate."""
    import timm  # not before it is needed: torch takes seconds
    import torch

    import posmlp.models  # noqa: F401  (registers our models)
    from posmlp.layers import GATES, TokenMixing

    with torch.device("meta"):
        model = timm.create_model(**config.model_arguments())
    kinds = {(gate.position, gate.token_fc): gate for gate in GATES.values()}
    expected = []
    for layer in model.modules():
        if isinstance(layer, TokenMixing):
            kind = type(layer.position) if layer.position else None
            bias = layer.bias is not None or layer.position_bias is not None
            gate = kinds[kind, layer.weight is not None]
            expected.append(gate.layer_parameters(layer.window, layer.groups, bias))
    return expected


@check(
    "All seeds of a variant cost the same: parameters and multiply-accumulates",
    "a network's size must not depend on the seed: fix posmlp/models and train again",
)
def costs_do_not_depend_on_the_seed(results: Checked) -> Iterator[str]:
    for config, rows in results.by_variant(results.finished):
        for cost in COSTS:
            if len(found := rows[cost].unique()) > 1:
                yield f"{config.variant}: {cost} is {' or '.join(map(str, found))}"


@check("Curves are finite numbers, and percentages lie between 0 and 100", TRAIN_AGAIN)
def curves_are_numbers(results: Checked) -> Iterator[str]:
    for config, rows in results.by_variant(results.epochs):
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


def is_recorded(metric: str, config: RunConfig) -> bool:
    """Whether a study's settings ask for a metric: averaged weights and validation are choices."""
    averaged = config.recipe.ema_decay is not None or not metric.startswith("ema_")
    return averaged and (config.data.validation > 0 or "val_" not in metric)


@check("The last epoch of every curve is the run's result", TRAIN_AGAIN)
def last_epoch_is_the_result(results: Checked) -> Iterator[str]:
    runs = results.finished.join(results.last_epochs.add_suffix(" of the curve"), on=RUN)
    for metric in ("train_loss", *metrics.EVALUATED):
        result = runs[metric].astype(float)
        end = runs[f"{metric} of the curve"].astype(float)
        wrong = ~np.isclose(result, end, rtol=TOLERANCE, atol=0, equal_nan=True)
        for i in np.flatnonzero(wrong):
            yield (
                f"{names(runs.iloc[[i]])}: {metric} is {result.iloc[i]:.9g}, its curve ends "
                f"at {end.iloc[i]:.9g}"
            )


@check("The predictions of every run that kept them have its accuracy", TRAIN_AGAIN)
def predictions_are_those_of_the_result(results: Checked) -> Iterator[str]:
    for _, row in results.finished.iterrows():
        hits = results.predictions.get((row["variant"], row["seed"]))
        found = 100 * hits.correct.mean() if hits else row["test_top1"]
        if not np.isclose(found, row["test_top1"], rtol=TOLERANCE, atol=0):
            yield (
                f"{row['variant']} seed {row['seed']}: top-1 is {row['test_top1']:.4f} %, its "
                f"predictions have {found:.4f} %"
            )


@check(
    "The learning rate follows the recipe: linear warm-up, cosine, then min_lr",
    "compare the curve with the recipe; if posmlp/training is wrong, fix it and train again",
)
def rate_follows_the_schedule(results: Checked) -> Iterator[str]:
    for config, rows in results.by_variant(results.epochs):
        low, high = rate_bounds(config.recipe, rows["epoch"].to_numpy(float))
        slack = TOLERANCE * config.recipe.lr
        wrong = ~((rows["lr"] >= low - slack) & (rows["lr"] <= high + slack)).to_numpy()
        if wrong.any():
            i = int(np.flatnonzero(wrong)[0])
            yield (
                f"{names(rows[wrong])}: in epoch {rows['epoch'].iloc[i]:g} lr is "
                f"{rows['lr'].iloc[i]:.6g}; the recipe has {low[i]:.6g} to {high[i]:.6g}"
            )


def rate_bounds(recipe: Recipe, epochs_E: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest learning rate that the recipe has within each epoch."""
    ends_2E = np.stack([epochs_E, epochs_E + 1])
    rise = recipe.lr - recipe.warmup_lr
    warm_2E = recipe.warmup_lr + rise * ends_2E / max(recipe.warmup_epochs, 1)
    cosine_2E = (1 + np.cos(np.pi * np.minimum(ends_2E / recipe.epochs, 1))) / 2
    cosine_2E = recipe.min_lr + (recipe.lr - recipe.min_lr) * cosine_2E
    rates_2E = np.where(epochs_E < recipe.warmup_epochs, warm_2E, cosine_2E)
    return rates_2E.min(axis=0), rates_2E.max(axis=0)


@check(
    "The training loss of every run ends lower than it began",
    "lower recipe.lr or lengthen recipe.warmup_epochs; a variant that may learn nothing is named "
    "under may_not_learn in the study file",
)
def loss_fell(results: Checked) -> Iterator[str]:
    runs = results.last_epochs
    rose = ~(runs["train_loss"] < runs["first_train_loss"]) & (runs["num_epochs"] > 1)
    for (variant, seed), row in runs[rose].iterrows():
        if variant not in results.study.may_not_learn:
            losses = f"{row['first_train_loss']:.4g} to {row['train_loss']:.4g}"
            yield f"{variant} seed {seed}: from {losses}"
