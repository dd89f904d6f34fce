"""Checks of runs.csv: one origin, and better than guessing."""

from collections.abc import Iterator

import numpy as np

from posmlp.analysis.checks.check import TRAIN_AGAIN, Results, check, name, names

GUESSING_ERRORS = 3  # standard errors above guessing, from which a network counts as having learnt


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
