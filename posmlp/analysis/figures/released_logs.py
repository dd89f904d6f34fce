"""The released training logs of PosMLP-T and PosMLP-S: read, and drawn by themselves."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from posmlp.analysis.figures.marks import add_caption
from posmlp.analysis.figures.style import ONE_COLUMN, figure_style, gate_look, tint

# The released columns, and what ours are called.
COLUMNS = {
    "epoch": "epoch",
    "train_loss": "train_loss",
    "eval_top1": "test_top1",
    "ema_eval_top1": "ema_test_top1",
}
WHITENESS = {"PosMLP-T": 0.45, "PosMLP-S": 0.0}  # both networks gate with gqpe


def read_released_logs(folder: str | Path) -> dict[str, pd.DataFrame]:
    """Read {network: log} with our names of the columns, a row an epoch."""
    paths = {network: Path(folder) / f"{network}.csv" for network in WHITENESS}
    return {
        network: pd.read_csv(path, usecols=list(COLUMNS)).rename(columns=COLUMNS)
        for network, path in paths.items()
    }


@figure_style()
def released_curves(released: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw raw and averaged (EMA) top-1 and the training loss of the released logs by epoch."""
    figure = Figure(figsize=(ONE_COLUMN, 4.2), layout="constrained")
    accuracy, loss = figure.subplots(2, 1, sharex=True, height_ratios=(1.6, 1))
    for network, log in released.items():
        colour = tint(gate_look("gqpe").colour, WHITENESS[network])
        raw = {"color": colour, "linewidth": 0.7, "linestyle": (0, (2, 1))}
        epochs = log["epoch"] + 1
        accuracy.plot(epochs, log["test_top1"], label=f"{network}, raw", **raw)
        accuracy.plot(epochs, log["ema_test_top1"], color=colour, label=f"{network}, EMA")
        loss.plot(epochs, log["train_loss"], color=colour, label=network)
        mark_best(accuracy, log, colour, above=network == "PosMLP-S")
    accuracy.set(ylim=(60, 85.5), ylabel="top-1 accuracy (%)")
    loss.set(xlabel="epoch", ylabel="training loss")
    accuracy.legend(loc="lower right")
    loss.legend(loc="upper right")
    caption = (
        "Released logs of one training each. EMA: averaged weights, the best epoch marked. "
        "Accuracies below 60% are cut off."
    )
    add_caption(figure, caption)
    return figure


def mark_best(axes: Axes, log: pd.DataFrame, colour: tuple[float, ...], above: bool) -> None:
    """Mark and name the best averaged accuracy."""
    best = log.loc[log["ema_test_top1"].idxmax()]
    x, y = best["epoch"] + 1, best["ema_test_top1"]
    axes.plot(x, y, "o", color=colour, markersize=3)
    offset = {"xytext": (0, 4 if above else -7), "textcoords": "offset points"}
    axes.annotate(f"{y:.2f}", (x, y), ha="center", va="bottom" if above else "top", **offset)
