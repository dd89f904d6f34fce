"""Checks of the training curves: complete, finite, by the schedule, and going down."""

from collections.abc import Iterator

import numpy as np

from posmlp.analysis.checks.check import RUN, TRAIN_AGAIN, Results, check, name, names
from posmlp.study import Recipe

RAW = ["lr", "train_loss", "test_loss", "test_top1", "test_top5"]
AVERAGED = ["ema_test_loss", "ema_test_top1", "ema_test_top5"]
RESULT_OF = {  # what runs.csv calls the last epoch's figures
    "train_loss": "train_loss",
    "test_loss": "test_loss",
    "test_top1": "test_top1",
    "test_top5": "test_top5",
    "ema_test_loss": "ema_test_loss",
    "ema_test_top1": "ema_test_top1",
    "ema_test_top5": "ema_test_top5",
}
TOLERANCE = 1e-9  # relative, of numbers that should be the same


@check("Every run has each epoch of its recipe once, in order", TRAIN_AGAIN)
def epochs_complete(results: Results) -> Iterator[str]:
    recipes = {variant: run.recipe for variant, run in results.study.configs.items()}
    asked = {variant: r.epochs + r.cooldown_epochs for variant, r in recipes.items()}
    runs = results.finished.join(results.histories[["num_epochs", "in_order"]], on=RUN)
    columns = (*RUN, "epochs", "num_epochs", "in_order")
    for variant, seed, epochs, found, in_order in zip(*(runs[c] for c in columns), strict=True):
        if found != found:
            yield f"{name(variant, seed)}: no curve"
        elif not in_order:
            yield f"{name(variant, seed)}: the epochs in its curve are not 0, 1, 2, ... in order"
        elif not epochs == found == asked[variant]:
            yield (
                f"{name(variant, seed)}: {found:g} epochs in its curve and {epochs:g} in its "
                f"figures; the recipe has {asked[variant]}"
            )


@check("Curves are finite numbers, and accuracies lie between 0 and 100", TRAIN_AGAIN)
def curves_are_numbers(results: Results) -> Iterator[str]:
    for variant, rows in results.epochs_of_variants():
        averaged = results.study.configs[variant].recipe.ema_decay is not None
        for column in [*RAW, *AVERAGED]:
            values = rows[column]
            wrong = ~np.isfinite(values) if averaged or column in RAW else values.notna()
            if "top" in column:
                wrong |= (values < 0) | (values > 100)
            if wrong.any():
                first = rows[wrong].iloc[0]
                runs = rows.loc[wrong, RUN].drop_duplicates()
                yield f"{names(runs)}: {column} is {first[column]:g} in epoch {first['epoch']:g}"


@check("The last epoch of every curve is the run's result", TRAIN_AGAIN)
def last_epoch_is_the_result(results: Results) -> Iterator[str]:
    last = results.histories[list(RESULT_OF)]
    runs = results.finished.join(last.add_suffix(" of the curve"), on=RUN)
    for column, figure in RESULT_OF.items():
        result, end = runs[figure].astype(float), runs[f"{column} of the curve"].astype(float)
        wrong = ~np.isclose(result, end, rtol=TOLERANCE, atol=0, equal_nan=True)
        for i in np.flatnonzero(wrong & end.notna()):
            yield (
                f"{names(runs.iloc[[i]])}: {figure} is {result.iloc[i]:.9g}, its curve ends at "
                f"{column} {end.iloc[i]:.9g}"
            )


@check(
    "The learning rate follows the recipe: linear warm-up, cosine, then min_lr",
    "compare the curve with the recipe; where posmlp/training is wrong, mend it and train again",
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
    """Return the lowest and the highest learning rate that the recipe has within each epoch."""
    ends_2E = np.stack([epochs_E, epochs_E + 1])
    rise = recipe.lr - recipe.warmup_lr
    warm_2E = recipe.warmup_lr + rise * ends_2E / max(recipe.warmup_epochs, 1)
    cosine_2E = (1 + np.cos(np.pi * np.minimum(ends_2E / recipe.epochs, 1))) / 2
    cosine_2E = recipe.min_lr + (recipe.lr - recipe.min_lr) * cosine_2E
    rates_2E = np.where(epochs_E < recipe.warmup_epochs, warm_2E, cosine_2E)
    return rates_2E.min(axis=0), rates_2E.max(axis=0)


@check(
    "The training loss of every run ends lower than it began",
    "lower recipe.lr or lengthen recipe.warmup_epochs; where a variant may learn nothing, name it "
    "under may_not_learn in the study file",
)
def loss_fell(results: Results) -> Iterator[str]:
    runs = results.histories
    rose = ~(runs["train_loss"] < runs["first_train_loss"]) & (runs["num_epochs"] > 1)
    for (variant, seed), row in runs[rose].iterrows():
        if variant not in results.study.may_not_learn:
            losses = f"{row['first_train_loss']:.4g} to {row['train_loss']:.4g}"
            yield f"{name(variant, seed)}: from {losses}"
