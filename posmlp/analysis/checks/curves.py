"""Checks of the training curves: finite, ending at the result, on schedule, and falling."""

from collections.abc import Iterator

import numpy as np

from posmlp import metrics
from posmlp.analysis.checks.check import RUN, TRAIN_AGAIN, Results, check, name, names
from posmlp.study import Recipe, RunConfig

TOLERANCE = 1e-9  # relative, of numbers that should be the same


@check("Curves are finite numbers, and percentages lie between 0 and 100", TRAIN_AGAIN)
def curves_are_numbers(results: Results) -> Iterator[str]:
    for variant, rows in results.epochs_of_variants():
        for metric in (metrics.metric("lr"), metrics.TRAIN_LOSS, *metrics.EVALUATED):
            values = rows[metric.name]
            recorded = is_recorded(metric.name, results.study.configs[variant])
            wrong = ~np.isfinite(values) if recorded else values.notna()
            if metric.unit == "%":
                wrong |= (values < 0) | (values > 100)
            if wrong.any():
                first = rows[wrong].iloc[0]
                runs = names(rows.loc[wrong, RUN].drop_duplicates())
                yield f"{runs}: {metric.name} is {first[metric.name]:g} in epoch {first['epoch']:g}"


def is_recorded(metric: str, config: RunConfig) -> bool:
    """Whether a study's settings ask for a metric: averaged weights and validation are choices."""
    averaged = config.recipe.ema_decay is not None or not metric.startswith("ema_")
    return averaged and (config.data.validation > 0 or "val_" not in metric)


@check("The last epoch of every curve is the run's result", TRAIN_AGAIN)
def last_epoch_is_the_result(results: Results) -> Iterator[str]:
    runs = results.finished.join(results.histories.add_suffix(" of the curve"), on=RUN)
    for metric in (metrics.TRAIN_LOSS, *metrics.EVALUATED):
        result = runs[metric.name].astype(float)
        end = runs[f"{metric.name} of the curve"].astype(float)
        wrong = ~np.isclose(result, end, rtol=TOLERANCE, atol=0, equal_nan=True)
        for i in np.flatnonzero(wrong):
            yield (
                f"{names(runs.iloc[[i]])}: {metric.name} is {result.iloc[i]:.9g}, its curve ends "
                f"at {end.iloc[i]:.9g}"
            )


@check(
    "The learning rate follows the recipe: linear warm-up, cosine, then min_lr",
    "compare the curve with the recipe; if posmlp/training is wrong, fix it and train again",
)
def rate_follows_the_schedule(results: Results) -> Iterator[str]:
    for variant, rows in results.epochs_of_variants():
        recipe = results.study.configs[variant].recipe
        low, high = rate_bounds(recipe, rows["epoch"].to_numpy(float))
        slack = TOLERANCE * recipe.lr
        wrong = ~((rows["lr"] >= low - slack) & (rows["lr"] <= high + slack)).to_numpy()
        if wrong.any():
            i = int(np.flatnonzero(wrong)[0])
            yield (
                f"{names(rows.loc[wrong, RUN].drop_duplicates())}: in epoch "
                f"{rows['epoch'].iloc[i]:g} lr is {rows['lr'].iloc[i]:.6g}; the recipe has "
                f"{low[i]:.6g} to {high[i]:.6g}"
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
def loss_fell(results: Results) -> Iterator[str]:
    runs = results.histories
    rose = ~(runs["train_loss"] < runs["first_train_loss"]) & (runs["num_epochs"] > 1)
    for (variant, seed), row in runs[rose].iterrows():
        if variant not in results.study.may_not_learn:
            losses = f"{row['first_train_loss']:.4g} to {row['train_loss']:.4g}"
            yield f"{name(variant, seed)}: from {losses}"
