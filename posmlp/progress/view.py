"""The progress of a study as a table for a terminal or a line for a log."""

import datetime
from collections import Counter
from statistics import fmean, stdev

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from posmlp.progress.state import DONE, FAILED, RUNNING, STOPPED, WAITING, Watch

COLOURS = {DONE: "green", RUNNING: "cyan", FAILED: "red", STOPPED: "yellow", WAITING: "dim"}
MIN_ROWS = 3  # of a table, on terminals of any height


def screen(watch: Watch, height: int) -> RenderableType:
    """The screen: counts, time left, runs in training, and results by variant so far."""
    bar, left_s = Table.grid(padding=(0, 2)), watch.left_s
    done = ProgressBar(1.0, watch.fraction, width=43, complete_style="cyan")
    text = f"{watch.fraction:4.0%}  {clock(watch.elapsed_s)} elapsed"
    bar.add_row(done, text if left_s is None else f"{text}, {clock(left_s)} left")
    heading = Text.assemble((f"{watch.name}: ", "bold"), counts(watch))
    rows = height - 5  # less the heading of a table, three lines above it and one below
    most = min(len(watch.of(RUNNING)), max(MIN_ROWS, rows // 3))
    tables = [running(watch, most)] if most else []
    tables.append(variants(watch, rows - most - 2 if most else rows))
    return Group(heading, bar, "", Columns(tables, padding=(1, 6)))  # side by side if they fit


def counts(watch: Watch) -> Text:
    """Number of runs in each state."""
    num = Counter(run.state for run in watch.runs)
    text = Text(f"{num[DONE]} of {len(watch.runs)} runs finished", COLOURS[DONE])
    for state in (RUNNING, FAILED, STOPPED, WAITING):
        if num[state]:
            text.append(", ", "default").append(f"{num[state]} {state}", COLOURS[state])
    return text


def clock(seconds: float) -> str:
    """A duration as [days,] h:mm:ss."""
    return str(datetime.timedelta(seconds=round(seconds)))


def running(watch: Watch, most: int) -> Table:
    """Table of the runs in training."""
    rows = [
        (
            run.name,
            f"{run.epochs}/{run.num_epochs}",
            "" if run.top1 is None else f"{run.top1:.2f}",
            "" if run.images_per_s is None else f"{run.images_per_s:,.0f}",
            clock(run.epoch_s * (run.num_epochs - run.epochs)) if run.epochs else "",
        )
        for run in watch.of(RUNNING)
    ]
    return table(rows, most, RUNNING, "epoch", "top-1 %", "images/s", "left")


def variants(watch: Watch, most: int) -> Table:
    """Table of every variant's top-1 so far; if cut, those with finished runs come first."""
    found: dict[str, list[float]] = {run.variant: [] for run in watch.runs}
    for run in watch.of(DONE):
        found[run.variant].append(run.top1)
    if len(found) > most:
        found = dict(sorted(found.items(), key=lambda item: not item[1]))
    rows = []
    for variant, top1 in found.items():
        num_runs = sum(run.variant == variant for run in watch.runs)
        mean = f"{fmean(top1):.2f}" if top1 else ""
        spread = f" ± {stdev(top1):.2f}" if len(top1) > 1 else ""
        rows.append((variant, f"{len(top1)}/{num_runs}", mean + spread))
    return table(rows, most, "variant", "finished", "top-1 %, mean ± sd")


def table(rows: list[tuple[str, ...]], most: int, first: str, *others: str) -> Table:
    """A table without rules; if rows do not fit, the last row counts the others."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(first, no_wrap=True, overflow="ellipsis")
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    most = max(MIN_ROWS, most)
    shown = rows if len(rows) <= most else rows[: most - 1]
    for row in shown:
        table.add_row(*row)
    if len(shown) < len(rows):
        table.add_row(f"and {len(rows) - len(shown)} more", style="dim")
    return table


def line(watch: Watch) -> str:
    """One line: counts, time left and, if few runs train, the progress of each."""
    parts = [f"{watch.name}: {counts(watch).plain}"]
    if (left_s := watch.left_s) is not None:
        parts.append(f"{clock(left_s)} left")
    runs = watch.of(RUNNING)
    for run in runs if len(runs) <= MIN_ROWS else []:
        tested = "" if run.top1 is None else f" {run.top1:.2f} %"
        if run.epochs:
            parts.append(f"{run.name} {run.epochs}/{run.num_epochs}{tested}")
    return "; ".join(parts)
