"""Checks of the table of runs: complete, of one origin, and made of numbers."""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from posmlp.analysis.checks.check import TRAIN_AGAIN, Results, check, name, names
from posmlp.analysis.collect import REQUIRED_FIGURES

GUESSING_ERRORS = 3  # standard errors above guessing, from which on a network has learnt something


@check(
    "Every variant has a finished run for every seed, and no other run is in the table",
    "train what is missing with `snakemake`, which then collects again",
)
def all_seeds_present(results: Results) -> Iterator[str]:
    study, runs = results.study, results.runs
    rows = zip(runs["variant"], runs["seed"], runs["test_top1"].notna(), strict=True)
    counts = Counter((variant, seed) for variant, seed, finished in rows if finished)
    asked = [(variant.name, seed) for variant in study.variants for seed in study.seeds]
    for run in asked:
        if run not in counts:
            yield f"{name(*run)}: no finished run"
    for run, num in counts.items():
        if num > 1:
            yield f"{name(*run)}: stands in {num} rows"
    for run in counts.keys() - set(asked):
        yield f"{name(*run)}: not a run of the study"


@check(
    "The reference, and every variant that another is compared with, are in the table",
    "train them with `snakemake`",
)
def references_present(results: Results) -> Iterator[str]:
    study, there = results.study, set(results.finished["variant"])
    if study.reference not in there:
        yield f"{study.reference}, the reference, has no finished run"
    for variant in study.variants:
        if variant.against and variant.against not in there:
            yield f"{variant.against}, which {variant.name} is compared with, has no finished run"


@check("All runs were trained by one version of the code", TRAIN_AGAIN)
def one_code_version(results: Results) -> Iterator[str]:
    by_version = results.finished.groupby("code_version", sort=False)
    if len(by_version) > 1 or "" in by_version.groups:
        for version, rows in by_version:
            yield f"{version or 'no version'}: {names(rows)}"


@check("Runs with equal data settings saw the same images", TRAIN_AGAIN)
def equal_data(results: Results) -> Iterator[str]:
    settings = {name: run.data.model_dump_json() for name, run in results.study.configs.items()}
    for _, rows in results.finished.groupby(results.finished["variant"].map(settings)):
        by_digest = rows.groupby("data_digest", sort=False)
        if len(by_digest) > 1 or "" in by_digest.groups:
            for digest, same in by_digest:
                yield f"{f'digest {digest}' if digest else 'no digest'}: {names(same)}"


@check("Final figures are finite numbers, and accuracies lie between 0 and 100", TRAIN_AGAIN)
def figures_are_numbers(results: Results) -> Iterator[str]:
    runs, tops = results.finished, ["test_top1", "test_top5"]
    figures = runs[list(REQUIRED_FIGURES)]
    wrong = ~np.isfinite(figures)
    wrong[tops] |= (figures[tops] < 0) | (figures[tops] > 100)
    for i in np.flatnonzero(wrong.any(axis=1)):
        found = figures.iloc[i][wrong.iloc[i]]
        yield f"{names(runs.iloc[[i]])}: {', '.join(f'{k} is {v:g}' for k, v in found.items())}"


@check(
    "Every run is more accurate than guessing",
    "look at the curves and lower recipe.lr or lengthen recipe.warmup_epochs; where a variant may "
    "learn nothing, name it under may_not_learn in the study file",
)
def better_than_guessing(results: Results) -> Iterator[str]:
    num_classes = {name: run.data.num_classes for name, run in results.study.configs.items()}
    runs = results.finished[~results.finished["variant"].isin(results.study.may_not_learn)]
    chance = 1 / runs["variant"].map(num_classes).astype(float)
    error = np.sqrt(chance * (1 - chance) / runs["num_test"])
    least = 100 * (chance + GUESSING_ERRORS * error)
    for i in np.flatnonzero(~(runs["test_top1"] > least)):
        row = runs.iloc[i]
        yield (
            f"{name(row['variant'], row['seed'])}: top-1 {row['test_top1']:.2f} %; guessing "
            f"reaches {100 * chance.iloc[i]:g} %, by luck {least.iloc[i]:.2f} %"
        )
